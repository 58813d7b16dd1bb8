//! The extensions of A2A that Photon has: their names, who has asked for them, and what they add.
//! Must not know which operation is asked for. `docs/a2a.md` is the page for users.

use axum::extract::{Query, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use axum::middleware::Next;
use axum::response::Response;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fault::Fault;

/// Whom a message is for, and how it is queued: in its metadata.
pub(super) const ROUTING: &str = "urn:photon:a2a:routing:v1";
/// A message that may be sent again: its key is in its metadata.
pub(super) const IDEMPOTENCY: &str = "urn:photon:a2a:idempotency:v1";
/// What a worker has done and need not do again is told in the metadata of updates.
pub(super) const CHECKPOINT: &str = "urn:photon:a2a:checkpoint:v1";
/// The generation of a task, as the draft of A2A 1.1 has it.
pub(super) const GENERATION: &str = "urn:photon:a2a:generation:v1";

const ALL: [(&str, &str); 4] = [
    (ROUTING, "Which skill or agent a message is for, where its task may live, how it is queued."),
    (IDEMPOTENCY, "A `key` in the metadata of a message makes its repetition harmless."),
    (CHECKPOINT, "Updates name the steps that are done and are not done again elsewhere."),
    (GENERATION, "`generation`, `currentGeneration` and `ifGenerationMatch` of A2A 1.1."),
];

/// The header, and the field of a query, in which a client names those that it wants.
const HEADER: HeaderName = HeaderName::from_static("a2a-extensions");

/// Whether a client wants to be told of generations where A2A 1.1 has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Generations {
    Told,
    Untold,
}

/// Declares them on a card, beside those of its agent.
pub(super) fn declare(capabilities: &mut Value) {
    let theirs = capabilities.get("extensions").and_then(Value::as_array);
    let is_ours = |it: &&Value| ALL.iter().any(|(uri, _)| it["uri"] == *uri);
    let theirs = theirs.into_iter().flatten().filter(|it| !is_ours(it)).cloned();
    let ours = ALL.iter().map(|(uri, said)| json!({ "uri": uri, "description": said }));
    capabilities["extensions"] = theirs.chain(ours).collect();
}

/// Answers with the names of those that the client wants and has got.
pub(super) async fn echo(request: Request, next: Next) -> Response {
    let wanted = wanted(request.headers(), request.uri());
    let mut response = next.run(request).await;
    if let Some(names) = HeaderValue::from_str(&wanted.join(", ")).ok().filter(|it| !it.is_empty())
    {
        response.headers_mut().insert(HEADER, names);
    }
    response
}

/// Returns those that a client wants, of ours; others are none of this server's.
fn wanted(headers: &HeaderMap, uri: &Uri) -> Vec<&'static str> {
    let in_headers = headers.get_all(HEADER).iter().filter_map(|it| it.to_str().ok());
    let query = Query::<Vec<(String, String)>>::try_from_uri(uri).map(|Query(it)| it);
    let query = query.unwrap_or_default().into_iter();
    let in_query = query.filter(|(key, _)| key.eq_ignore_ascii_case(HEADER.as_str()));
    let in_query = in_query.map(|(_, names)| names);
    let named: Vec<String> = in_headers.map(str::to_owned).chain(in_query).collect();
    let is_named = |uri: &str| named.iter().any(|it| it.split(',').any(|it| it.trim() == uri));
    ALL.iter().map(|(uri, _)| *uri).filter(|uri| is_named(uri)).collect()
}

impl Generations {
    /// Finds out whether a client wants it.
    pub(super) fn of(headers: &HeaderMap, uri: &Uri) -> Self {
        if wanted(headers, uri).contains(&GENERATION) { Self::Told } else { Self::Untold }
    }

