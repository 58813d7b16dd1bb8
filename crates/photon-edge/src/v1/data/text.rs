//! JSON text that was checked, taken apart and put in one form without making values of it:
//! numbers stay as they were written. Must not be given text that is not JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// How deep objects and arrays may lie in each other where they are looked into.
pub(super) const DEPTH_MAX: usize = 128;

/// JSON that cannot be looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum TextError {
    /// It is too deep.
    #[error("objects and arrays may lie {DEPTH_MAX} deep in each other at most")]
    TooDeep,
    /// A text in it is none: half of a character that takes two escapes.
    #[error("an escape in it stands for half a character")]
    HalfCharacter,
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}

/// Takes out the blanks between the tokens.
pub(super) fn compact(json: &str) -> Cow<'_, [u8]> {
    let json = json.trim_matches([' ', '\t', '\n', '\r']).as_bytes();
    if !json.iter().any(|it| is_blank(*it)) {
        return Cow::Borrowed(json);
    }
    let mut kept = Vec::with_capacity(json.len());
    let (mut is_text, mut is_escaped) = (false, false);
    for byte in json {
        if is_text || !is_blank(*byte) {
            kept.push(*byte);
        }
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => is_text = !is_text,
            _ => {}
        }
    }
    Cow::Owned(kept)
}

/// Whether it is an object.
pub(super) fn is_object(json: &str) -> bool {
    json.trim_start_matches([' ', '\t', '\n', '\r']).starts_with('{')
}

/// Returns the length of the value that the text begins with.
fn value_len(json: &[u8]) -> usize {
    let (mut depth, mut is_text, mut is_escaped) = (0_usize, false, false);
    for (at, byte) in json.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => {
                is_text = !is_text;
                if !is_text && depth == 0 {
                    return at + 1;
                }
            }
            _ if is_text => {}
            b'{' | b'[' => depth += 1,
            b'}' | b']' | b',' | b':' if depth == 0 => return at,
            b'}' | b']' if depth == 1 => return at + 1,
            b'}' | b']' => depth -= 1,
            _ => {}
        }
    }
    json.len()
}

/// Iterates over the values between the brackets, and in an object over keys and values in turn.
fn items(json: &str) -> impl Iterator<Item = &str> {
    let blanks = [' ', '\t', '\n', '\r', ',', ':'];
    let inner = json.trim_matches([' ', '\t', '\n', '\r']);
    let mut rest = inner.get(1..inner.len().saturating_sub(1)).unwrap_or_default();
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(blanks);
        let (item, after) = rest.split_at(value_len(rest.as_bytes()));
        rest = after;
        Some(item.trim_end_matches(blanks)).filter(|it| !it.is_empty())
    })
}

/// Returns the members of an object; of several with one name the last.
pub(super) fn members(json: &str) -> Result<BTreeMap<String, &str>, TextError> {
    let mut items = items(json);
    let mut members = BTreeMap::new();
    while let (Some(name), Some(value)) = (items.next(), items.next()) {
        members.insert(unquote(name)?, value);
    }
    Ok(members)
}

fn unquote(text: &str) -> Result<String, TextError> {
    serde_json::from_str(text).map_err(|_| TextError::HalfCharacter)
}

pub(super) fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("text can be written as json")
}

/// Writes a value in its one form: without blanks, members sorted by name, texts escaped only
/// where they must be. Numbers stay as they are: `1` and `1.0` are two.
pub(super) fn canonical(json: &str) -> Result<String, TextError> {
    let mut text = String::with_capacity(json.len());
    write_canonical(json.trim_matches([' ', '\t', '\n', '\r']), DEPTH_MAX, &mut text)?;
    Ok(text)
}

fn write_canonical(json: &str, deeper: usize, text: &mut String) -> Result<(), TextError> {
    let inner = deeper.checked_sub(1).ok_or(TextError::TooDeep)?;
    match json.as_bytes().first() {
        Some(b'{') => {
            text.push('{');
            for (at, (name, value)) in members(json)?.into_iter().enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                text.push_str(&quote(&name));
                text.push(':');
                write_canonical(value, inner, text)?;
            }
            text.push('}');
        }
        Some(b'[') => {
            text.push('[');
            for (at, value) in items(json).enumerate() {
                text.push_str(if at == 0 { "" } else { "," });
                write_canonical(value, inner, text)?;
            }
            text.push(']');
        }
        Some(b'"') => text.push_str(&quote(&unquote(json)?)),
        Some(_) | None => text.push_str(json),
    }
    Ok(())
}

/// Checks that a value is not too deep to be walked.
pub(super) fn check_depth(depth: usize) -> Result<(), TextError> {
    if depth < DEPTH_MAX { Ok(()) } else { Err(TextError::TooDeep) }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Any JSON, with texts that are hard to tell from its marks.
    pub(in crate::v1::data) fn any_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof!["[a-c/~]{0,2}", r#"["\\{}\[\],: éa]{0,6}"#];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, move |inner| {
            let object = proptest::collection::btree_map(text.clone(), inner.clone(), 0..4);
            prop_oneof![
                proptest::collection::vec(inner, 0..4).prop_map(Value::from),
                object.prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn text_stays_what_it_means(value in any_json()) {
            let pretty = format!(" {} ", serde_json::to_string_pretty(&value).unwrap());
            let compacted = compact(&pretty);
            prop_assert_eq!(compacted.into_owned(), value.to_string().into_bytes());
            prop_assert_eq!(canonical(&pretty), canonical(&value.to_string()));
            let canonical = canonical(&pretty).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Value>(&canonical).unwrap(), &value);
            if let Value::Object(object) = &value {
                let members = members(&pretty).unwrap();
                prop_assert_eq!(members.len(), object.len());
                for (name, text) in members {
                    prop_assert_eq!(&serde_json::from_str::<Value>(text).unwrap(), &object[&name]);
                }
            }
        }
    }

    #[test]
    fn one_value_has_one_form() {
        let check = |json: &str, expected: Result<&str, TextError>| {
            assert_eq!(canonical(json).as_deref().map_err(|it| *it), expected, "{json}");
        };
        check(r#" {"b": 1.0, "a": [ 1, "\u0041\/" ]} "#, Ok(r#"{"a":[1,"A/"],"b":1.0}"#));
        check(r#"{"a": 1, "a": 2}"#, Ok(r#"{"a":2}"#));
        check("[]", Ok("[]"));
        check(r#"{"\ud800": 1}"#, Err(TextError::HalfCharacter));
        check(
            &format!("{}{}", "[".repeat(127), "]".repeat(127)),
            Ok(&("[".repeat(127) + &"]".repeat(127))),
        );
        check(&format!("{}{}", "[".repeat(129), "]".repeat(129)), Err(TextError::TooDeep));
    }
}
