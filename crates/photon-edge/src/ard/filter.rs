//! What a client asks of entries beside a text: equal values by field, and the little language of
//! `GET /agents` (ARD, appendix A).
//! Must not know how entries are kept.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::entry::{Doc, Field, Local};
use super::fault::Fault;
use crate::time::rfc3339;

/// Conditions of one request.
const CONDITIONS_MAX: usize = 32;
/// Values of one condition.
const VALUES_MAX: usize = 256;

/// What an entry must be like: all of the conditions hold.
#[derive(Debug, Default)]
pub(super) struct Filter(Vec<Condition>);

#[derive(Debug, PartialEq)]
enum Condition {
    /// One of the values of a field is one of these.
    Any(Field, BTreeSet<String>),
    /// The name has one of these in it, in whatever case; they are in small letters.
    Named(Vec<String>),
    /// It was changed after this time, in RFC 3339 and UTC.
    ChangedAfter(String),
}

impl Filter {
    /// Reads the `filter` of a query: values by path.
    pub(super) fn of_query(asked: Option<&Map<String, Value>>) -> Result<Self, Fault> {
        let asked = asked.into_iter().flatten();
        let all = asked.map(|(path, value)| {
            let at = || format!("query.filter.{path}");
            let field = Field::find(path)
                .ok_or_else(|| Fault::field(&at(), format!("use one of: {}", Field::paths())))?;
            let values = match value {
                Value::Array(values) => {
                    values.iter().map(scalar).collect::<Option<BTreeSet<String>>>()
                }
                one @ (Value::String(_) | Value::Number(_) | Value::Bool(_)) => {
                    scalar(one).map(|it| BTreeSet::from([it]))
                }
                Value::Null | Value::Object(_) => None,
            };
            let values = values.filter(|it| it.len() <= VALUES_MAX).ok_or_else(|| {
                Fault::field(&at(), format!("give a text or a list of up to {VALUES_MAX}"))
            })?;
            Ok(Condition::Any(field, values))
        });
        Self::of(all.collect::<Result<_, Fault>>()?)
    }

    /// Wants these values of these fields.
    pub(super) fn only(wanted: impl IntoIterator<Item = (Field, String)>) -> Self {
        Self(
            wanted
                .into_iter()
                .map(|(field, it)| Condition::Any(field, BTreeSet::from([it])))
                .collect(),
        )
    }

    /// Reads a filter expression: `field = 'a,b' AND updatedAfter > '2026-01-01'`.
    pub(super) fn of_expression(text: &str) -> Result<Self, Fault> {
        let mut left = text.trim();
        let mut all = Vec::new();
        while !left.is_empty() {
            let (condition, rest) = condition(left)?;
            all.push(condition);
            left = rest.trim_start();
            if left.is_empty() {
                break;
            }
            let (and, rest) = left.split_at_checked(3).unwrap_or((left, ""));
            let is_joined =
                and.eq_ignore_ascii_case("and") && rest.starts_with(char::is_whitespace);
            left = rest.trim_start();
            if !is_joined || left.is_empty() {
                return Err(malformed("join conditions by AND"));
            }
        }
        Self::of(all)
    }

    fn of(all: Vec<Condition>) -> Result<Self, Fault> {
        if CONDITIONS_MAX < all.len() {
            return Err(Fault::field("filter", format!("give up to {CONDITIONS_MAX} conditions")));
        }
        Ok(Self(all))
    }

    /// Whether any entry will do.
    pub(super) fn takes_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an entry is as it must be.
    pub(super) fn takes(&self, doc: &Doc, local: &Local) -> bool {
        self.0.iter().all(|condition| match condition {
            Condition::Any(field, wanted) => {
                let values = doc.values(*field, local);
                values.iter().any(|it| wanted.contains(it.as_ref()))
            }
            Condition::Named(parts) => parts.iter().any(|part| doc.small_name.contains(part)),
            Condition::ChangedAfter(time) => *time < rfc3339(doc.agent.at),
        })
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

fn malformed(rule: &str) -> Fault {
    Fault::field("filter", format!("{rule}, as in type = 'a,b' AND updatedAfter > '2026-01-01'"))
}

/// Reads one condition; returns what is left of the text.
fn condition(text: &str) -> Result<(Condition, &str), Fault> {
    let end =
        text.find(|it: char| !(it.is_ascii_alphanumeric() || it == '.')).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let rest = rest.trim_start();
    let is_after = rest.starts_with('>');
    let Some(rest) = rest.strip_prefix(['=', '>']) else {
        return Err(malformed("write a field, `=` or `>`, and a value in quotes"));
    };
    let rest = rest.trim_start();
    let Some(quote) = rest.chars().next().filter(|it| ['\'', '"'].contains(it)) else {
        return Err(malformed("put values in quotes"));
    };
    let Some((value, rest)) = rest[1..].split_once(quote) else {
        return Err(malformed("close the quotes of a value"));
    };
    let values = || value.split(',').map(|it| it.trim().to_owned());
    if VALUES_MAX < values().count() {
        return Err(malformed(&format!("give up to {VALUES_MAX} values")));
    }
    let condition = match (name, is_after) {
        ("createdAfter" | "updatedAfter", _) => Condition::ChangedAfter(moment(value)?),
        ("displayName", false) => Condition::Named(values().map(|it| it.to_lowercase()).collect()),
        (name, false) => match Field::find(name) {
            Some(field) => Condition::Any(field, values().collect()),
            None => {
                let paths = Field::paths();
                let rule = format!("use one of: {paths}, createdAfter, updatedAfter");
                return Err(Fault::field("filter", rule));
            }
        },
        (_, true) => return Err(malformed("only times can be compared by `>`")),
    };
    Ok((condition, rest))
}

/// Reads a time or a day, as the same text that times are written as.
fn moment(text: &str) -> Result<String, Fault> {
    let day = || {
        let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.and_hms_opt(0, 0, 0)?.and_utc())
    };
    let time = chrono::DateTime::parse_from_rfc3339(text).ok().map(|it| it.to_utc());
    let time = time.or_else(day).ok_or_else(|| malformed("give a day or a time of ISO 8601"))?;
    Ok(time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}
