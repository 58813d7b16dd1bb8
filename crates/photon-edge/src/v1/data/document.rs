//! JSON documents as flat fields: a field for each leaf, named by its JSON pointer (RFC 6901).
//! Must not know who writes or reads them.
//!
//! Arrays are leaves, and so is an empty object, which also marks a place as an object whose
//! members were removed. The document itself has the pointer of no text.

use std::collections::BTreeMap;

use bytes::Bytes;
use photon_region::data::FieldEdit;
use photon_state::crdt::Version;
use photon_state::{Dot, Hlc};

use super::text::{DEPTH_MAX, TextError, check_depth, compact, is_object, members, quote};

/// The leaf of an object without members.
const EMPTY: &[u8] = b"{}";

fn step(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn unescape(name: &str) -> String {
    name.replace("~1", "/").replace("~0", "~")
}

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

fn content(json: &str) -> Bytes {
    compact(json).into_owned().into()
}

/// Returns the fields of a whole document.
pub(super) fn flatten(document: &str) -> Result<Vec<(Bytes, Bytes)>, TextError> {
    let mut fields = Vec::new();
    flatten_below("", document, 0, &mut fields)?;
    Ok(fields)
}

fn flatten_below(
    pointer: &str,
    json: &str,
    depth: usize,
    fields: &mut Vec<(Bytes, Bytes)>,
) -> Result<(), TextError> {
    check_depth(depth)?;
    if !is_object(json) {
        fields.push((bytes(pointer), content(json)));
        return Ok(());
    }
    let members = members(json)?;
    if members.is_empty() {
        fields.push((bytes(pointer), Bytes::from_static(EMPTY)));
    }
    for (name, value) in members {
        flatten_below(&step(pointer, &name), value, depth + 1, fields)?;
    }
    Ok(())
}

/// Returns the changes that a merge patch (RFC 7396) makes, whatever the document holds.
pub(super) fn merge(patch: &str) -> Result<Vec<FieldEdit>, TextError> {
    let mut edits = Vec::new();
    merge_object("", patch, 0, &mut edits)?;
    Ok(edits)
}

/// Whether something was written at a place or below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrote {
    Something,
    Nothing,
}

fn merge_object(
    pointer: &str,
    patch: &str,
    depth: usize,
    edits: &mut Vec<FieldEdit>,
) -> Result<(), TextError> {
    check_depth(depth)?;
    let mut wrote = Wrote::Nothing;
    for (name, value) in members(patch)? {
        let below = step(pointer, &name);
        if is_object(value) {
            merge_object(&below, value, depth + 1, edits)?;
            wrote = Wrote::Something;
            continue;
        }
        edits.push(FieldEdit::RemoveUnder(bytes(&format!("{below}/"))));
        if value == "null" {
            edits.push(FieldEdit::Remove(bytes(&below)));
        } else {
            edits.push(FieldEdit::Set(bytes(&below), content(value)));
            wrote = Wrote::Something;
        }
    }
    // Whatever was here, an object is here after it: a leaf below shows that, or else a mark.
    edits.push(match wrote {
        Wrote::Something => FieldEdit::Remove(bytes(pointer)),
        Wrote::Nothing => FieldEdit::Set(bytes(pointer), Bytes::from_static(EMPTY)),
    });
    Ok(())
}

/// A part of a document that is read.
#[derive(Debug)]
enum Tree<'a> {
    Object(BTreeMap<String, Tree<'a>>),
    Leaf(&'a [u8]),
}

impl<'a> Tree<'a> {
    fn empty() -> Self {
        Self::Object(BTreeMap::new())
    }

    /// Sets what a pointer names, as one who writes to this very document would. No client writes
    /// below [`DEPTH_MAX`]; what another region says is cut there, or it would use up the stack.
    fn set(&mut self, pointer: &str, content: &'a [u8]) {
        let mut place = self;
        for name in pointer.split('/').skip(1).take(DEPTH_MAX) {
            if matches!(place, Self::Leaf(_)) {
                *place = Self::empty();
            }
            let Self::Object(members) = place else { unreachable!("it was just made one") };
            place = members.entry(unescape(name)).or_insert_with(Self::empty);
        }
        match place {
            Self::Object(_) if content == EMPTY => {}
            Self::Leaf(_) if content == EMPTY => *place = Self::empty(),
            Self::Object(_) | Self::Leaf(_) => *place = Self::Leaf(content),
        }
    }

    fn write(&self, json: &mut Vec<u8>) {
        match self {
            Self::Leaf(content) => json.extend_from_slice(content),
            Self::Object(members) => {
                json.push(b'{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if 0 < at {
                        json.push(b',');
                    }
                    json.extend_from_slice(quote(name).as_bytes());
                    json.push(b':');
                    value.write(json);
                }
                json.push(b'}');
            }
        }
    }
}

