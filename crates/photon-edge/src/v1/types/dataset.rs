//! Datasets in JSON: what their records hold, where they live, how they are read and written.
//! Must not know any record.

use std::collections::BTreeMap;
use std::time::Duration;

use photon_region::data::{self, DatasetName, DatasetSpec, Kind, Policy};
use photon_state::RegionId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::placing;

/// The longest that a content may last, in milliseconds: what is longer is meant to be for ever.
pub const TTL_MS_MAX: u64 = 3_153_600_000_000;

/// A dataset: what its records hold, where they live, and how they are read and written. What
/// `GET` shows may be sent back with `PUT`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"type": "register", "placement": "global"}))]
pub struct Dataset {
    /// Its name; in a request it may be absent, because the path has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[a-z][a-z0-9._-]{0,62}$")]
    pub name: Option<String>,
    /// What a record holds. Cannot be changed.
    #[serde(rename = "type")]
    pub kind: DatasetType,
    /// Where all records live; `global` when neither it nor `tenants` is given. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub placement: Option<String>,
    /// Where records live by their tenant: the part of the key in front of the first `/`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub tenants: Option<BTreeMap<String, String>>,
    /// Where each record lives, by the value of an attribute that whoever writes it says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub residencies: Option<BTreeMap<String, String>>,
    /// With `residencies`: what the attribute is called in maps and documents; `residency` when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_length = 1, max_length = 64)]
    pub attribute: Option<String>,
    /// Where those of all other tenants live, or of which nothing is said; without it they are
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub others: Option<String>,
    /// What a region does when it is asked for a record that may not live in it.
    #[serde(default)]
    pub outside: Elsewhere,
    /// Who may write.
    #[serde(default)]
    pub mode: DatasetMode,
    /// With one master: the region that writes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub master: Option<String>,
    /// With `single-master`: what the other regions do with a write.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub elsewhere: Option<Elsewhere>,
    /// Which of several concurrent writes is shown.
    #[serde(default)]
    pub conflicts: ConflictPolicy,
    /// With `conflicts` = `prefer`: the region whose writes are shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub prefer: Option<String>,
    /// When a write is acknowledged, unless it says otherwise.
    #[serde(default)]
    pub write_consistency: WriteConsistency,
    /// What a read may miss, unless it says otherwise.
    #[serde(default)]
    pub read_consistency: ReadConsistency,
    /// How long a content lasts after it was written, unless the write says otherwise; for ever
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 3_153_600_000_000_i64)]
    pub ttl_ms: Option<u64>,
    /// The longest that a content may last after it was written; whatever names no other time
    /// lasts as long. Not of counters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 3_153_600_000_000_i64)]
    pub retention_ms: Option<u64>,
    /// Whether the names of its keys are told to nobody outside their placement.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sensitive_keys: bool,
}

