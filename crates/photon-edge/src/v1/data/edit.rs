//! What a client writes, as edits: which body means what for which type.
//! Must not know how it came: alone or with others.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use photon_region::data::{Edit, FieldEdit, Kind, Spot};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::ask::residency;
use super::document;
use super::text::{canonical, compact, is_object, members};
use crate::names::Invalid;
use crate::v1::types::{Object, given};

/// Returns the edit that writes a whole value. `field` names the value in errors.
pub(super) fn put(field: &str, kind: Kind, value: &RawValue) -> Result<Edit, Invalid> {
    let json = value.get();
    let odd = |rule: &str| Invalid::new(field, rule);
    match kind {
        Kind::Register => Ok(Edit::Put(copy(&compact(json)))),
        Kind::Set => {
            let elements = elements(field, json)?;
            Ok(Edit::Replace(elements.into_iter().map(|it| (it, Bytes::new())).collect()))
        }
        Kind::Map => {
            let fields = object(field, json)?.into_iter();
            let fields = fields.map(|(name, it)| (Bytes::from(name), copy(&compact(it))));
            Ok(Edit::Replace(fields.collect()))
        }
        Kind::Document => {
            if !is_object(json) {
                return Err(odd("a document is a JSON object"));
            }
            let fields = document::flatten(json);
            Ok(Edit::Replace(fields.map_err(|err| odd(&err.to_string()))?))
        }
        Kind::Counter | Kind::BoundedCounter => {
            Err(odd("a counter is not written, but changed: PATCH it with {\"add\": n}"))
        }
    }
}

/// Returns where what is written says that it lives, by a member with the name of the attribute.
pub(super) fn spot(
    field: &str,
    attribute: &str,
    value: &RawValue,
) -> Result<Option<Spot>, Invalid> {
    let members = object(field, value.get())?;
    let Some(said) = members.get(attribute).filter(|it| **it != "null") else { return Ok(None) };
    let field = format!("{field}.{attribute}");
    let text: Option<String> = serde_json::from_str(said).ok();
    let text = text.ok_or_else(|| Invalid::new(&*field, "text says where the record lives"))?;
    residency(&field, &text).map(Some)
}

/// A change of a counter.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sum {
    add: i64,
}

/// A change of a set.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Elements<'a> {
    #[serde(default, borrow, deserialize_with = "given")]
    add: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "given")]
    remove: Option<&'a RawValue>,
}

/// Returns the edit that changes a part of a value.
pub(super) fn patch(field: &str, kind: Kind, patch: &RawValue) -> Result<Edit, Invalid> {
    let json = patch.get();
    let odd = |rule: String| Invalid::new(field, rule);
    let says = |err: serde_json::Error| {
        let text = err.to_string();
        odd(text.split(" at line ").next().unwrap_or_default().to_owned())
    };
    match kind {
        Kind::Register => Err(odd("a register has no parts: PUT it".to_owned())),
        Kind::Counter | Kind::BoundedCounter => {
            let Object(Sum { add }) = serde_json::from_str(json).map_err(says)?;
            Ok(Edit::Add(add))
        }
        Kind::Set => {
            let Object(Elements { add, remove }) = serde_json::from_str(json).map_err(says)?;
            if add.is_none() && remove.is_none() {
                return Err(odd("give `add`, `remove`, or both".to_owned()));
            }
            let list = |name: &str, it: Option<&RawValue>| match it {
                Some(it) => elements(&format!("{field}.{name}"), it.get()),
                None => Ok(BTreeSet::new()),
            };
            let (add, remove) = (list("add", add)?, list("remove", remove)?);
            if !add.is_disjoint(&remove) {
                return Err(odd("an element is both added and removed".to_owned()));
            }
            let add = add.into_iter().map(|it| FieldEdit::Set(it, Bytes::new()));
            Ok(Edit::Fields(add.chain(remove.into_iter().map(FieldEdit::Remove)).collect()))
        }
        Kind::Map => {
            let fields = object(field, json)?.into_iter().map(|(name, value)| match value {
                "null" => FieldEdit::Remove(name.into()),
                value => FieldEdit::Set(name.into(), copy(&compact(value))),
            });
            Ok(Edit::Fields(fields.collect()))
        }
        Kind::Document => {
            if !is_object(json) {
                return Err(odd("a merge patch of a document is a JSON object".to_owned()));
            }
            document::merge(json).map(Edit::Fields).map_err(|err| odd(err.to_string()))
        }
    }
}

