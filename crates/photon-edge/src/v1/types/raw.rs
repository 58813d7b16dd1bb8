//! JSON that is passed on as it is.
//! Must not look inside, unless the reader asks for it.

use std::fmt;
use std::marker::PhantomData;

use photon_region::Json;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// The JSON of a `T`, passed on byte for byte and parsed only by who wants to look inside.
pub struct Raw<T> {
    json: Box<RawValue>,
    of: PhantomData<fn() -> T>,
}

impl<T> Raw<T> {
    /// Takes over what the region keeps. JSON is checked on its way in, so anything else is a
    /// fault of ours: it becomes `null`.
    #[must_use]
    pub fn from_kept(kept: &Json) -> Self {
        Self::from_json(serde_json::from_slice(&kept.0).unwrap_or_else(|err| {
            tracing::error!(%err, "the region keeps what is not json");
            RawValue::NULL.to_owned()
        }))
    }

    pub(crate) fn from_json(json: Box<RawValue>) -> Self {
        Self { json, of: PhantomData }
    }

    /// Returns the JSON as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.json.get()
    }
}

impl<T: DeserializeOwned> Raw<T> {
    /// Parses the JSON.
    pub fn parse(&self) -> serde_json::Result<T> {
        serde_json::from_str(self.json.get())
    }
}

impl<T> Clone for Raw<T> {
    fn clone(&self) -> Self {
        Self::from_json(self.json.clone())
    }
}

impl<T> fmt::Debug for Raw<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.json.get())
    }
}

impl<T> Serialize for Raw<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.json.serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Raw<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::from_json)
    }
}