/// Declares names for the variants of an enum of the region: one table for both directions.
macro_rules! names {
    (
        $(#[doc = $about:literal])+ $name:ident, default $default:ident {
            $(#[doc = $meaning:literal] $variant:ident = $text:literal,)+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
        // The document would not see the names if each variant were renamed by this macro.
        #[serde(rename_all = "kebab-case")]
        pub enum $name {
            $(#[doc = $meaning] $variant,)+
        }

        impl $name {
            /// All names, for whoever lists the choices.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// Returns the name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }

            /// Finds what is named so.
            #[must_use]
            pub fn named(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::$default
            }
        }
    };
}

/// Declares that an enum has the same variants as one of the region.
macro_rules! same {
    ($name:ident = $other:ty { $($variant:ident),+ }) => {
        impl From<$name> for $other {
            fn from(it: $name) -> Self {
                match it {
                    $($name::$variant => Self::$variant,)+
                }
            }
        }

        impl From<$other> for $name {
            fn from(it: $other) -> Self {
                match it {
                    $(<$other>::$variant => Self::$variant,)+
                }
            }
        }
    };
}

names! {
    /// What a record holds.
    DatasetType, default Register {
        /// One value: JSON, or bytes with a media type.
        Register = "register",
        /// A number that regions add to and take from.
        Counter = "counter",
        /// The same, and it never goes below zero.
        BoundedCounter = "bounded-counter",
        /// JSON values, each at most once.
        Set = "set",
        /// Named JSON values.
        Map = "map",
        /// A JSON object, merged member by member.
        Document = "document",
    }
}
same! { DatasetType = Kind { Register, Counter, BoundedCounter, Set, Map, Document } }

names! {
    /// What a region does with a request that another must serve.
    Elsewhere, default Forward {
        /// It hands it on, and keeps nothing.
        Forward = "forward",
        /// It refuses, and says who could serve it.
        Refuse = "refuse",
    }
}
same! { Elsewhere = data::Outside { Forward, Refuse } }

names! {
    /// Who may write.
    DatasetMode, default MultiMaster {
        /// Every region of the placement.
        MultiMaster = "multi-master",
        /// One region; the others do what `elsewhere` says.
        SingleMaster = "single-master",
        /// One region; the others hand writes on to it, and answer reads themselves.
        AsyncMaster = "async-master",
    }
}

names! {
    /// Which of several concurrent writes is shown.
    ConflictPolicy, default LastWriter {
        /// The last by its time (hybrid logical clock).
        LastWriter = "last-writer",
        /// All of them.
        KeepAll = "keep-all",
        /// The greatest, as numbers if both are.
        Highest = "highest",
        /// The least.
        Lowest = "lowest",
        /// That of the region in `prefer`, or else the last.
        Prefer = "prefer",
    }
}

names! {
    /// When a write is acknowledged.
    WriteConsistency, default Eventual {
        /// Durable in the region that writes.
        Eventual = "eventual",
        /// Durable in a majority of the placement.
        Quorum = "quorum",
        /// Durable in every region of the placement.
        Strong = "strong",
    }
}
same! { WriteConsistency = data::WriteLevel { Eventual, Quorum, Strong } }

names! {
    /// What a read may miss.
    ReadConsistency, default Session {
        /// Whatever has not arrived.
        Eventual = "eventual",
        /// Nothing that the session wrote or read.
        Session = "session",
        /// Nothing that the session wrote or read, nor what that depended on.
        Causal = "causal",
        /// Nothing that is durable in a majority of the placement.
        Quorum = "quorum",
        /// Nothing that the record's home has decided.
        Linearizable = "linearizable",
    }
}
same! { ReadConsistency = data::ReadLevel { Eventual, Session, Causal, Quorum, Linearizable } }

/// A key of a dataset's declaration that cannot be as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{rule}")]
pub struct DatasetFault {
    /// The key.
    pub field: &'static str,
    /// How it should be.
    pub rule: String,
}

pub(super) fn fault(field: &'static str, rule: impl Into<String>) -> DatasetFault {
    DatasetFault { field, rule: rule.into() }
}

impl Dataset {
    /// Checks the declaration by itself: whether its placements and regions are those of a planet
    /// is for others to say.
    pub fn spec(&self, name: DatasetName) -> Result<DatasetSpec, DatasetFault> {
        if self.name.as_ref().is_some_and(|it| it != name.as_str()) {
            return Err(fault("name", format!("the path names `{name}`: leave it out")));
        }
        if self.ttl_ms.is_some_and(|it| !(1..=TTL_MS_MAX).contains(&it)) {
            return Err(fault("ttl_ms", format!("use a whole number from 1 to {TTL_MS_MAX}")));
        }
        if self.retention_ms.is_some_and(|it| !(1..=TTL_MS_MAX).contains(&it)) {
            return Err(fault(
                "retention_ms",
                format!("use a whole number from 1 to {TTL_MS_MAX}"),
            ));
        }
        if self.retention_ms.is_some_and(|max| self.ttl_ms.is_some_and(|ttl| max < ttl)) {
            return Err(fault("ttl_ms", "it must not be longer than `retention_ms`"));
        }
        Ok(DatasetSpec {
            name,
            kind: self.kind.into(),
            rule: placing::rule(self)?,
            outside: self.outside.into(),
            mode: self.mode()?,
            policy: self.policy()?,
            write_level: self.write_consistency.into(),
            read_level: self.read_consistency.into(),
            ttl: self.ttl_ms.map(Duration::from_millis),
            retention: self.retention_ms.map(Duration::from_millis),
            sensitive_keys: self.sensitive_keys,
        })
    }

    fn mode(&self) -> Result<data::Mode, DatasetFault> {
        let master = self.master.as_deref().map(|it| region("master", it)).transpose()?;
        let needed = || fault("master", "name the region that writes");
        if self.elsewhere.is_some() && self.mode != DatasetMode::SingleMaster {
            return Err(fault("elsewhere", "it goes with `single-master`"));
        }
        match (self.mode, master) {
            (DatasetMode::MultiMaster, None) => Ok(data::Mode::MultiMaster),
            (DatasetMode::MultiMaster, Some(_)) => {
                Err(fault("master", "it goes with `single-master` and `async-master`"))
            }
            (DatasetMode::SingleMaster, master) => {
                let elsewhere = self.elsewhere.unwrap_or_default().into();
                Ok(data::Mode::SingleMaster { master: master.ok_or_else(needed)?, elsewhere })
            }
            (DatasetMode::AsyncMaster, master) => {
                Ok(data::Mode::AsyncMaster { master: master.ok_or_else(needed)? })
            }
        }
    }

    fn policy(&self) -> Result<Policy, DatasetFault> {
        let preferred = self.prefer.as_deref().map(|it| region("prefer", it)).transpose()?;
        if preferred.is_some() && self.conflicts != ConflictPolicy::Prefer {
            return Err(fault("prefer", "it goes with `conflicts` = `prefer`"));
        }
        match self.conflicts {
            ConflictPolicy::LastWriter => Ok(Policy::LastWriter),
            ConflictPolicy::KeepAll => Ok(Policy::KeepAll),
            ConflictPolicy::Highest => Ok(Policy::Highest),
            ConflictPolicy::Lowest => Ok(Policy::Lowest),
            ConflictPolicy::Prefer => {
                let needed = || fault("prefer", "name the region whose writes are shown");
                Ok(Policy::Prefer(preferred.ok_or_else(needed)?))
            }
        }
    }
}

fn region(field: &'static str, text: &str) -> Result<RegionId, DatasetFault> {
    RegionId::try_from(text).map_err(|err| fault(field, err.to_string()))
}

/// Splits a policy into its name and the region that it prefers.
pub(crate) fn policy(policy: Policy) -> (ConflictPolicy, Option<String>) {
    match policy {
        Policy::LastWriter => (ConflictPolicy::LastWriter, None),
        Policy::KeepAll => (ConflictPolicy::KeepAll, None),
        Policy::Highest => (ConflictPolicy::Highest, None),
        Policy::Lowest => (ConflictPolicy::Lowest, None),
        Policy::Prefer(region) => (ConflictPolicy::Prefer, Some(region.to_string())),
    }
}

impl From<&DatasetSpec> for Dataset {
    fn from(spec: &DatasetSpec) -> Self {
        let (mode, elsewhere) = match spec.mode {
            data::Mode::MultiMaster => (DatasetMode::MultiMaster, None),
            data::Mode::SingleMaster { elsewhere, master: _ } => {
                (DatasetMode::SingleMaster, Some(elsewhere.into()))
            }
            data::Mode::AsyncMaster { master: _ } => (DatasetMode::AsyncMaster, None),
        };
        let (conflicts, prefer) = policy(spec.policy);
        let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        Self {
            name: Some(spec.name.to_string()),
            kind: spec.kind.into(),
            outside: spec.outside.into(),
            mode,
            master: spec.mode.master().map(|it| it.to_string()),
            elsewhere,
            conflicts,
            prefer,
            write_consistency: spec.write_level.into(),
            read_consistency: spec.read_level.into(),
            ttl_ms: spec.ttl.map(millis),
            retention_ms: spec.retention.map(millis),
            sensitive_keys: spec.sensitive_keys,
            ..placing::shown(&spec.rule)
        }
    }
}

/// All datasets, by name.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Datasets {
    /// The datasets.
    pub datasets: Vec<Dataset>,
}

/// Which region shall write a dataset.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"region": "eu-west-1"}))]
pub struct MasterPut {
    /// The region.
    #[schema(pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub region: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: Result<(), &str>) {
        let dataset: Dataset = serde_json::from_str(json).unwrap();
        let name = DatasetName::try_from("d").unwrap();
        let spec = dataset.spec(name.clone());
        assert_eq!(spec.as_ref().map(|_| ()).map_err(|err| err.field), expected, "{json}");
        if let Ok(spec) = spec {
            assert_eq!(Dataset::from(&spec).spec(name), Ok(spec), "{json}");
        }
    }

    #[test]
    fn a_name_is_the_same_in_json_and_elsewhere() {
        macro_rules! check {
            ($($name:ident)+) => {$(
                for text in $name::NAMES {
                    let named = $name::named(text).unwrap();
                    assert_eq!(serde_json::to_value(named).unwrap(), *text);
                    assert_eq!(named.as_str(), *text);
                }
            )+};
        }
        check! { DatasetType Elsewhere DatasetMode ConflictPolicy WriteConsistency ReadConsistency }
    }

    #[test]
    fn what_is_shown_can_be_declared_and_what_makes_no_sense_is_named() {
        check(r#"{"type": "register"}"#, Ok(()));
        check(r#"{"type": "set", "placement": "eu", "outside": "refuse", "ttl_ms": 5}"#, Ok(()));
        check(r#"{"type": "map", "tenants": {"acme": "eu"}, "others": "us"}"#, Ok(()));
        let by_record = r#"{"type": "map", "residencies": {"eu": "eu"}"#;
        check(&format!("{by_record}, \"attribute\": \"home\", \"others\": \"us\"}}"), Ok(()));
        check(&format!("{by_record}, \"sensitive_keys\": true}}"), Ok(()));
        check(&format!("{by_record}, \"placement\": \"eu\"}}"), Err("placement"));
        check(&format!("{by_record}, \"tenants\": {{\"a\": \"eu\"}}}}"), Err("tenants"));
        check(&format!("{by_record}, \"attribute\": \"\"}}"), Err("attribute"));
        check(r#"{"type": "map", "attribute": "home"}"#, Err("attribute"));
        check(r#"{"type": "map", "residencies": {}}"#, Err("residencies"));
        check(r#"{"type": "map", "residencies": {"others": "eu"}}"#, Err("residencies"));
        check(r#"{"type": "map", "mode": "async-master", "master": "eu-west-1"}"#, Ok(()));
        let single = r#"{"type": "map", "mode": "single-master", "master": "a", "elsewhere": "#;
        check(&format!("{single}\"refuse\"}}"), Ok(()));
        check(r#"{"type": "map", "conflicts": "prefer", "prefer": "eu-west-1"}"#, Ok(()));
        check(r#"{"type": "map", "placement": "EU"}"#, Err("placement"));
        check(r#"{"type": "map", "placement": "eu", "tenants": {"a": "eu"}}"#, Err("placement"));
        check(r#"{"type": "map", "tenants": {}}"#, Err("tenants"));
        check(r#"{"type": "map", "tenants": {"a/b": "eu"}}"#, Err("tenants"));
        check(r#"{"type": "map", "others": "eu"}"#, Err("others"));
        check(r#"{"type": "map", "mode": "single-master"}"#, Err("master"));
        check(r#"{"type": "map", "master": "a"}"#, Err("master"));
        check(r#"{"type": "map", "elsewhere": "refuse"}"#, Err("elsewhere"));
        check(r#"{"type": "map", "conflicts": "prefer"}"#, Err("prefer"));
        check(r#"{"type": "map", "prefer": "a"}"#, Err("prefer"));
        check(r#"{"type": "map", "ttl_ms": 0}"#, Err("ttl_ms"));
        check(r#"{"type": "map", "ttl_ms": 5, "retention_ms": 5}"#, Ok(()));
        check(r#"{"type": "map", "ttl_ms": 6, "retention_ms": 5}"#, Err("ttl_ms"));
        check(r#"{"type": "map", "retention_ms": 0}"#, Err("retention_ms"));
        check(r#"{"type": "map", "name": "e"}"#, Err("name"));
    }
}
