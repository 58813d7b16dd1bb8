//! What clients ask of the registry, checked.
//! Must not know what there is to be found.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::entry::Field;
use super::fault::Fault;
use super::filter::Filter;
use super::shelf::{Direction, Order};

/// The most entries of a page.
const PAGE_MAX: usize = 100;
/// The most facets that are counted at once.
const FACETS_MAX: usize = 16;
/// The most values of a facet.
const BUCKETS_MAX: u64 = 1_000;
/// Bytes of the text of a query.
pub(crate) const TEXT_BYTES_MAX: usize = 8 << 10;

/// Which part of what is found is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pub(super) skip: usize,
    pub(super) size: usize,
}

impl Page {
    fn of(size: Option<i64>, usual: usize, token: Option<&str>) -> Result<Self, Fault> {
        let size = match size {
            None => usual,
            Some(size) if size < 1 => {
                return Err(Fault::field("pageSize", format!("use 1 to {PAGE_MAX}")));
            }
            Some(size) => usize::try_from(size).unwrap_or(PAGE_MAX).min(PAGE_MAX),
        };
        let skip = match token {
            None => 0,
            Some(token) => {
                token.strip_prefix('p').and_then(|it| it.parse().ok()).ok_or_else(|| {
                    Fault::field("pageToken", "give back the `pageToken` of an answer as it is")
                })?
            }
        };
        Ok(Self { skip, size })
    }
}

/// Returns the token of the page after the first `shown` of all.
pub(super) fn page_token(shown: usize, total: usize) -> Option<String> {
    (shown < total).then(|| format!("p{shown}"))
}

/// Whether other registries are asked along.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Federation {
    /// They are.
    #[default]
    Auto,
    /// They are named to the client.
    Referrals,
    /// They are not.
    None,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Query {
    text: Option<String>,
    filter: Option<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct SearchBody {
    query: Query,
    #[serde(default)]
    federation: Federation,
    page_size: Option<i64>,
    page_token: Option<String>,
}

/// What fits a text is asked for.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) text: String,
    pub(super) filter: Filter,
    pub(super) federation: Federation,
    pub(super) page: Page,
}

impl Search {
    const USUAL: usize = 10;

