//! The names of fields as Protocol Buffers spell them (`history_length`), which whoever reads JSON
//! made from Protocol Buffers has to understand beside `historyLength` (ProtoJSON, "Field names").
//! Must not touch what clients may fill as they like.

use serde_json::{Map, Value};

/// Fields whose values are the client's own.
const FREE: [&str; 2] = ["metadata", "data"];

/// Renames all fields that A2A defines to the form that it writes itself; a field that is given in
/// both forms keeps that one.
pub(super) fn unify(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            if fields.keys().any(|it| it.contains('_')) {
                *fields = renamed(std::mem::take(fields));
            }
            let ours = fields.iter_mut().filter(|(key, _)| !FREE.contains(&key.as_str()));
            ours.for_each(|(_, value)| unify(value));
        }
        Value::Array(values) => values.iter_mut().for_each(unify),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn renamed(fields: Map<String, Value>) -> Map<String, Value> {
    let (ours, theirs): (Vec<_>, Vec<_>) =
        fields.into_iter().partition(|(key, _)| !key.contains('_'));
    let mut fields: Map<String, Value> = ours.into_iter().collect();
    for (key, value) in theirs {
        fields.entry(camel(&key)).or_insert(value);
    }
    fields
}

/// Returns `history_length` as `historyLength`.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut letters = word.chars();
        name.extend(letters.next().map(|it| it.to_ascii_uppercase()));
        name.push_str(letters.as_str());
        name
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(mut given: Value, expected: &Value) {
        unify(&mut given);
        assert_eq!(given, *expected);
    }

    #[test]
    fn fields_are_understood_in_both_spellings_and_what_is_the_clients_stays() {
        let plain = json!({ "historyLength": 1, "message": { "parts": [{ "mediaType": "a/b" }] } });
        check(plain.clone(), &plain);
        let proto =
            json!({ "history_length": 1, "message": { "parts": [{ "media_type": "a/b" }] } });
        check(proto, &plain);
        check(json!({ "task_id": "a", "taskId": "b" }), &json!({ "taskId": "b" }));
        let free = json!({ "metadata": { "a_b": 1 }, "parts": [{ "data": { "c_d": 2 } }] });
        check(free.clone(), &free);
        check(json!({ "_": 1, "a__b": 2 }), &json!({ "": 1, "aB": 2 }));
    }
}
