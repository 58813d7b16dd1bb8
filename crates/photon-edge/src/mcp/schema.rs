//! JSON Schemas of what tools answer, out of the OpenAPI document.
//! Must not know what a tool does.

use std::collections::BTreeSet;
use std::sync::Arc;

use rmcp::model::JsonObject;
use serde_json::{Map, Value};

const REFERENCE: &str = "#/components/schemas/";

/// Returns the schema of one type of the document, with all others that it needs.
pub(super) fn schema(document: &Value, name: &str) -> Arc<JsonObject> {
    let all = &document["components"]["schemas"];
    let mut needed = BTreeSet::new();
    let mut root = moved(&all[name], &mut needed);
    let mut defs = Map::new();
    while let Some(next) = needed.iter().find(|it| !defs.contains_key(*it)).cloned() {
        let def = moved(&all[&next], &mut needed);
        defs.insert(next, def);
    }
    if let Some(root) = root.as_object_mut().filter(|_| !defs.is_empty()) {
        root.insert("$defs".to_owned(), Value::Object(defs));
    }
    match root {
        Value::Object(root) => Arc::new(root),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            unreachable!("every type of the document has a schema")
        }
    }
}

/// Returns a schema whose references lead to `$defs`; takes note of which.
fn moved(value: &Value, needed: &mut BTreeSet<String>) -> Value {
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(key, value)| {
                    let name = value.as_str().and_then(|it| it.strip_prefix(REFERENCE));
                    let Some(name) = name.filter(|_| key == "$ref") else {
                        return (key.clone(), moved(value, needed));
                    };
                    needed.insert(name.to_owned());
                    (key.clone(), Value::String(format!("#/$defs/{name}")))
                })
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.iter().map(|it| moved(it, needed)).collect()),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_brings_what_it_needs_and_nothing_else() {
        let document = json!({"components": {"schemas": {
            "A": {"type": "object", "properties": {
                "b": {"$ref": "#/components/schemas/B"}, "$ref": {"type": "string"}}},
            "B": {"oneOf": [{"type": "null"}, {"$ref": "#/components/schemas/B"}]},
            "C": {},
        }}});
        let found = schema(&document, "A");
        assert_eq!(
            Value::Object((*found).clone()),
            json!({
                "type": "object",
                "properties": {"b": {"$ref": "#/$defs/B"}, "$ref": {"type": "string"}},
                "$defs": {"B": {"oneOf": [{"type": "null"}, {"$ref": "#/$defs/B"}]}},
            })
        );
    }
}
