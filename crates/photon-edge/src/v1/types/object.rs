//! JSON objects, and nothing else: serde takes an array for a struct, too, field by field.
//! Must not know which struct it is.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A struct that is read from an object only.
#[derive(Debug)]
pub(crate) struct Object<T>(pub(crate) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Members(PhantomData)).map(Self)
    }
}

/// Visits the members of an object.
struct Members<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(members))
    }
}

/// Reads an object.
pub(super) fn object<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Object::deserialize(deserializer).map(|Object(it)| it)
}

/// Reads a list of objects.
pub(super) fn objects<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let objects = Vec::<Object<T>>::deserialize(deserializer)?;
    Ok(objects.into_iter().map(|Object(it)| it).collect())
}

/// Reads a list of objects that may be absent but not null.
pub(super) fn given_objects<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    objects(deserializer).map(Some)
}

/// Reads an object that may be absent but not null.
pub(super) fn given_object<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    object(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::super::{LeasePost, Message, NotesPost, TaskPost};
    use super::*;

    fn check<T: for<'de> Deserialize<'de>>(json: &str, error: Option<&str>) {
        let read = serde_json::from_str::<Object<T>>(json).err().map(|err| err.to_string());
        let says = read.as_deref().map(|it| it.split(" at line ").next().unwrap_or_default());
        assert_eq!(says, error, "{json}");
    }

    #[test]
    fn an_array_is_no_object_at_any_depth() {
        let array = Some("invalid type: sequence, expected an object");
        check::<LeasePost>(r#"{"agent": "a"}"#, None);
        check::<LeasePost>(r#"["a"]"#, array);
        check::<TaskPost>(r#"{"parts": [{"text": "a"}]}"#, None);
        check::<TaskPost>(r#"{"parts": [["a"]]}"#, array);
        check::<TaskPost>(r#"{"message": ["m", "ROLE_USER", []]}"#, array);
        check::<Message>(r#"{"messageId": "m", "role": "ROLE_USER", "parts": [["a"]]}"#, array);
        check::<NotesPost>(r#"{"token": "1", "first": 1, "notes": [["a"]]}"#, array);
        check::<NotesPost>(r#"{"token": "1", "first": 1, "notes": [{"artifact": ["a"]}]}"#, array);
        let neither = Some("expected a text, or a message with `messageId`, `role` and `parts`");
        let status =
            r#"{"token": "1", "first": 1, "notes": [{"status": ["m", "ROLE_AGENT", []]}]}"#;
        check::<NotesPost>(status, neither);
    }
}