fn copy(bytes: &[u8]) -> Bytes {
    // A slice of the request would keep all of it in memory for as long as the record lasts.
    Bytes::copy_from_slice(bytes)
}

fn elements(field: &str, json: &str) -> Result<BTreeSet<Bytes>, Invalid> {
    let all: Vec<&RawValue> = serde_json::from_str(json)
        .map_err(|_| Invalid::new(field, "the elements of a set are a JSON array"))?;
    let elements = all.into_iter().map(|it| canonical(it.get()).map(Bytes::from));
    elements.collect::<Result<_, _>>().map_err(|err| Invalid::new(field, err.to_string()))
}

fn object<'a>(field: &str, json: &'a str) -> Result<BTreeMap<String, &'a str>, Invalid> {
    if !is_object(json) {
        return Err(Invalid::new(field, "the fields of a map are a JSON object"));
    }
    members(json).map_err(|err| Invalid::new(field, err.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    fn raw(json: &str) -> &RawValue {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_body_means_what_the_type_says() {
        let check = |kind, json: &str, expected: Edit| {
            assert_eq!(put("body", kind, raw(json)), Ok(expected), "{kind} {json}");
        };
        let pairs = |all: &[(&str, &str)]| {
            Edit::Replace(all.iter().map(|(a, b)| (bytes(a), bytes(b))).collect())
        };
        check(Kind::Register, "{\"a\": 1}", Edit::Put(bytes("{\"a\":1}")));
        check(Kind::Register, "null", Edit::Put(bytes("null")));
        check(Kind::Set, "[2, \"a\", 2, {\"b\": 1, \"a\": 2}]", {
            pairs(&[("\"a\"", ""), ("2", ""), ("{\"a\":2,\"b\":1}", "")])
        });
        check(Kind::Map, "{\"b\": null, \"a\": [1, 2]}", pairs(&[("a", "[1,2]"), ("b", "null")]));
        check(Kind::Document, "{\"a\": {\"b/c\": 1}}", pairs(&[("/a/b~1c", "1")]));
        check(Kind::Document, "{}", pairs(&[("", "{}")]));
        for (kind, json) in [
            (Kind::Set, "{}"),
            (Kind::Map, "[]"),
            (Kind::Document, "1"),
            (Kind::Counter, "1"),
            (Kind::BoundedCounter, "1"),
        ] {
            assert_eq!(put("body", kind, raw(json)).unwrap_err().field, "body", "{kind} {json}");
        }
    }

    #[test]
    fn a_patch_means_what_the_type_says() {
        let check = |kind, json: &str, expected: Edit| {
            assert_eq!(patch("body", kind, raw(json)), Ok(expected), "{kind} {json}");
        };
        check(Kind::Counter, "{\"add\": -3}", Edit::Add(-3));
        let (set, gone) = (
            |it: &str, content: &str| FieldEdit::Set(bytes(it), bytes(content)),
            |it: &str| FieldEdit::Remove(bytes(it)),
        );
        let edits = Edit::Fields(vec![set("1", ""), gone("2")]);
        check(Kind::Set, "{\"add\": [1, 1], \"remove\": [2]}", edits);
        let edits = Edit::Fields(vec![gone("a"), set("b", "{\"c\":null}")]);
        check(Kind::Map, "{\"a\": null, \"b\": {\"c\": null}}", edits);
        for (kind, json) in [
            (Kind::Register, "{}"),
            (Kind::Counter, "{}"),
            (Kind::Counter, "{\"add\": 1.5}"),
            (Kind::Counter, "{\"add\": 9223372036854775808}"),
            (Kind::Counter, "[1]"),
            (Kind::Set, "{}"),
            (Kind::Set, "{\"add\": null}"),
            (Kind::Set, "{\"add\": [1], \"remove\": [1]}"),
            (Kind::Map, "[]"),
            (Kind::Document, "null"),
        ] {
            let field = patch("body", kind, raw(json)).unwrap_err().field;
            assert!(field.starts_with("body"), "{kind} {json}");
        }
    }
}