/// Writes the document that fields make. Where regions wrote a leaf and something below it without
/// knowing of each other, the younger one wins, in every region: all is read as if it had been
/// written one after the other.
pub(super) fn unflatten<'a>(fields: impl Iterator<Item = (&'a Bytes, &'a Version)>) -> Vec<u8> {
    let order = |(pointer, it): &(&'a Bytes, &Version)| -> (Hlc, Dot, &'a Bytes) {
        (it.at, it.dot, *pointer)
    };
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by_key(order);
    let mut tree = Tree::empty();
    for (pointer, version) in fields {
        tree.set(&String::from_utf8_lossy(pointer), &version.written.bytes);
    }
    let mut json = Vec::new();
    tree.write(&mut json);
    json
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use photon_state::crdt::Written;
    use photon_state::{RegionId, Source};
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::super::text::tests::any_json;
    use super::*;

    /// The fields of a document, as the region keeps them.
    #[derive(Clone, Default)]
    struct Kept(BTreeMap<Bytes, Version>);

    impl Kept {
        fn set(&mut self, field: Bytes, bytes: Bytes, seq: u64) {
            let origin = RegionId::try_from("eu-west-1").unwrap();
            let dot = Dot { source: Source { origin, incarnation: 1 }, seq };
            let at = Hlc { wall_ms: seq, count: 0 };
            self.0.insert(field, Version { dot, at, written: Written { bytes, expires_ms: None } });
        }

        fn edit(&mut self, edits: Vec<FieldEdit>, seq: u64) {
            // All edits of one write are made of what was there before it.
            let before: Vec<Bytes> = self.0.keys().cloned().collect();
            for edit in edits {
                match edit {
                    FieldEdit::Set(field, content) => self.set(field, content, seq),
                    FieldEdit::Remove(field) => drop(self.0.remove(&field)),
                    FieldEdit::RemoveUnder(under) => {
                        let gone = before.iter().filter(|it| it.starts_with(&under));
                        gone.for_each(|it| drop(self.0.remove(it)));
                    }
                }
            }
        }

        fn read(&self) -> Value {
            serde_json::from_slice(&unflatten(self.0.iter())).unwrap()
        }
    }

    /// The algorithm of RFC 7396, word by word.
    fn merged(target: &Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut members = target.as_object().cloned().unwrap_or_default();
        for (name, value) in patch {
            if value.is_null() {
                members.remove(name);
            } else {
                let target = members.remove(name).unwrap_or(Value::Null);
                members.insert(name.clone(), merged(&target, value));
            }
        }
        Value::Object(members)
    }

    fn any_object() -> impl Strategy<Value = Value> {
        let members = proptest::collection::btree_map("[ab/~]{0,2}", any_json(), 0..4);
        members.prop_map(|it| Value::Object(it.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn a_merge_patch_does_what_rfc_7396_says(
            first in any_object(), patches in proptest::collection::vec(any_object(), 0..5),
        ) {
            let mut kept = Kept::default();
            for (field, content) in flatten(&first.to_string()).unwrap() {
                kept.set(field, content, 1);
            }
            prop_assert_eq!(&kept.read(), &first);
            let mut expected = first;
            for (seq, patch) in (2..).zip(&patches) {
                kept.edit(merge(&patch.to_string()).unwrap(), seq);
                expected = merged(&expected, patch);
                prop_assert_eq!(&kept.read(), &expected, "after {}", patch);
                prop_assert!(!kept.0.is_empty(), "a document without members is one");
            }
        }

        #[test]
        fn a_patch_names_no_field_twice(patch in any_object()) {
            let edits = merge(&patch.to_string()).unwrap();
            let mut named = std::collections::BTreeSet::new();
            for edit in &edits {
                if let FieldEdit::Set(field, _) | FieldEdit::Remove(field) = edit {
                    prop_assert!(named.insert(field.clone()), "{:?}", edits);
                }
            }
            for edit in &edits {
                let FieldEdit::RemoveUnder(under) = edit else { continue };
                prop_assert!(!named.iter().any(|it| it.starts_with(under)), "{:?}", edits);
            }
        }

        #[test]
        fn a_conflict_is_read_alike_in_whatever_order_it_came(
            first in any_object(), second in any_object(), swap in any::<bool>(),
        ) {
            let (mut one, mut other) = (Kept::default(), Kept::default());
            let all = [(first, 1), (second, 2)];
            for (kept, is_swapped) in [(&mut one, swap), (&mut other, !swap)] {
                let mut all: Vec<_> = all.iter().collect();
                if is_swapped {
                    all.reverse();
                }
                for (document, seq) in all {
                    for (field, content) in flatten(&document.to_string()).unwrap() {
                        if kept.0.get(&field).is_none_or(|it| it.dot.seq < *seq) {
                            kept.set(field, content, *seq);
                        }
                    }
                }
            }
            prop_assert_eq!(one.read(), other.read());
        }
    }

    #[test]
    fn a_pointer_of_another_region_that_is_too_deep_is_cut() {
        let mut kept = Kept::default();
        kept.set(bytes(&"/a".repeat(1_000_000)), bytes("1"), 1);
        let text = unflatten(kept.0.iter());
        assert_eq!(text.iter().filter(|it| **it == b'{').count(), DEPTH_MAX);
    }

    #[test]
    fn of_a_leaf_and_what_is_below_it_the_younger_wins() {
        let check = |fields: &[(&str, &str, u64)], expected: Value| {
            let mut kept = Kept::default();
            for (field, content, seq) in fields {
                kept.set(bytes(field), bytes(content), *seq);
            }
            assert_eq!(kept.read(), expected, "{fields:?}");
        };
        check(&[("/a", "5", 2), ("/a/b", "1", 1)], json!({"a": 5}));
        check(&[("/a", "5", 2), ("/a/b", "1", 3)], json!({"a": {"b": 1}}));
        check(&[("/a", "5", 2), ("/a/b", "1", 1), ("/a/c", "1", 3)], json!({"a": {"c": 1}}));
        check(&[("/a", "{}", 2), ("/a/b", "1", 1)], json!({"a": {"b": 1}}));
        check(&[("/a", "5", 1), ("/a/b", "{}", 2)], json!({"a": {"b": {}}}));
        check(&[("", "{}", 9), ("/a~1b/~0", "1", 1)], json!({"a/b": {"~": 1}}));
        check(&[("/", "1", 1)], json!({"": 1}));
        check(&[("", "{}", 1)], json!({}));
    }
}