    /// Reads it; returns the query as other registries take it, too.
    pub(super) fn read(body: &[u8]) -> Result<(Value, Self), Fault> {
        let SearchBody { query, federation, page_size, page_token } = parse(body)?;
        let text = checked_text(query.text)?;
        let Some(text) = text.filter(|it| !it.trim().is_empty()) else {
            return Err(Fault::field("query.text", "say what is looked for"));
        };
        let filter = Filter::of_query(query.filter.as_ref())?;
        let page = Page::of(page_size, Self::USUAL, page_token.as_deref())?;
        let mut asked = json!({"text": text});
        if let Some(filter) = query.filter {
            asked["filter"] = Value::Object(filter);
        }
        Ok((asked, Self { text, filter, federation, page }))
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ExploreBody {
    #[serde(default)]
    query: Query,
    result_type: ResultType,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ResultType {
    facets: Vec<FacetBody>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct FacetBody {
    field: String,
    #[serde(default = "usual_buckets")]
    limit: u64,
    #[serde(default)]
    min_count: u64,
}

fn usual_buckets() -> u64 {
    20
}

/// How often which values come is asked for.
#[derive(Debug)]
pub(super) struct Explore {
    pub(super) text: Option<String>,
    pub(super) filter: Filter,
    pub(super) facets: Vec<Facet>,
}

/// A field that is counted.
#[derive(Debug)]
pub(super) struct Facet {
    pub(super) path: String,
    pub(super) field: Field,
    limit: usize,
    min_count: u64,
}

impl Explore {
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        let ExploreBody { query, result_type } = parse(body)?;
        if FACETS_MAX < result_type.facets.len() {
            let rule = format!("ask for {FACETS_MAX} at the most");
            return Err(Fault::field("resultType.facets", rule));
        }
        let facets = (0..).zip(result_type.facets).map(|(at, it)| {
            let field = Field::find(&it.field).ok_or_else(|| {
                let at = format!("resultType.facets[{at}].field");
                Fault::field(&at, format!("use one of: {}", Field::paths()))
            })?;
            let limit = usize::try_from(it.limit.min(BUCKETS_MAX)).unwrap_or(usize::MAX);
            Ok(Facet { path: it.field, field, limit, min_count: it.min_count })
        });
        Ok(Self {
            facets: facets.collect::<Result<_, Fault>>()?,
            text: checked_text(query.text)?.filter(|it| !it.trim().is_empty()),
            filter: Filter::of_query(query.filter.as_ref())?,
        })
    }
}

impl Facet {
    /// Shows what was counted: the most frequent values first.
    pub(super) fn show(&self, counts: BTreeMap<String, u64>) -> Value {
        let mut counts: Vec<(String, u64)> =
            counts.into_iter().filter(|(_, count)| self.min_count <= *count).collect();
        counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        let others: u64 = counts.iter().skip(self.limit).map(|(_, count)| count).sum();
        let buckets = counts.into_iter().take(self.limit);
        let buckets = buckets.map(|(value, count)| json!({"value": value, "count": count}));
        let mut shown = json!({"buckets": buckets.collect::<Vec<_>>()});
        if 0 < others {
            shown["otherCount"] = others.into();
        }
        shown
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ListQuery {
    filter: Option<String>,
    order_by: Option<String>,
    page_size: Option<String>,
    page_token: Option<String>,
}

/// A list is asked for.
#[derive(Debug)]
pub(super) struct List {
    pub(super) filter: Filter,
    pub(super) order: (Order, Direction),
    pub(super) page: Page,
}

impl List {
    const USUAL: usize = 20;

    pub(super) fn read(query: &str) -> Result<Self, Fault> {
        let uri = format!("/?{query}").parse();
        let uri = uri.map_err(|_| Fault::field("query", "it is not one of a URL"))?;
        let asked = axum::extract::Query::<ListQuery>::try_from_uri(&uri);
        let asked = asked.map_err(|err| Fault::field("query", err.body_text()))?.0;
        let size = asked.page_size.as_deref().map(|it| {
            it.parse::<i64>().map_err(|_| Fault::field("pageSize", format!("use 1 to {PAGE_MAX}")))
        });
        Ok(Self {
            filter: Filter::of_expression(asked.filter.as_deref().unwrap_or_default())?,
            order: order(asked.order_by.as_deref().unwrap_or("identifier"))?,
            page: Page::of(size.transpose()?, Self::USUAL, asked.page_token.as_deref())?,
        })
    }
}

fn order(text: &str) -> Result<(Order, Direction), Fault> {
    let mut parts = text.split_whitespace();
    let (field, way, rest) = (parts.next().unwrap_or("identifier"), parts.next(), parts.next());
    let order = match field {
        "identifier" => Some(Order::Identifier),
        "displayName" | "name" => Some(Order::DisplayName),
        "updatedAt" | "createdAt" | "updated_at" | "created_at" => Some(Order::UpdatedAt),
        _ => None,
    };
    let direction = match way.map(str::to_ascii_uppercase).as_deref() {
        None | Some("ASC") => Some(Direction::Up),
        Some("DESC") => Some(Direction::Down),
        Some(_) => None,
    };
    match (order, direction, rest) {
        (Some(order), Some(direction), None) => Ok((order, direction)),
        _ => {
            let rule = "use identifier, displayName or updatedAt, and ASC or DESC after it";
            Err(Fault::field("orderBy", rule))
        }
    }
}

fn checked_text(text: Option<String>) -> Result<Option<String>, Fault> {
    match text {
        Some(text) if TEXT_BYTES_MAX < text.len() => {
            Err(Fault::field("query.text", format!("use {TEXT_BYTES_MAX} bytes at the most")))
        }
        text => Ok(text),
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let mut reader = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|err| {
        let path = err.path().to_string();
        Fault::field(if path == "." { "body" } else { &path }, err.into_inner())
    })?;
    reader.end().map_err(|err| Fault::field("body", err))?;
    Ok(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_wrongly_is_named() {
        let check = |body: &str, expected: &str| {
            let fault = Search::read(body.as_bytes()).unwrap_err().to_string();
            assert!(fault.contains(expected), "{body}: {fault}");
        };
        check("", "`body`");
        check("{}", "missing field `query`");
        check(r#"{"query":{}}"#, "`query.text`");
        check(r#"{"query":{"text":" "}}"#, "`query.text`");
        check(r#"{"query":{"text":7}}"#, "`query.text`");
        check(r#"{"query":{"text":"a"},"odd":1}"#, "odd");
        check(r#"{"query":{"text":"a","filter":{"colour":"red"}}}"#, "`query.filter.colour`");
        check(r#"{"query":{"text":"a","filter":{"type":{}}}}"#, "`query.filter.type`");
        check(r#"{"query":{"text":"a"},"pageSize":0}"#, "`pageSize`");
        check(r#"{"query":{"text":"a"},"pageToken":"x"}"#, "`pageToken`");
        check(r#"{"query":{"text":"a"},"federation":"all"}"#, "federation");
        check(r#"{"query":{"text":"a"}} x"#, "`body`");
        let long = format!("{{\"query\":{{\"text\":\"{}\"}}}}", "x".repeat(TEXT_BYTES_MAX + 1));
        check(&long, "`query.text`");
    }

    #[test]
    fn a_list_is_filtered_and_ordered_as_its_query_says() {
        let check = |query: &str, expected: &str| match List::read(query) {
            Ok(list) => assert_eq!(format!("{:?} {:?}", list.filter, list.order), expected),
            Err(fault) => assert!(fault.to_string().contains(expected), "{query}: {fault}"),
        };
        check("", "Filter([]) (Identifier, Up)");
        check("orderBy=updatedAt%20DESC", "Filter([]) (UpdatedAt, Down)");
        check(
            "filter=tags%20%3D%20'a,b'%20AND%20displayName='X'",
            r#"Filter([Any(Tags, {"a", "b"}), Named(["x"])]) (Identifier, Up)"#,
        );
        check(
            "filter=updatedAfter%3E'2026-01-02'",
            r#"Filter([ChangedAfter("2026-01-02T00:00:00.000Z")]) (Identifier, Up)"#,
        );
        check("orderBy=colour", "`orderBy`");
        check("orderBy=name%20DESC%20odd", "`orderBy`");
        check("pageSize=x", "`pageSize`");
        check("odd=1", "odd");
        for odd in [
            "tags",
            "tags=a",
            "tags='a",
            "tags='a' OR tags='b'",
            "tags='a' AND",
            "tags='a' éé",
            "tags='a' é",
            "tags='a' an",
            "odd='a'",
            "tags>'a'",
            "updatedAfter='soon'",
            "tags='a'AND",
            "é",
        ] {
            let query: String = odd.bytes().map(|it| format!("%{it:02x}")).collect();
            check(&format!("filter={query}"), "`filter`");
        }
    }
}