    /// Puts the generation of a task, or of an update, where A2A 1.1 has it.
    pub(super) fn tell(self, said: impl Serialize) -> Value {
        let mut said = serde_json::to_value(said).expect("what A2A says is JSON");
        if self == Self::Told {
            for inner in ["task", "statusUpdate", "artifactUpdate"] {
                said.get_mut(inner).into_iter().for_each(lift);
            }
            let tasks = said.get_mut("tasks").and_then(Value::as_array_mut);
            tasks.into_iter().flatten().for_each(lift);
            lift(&mut said);
        }
        said
    }
}

/// Whole numbers of 64 bits are texts in the JSON of Protocol Buffers.
fn lift(said: &mut Value) {
    let generation = said.pointer("/metadata/photon/generation").and_then(Value::as_u64);
    if let Some(generation) = generation {
        said["generation"] = json!(generation.to_string());
    }
}

/// Takes a generation from parameters; in JSON it may be a number or a text.
pub(super) fn generation(
    params: Option<&Map<String, Value>>,
    place: &str,
    key: &str,
) -> Result<Option<u64>, Fault> {
    let wrong = || Fault::field(&format!("{place}{key}"), "use a whole number, 0 or more");
    match params.and_then(|it| it.get(key)) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|_| wrong()),
        // Over gRPC all numbers are floating-point ones.
        Some(value) => value.as_u64().map(Some).ok_or_else(wrong),
    }
}

/// Returns names of fields as `/v1` has them, however deep: `priorityKey` as `priority_key`.
pub(super) fn snake(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| (snake_name(key), snake(value))).collect()
        }
        Value::Array(values) => values.iter().map(snake).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

fn snake_name(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            text.push('_');
        }
        text.push(letter.to_ascii_lowercase());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_those_that_there_are_are_heeded() {
        let uri = |text: &str| text.parse::<Uri>().unwrap();
        let mut headers = HeaderMap::new();
        assert!(wanted(&headers, &uri("/a2a?a=b")).is_empty());
        headers.append(HEADER, HeaderValue::from_static("urn:other, urn:photon:a2a:routing:v1"));
        headers.append(HEADER, HeaderValue::from_static("urn:photon:a2a:routing:v2"));
        let query = "/a2a?A2A-Extensions=urn:x%2Curn%3Aphoton%3Aa2a%3Ageneration%3Av1";
        assert_eq!(wanted(&headers, &uri(query)), [ROUTING, GENERATION]);
    }

    #[test]
    fn generations_are_told_where_the_draft_has_them() {
        let metadata = json!({ "photon": { "generation": 3 } });
        let task = json!({ "id": "t", "metadata": metadata });
        let told = Generations::Told.tell(json!({ "tasks": [task] }));
        assert_eq!(told["tasks"][0]["generation"], "3");
        let update = json!({ "statusUpdate": { "taskId": "t", "metadata": metadata } });
        assert_eq!(Generations::Told.tell(update.clone())["statusUpdate"]["generation"], "3");
        assert_eq!(Generations::Untold.tell(&update), update);
        assert_eq!(Generations::Told.tell(task)["generation"], "3");
    }

    #[test]
    fn a_generation_is_a_number_or_a_text() {
        let read = |value: Value| {
            let params = Map::from_iter([("currentGeneration".to_owned(), value)]);
            generation(Some(&params), "params.", "currentGeneration").ok()
        };
        assert_eq!(read(json!(3)), Some(Some(3)));
        assert_eq!(read(json!("3")), Some(Some(3)));
        assert_eq!(read(json!(null)), Some(None));
        for wrong in [json!(-1), json!("x"), json!(1.5), json!({}), json!(true)] {
            assert_eq!(read(wrong), None);
        }
    }

    #[test]
    fn names_are_understood_as_a2a_writes_them() {
        let given = json!({ "priorityKey": 1, "retryPolicy": { "maximumAttempts": 2 } });
        let plain = json!({ "priority_key": 1, "retry_policy": { "maximum_attempts": 2 } });
        assert_eq!(snake(&given), plain);
        assert_eq!(snake(&plain), plain);
    }
}
