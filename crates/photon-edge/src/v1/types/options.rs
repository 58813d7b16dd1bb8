//! How a task is queued, timed and tried again, in JSON.
//! Must not know what a region makes of it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::object::given_object;
use super::{given, whole};

/// The longest time that a task may be given: 366 days, in milliseconds.
pub const TASK_MS_MAX: u64 = 366 * 24 * 3_600_000;

/// How a task is queued, timed and tried again, with the names and meanings of Temporal. What is
/// absent is as it is without any options.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "priority_key": 1, "fairness_key": "acme", "schedule_to_close_timeout_ms": 600_000,
    "retry_policy": {"maximum_attempts": 5}
}))]
pub struct TaskOptions {
    /// How urgent it is: 1 is the most urgent, 5 the least; 3 when absent. Whoever has waited for
    /// a while counts as more urgent.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 5)]
    pub priority_key: Option<u8>,
    /// Whose share of the agents' time it takes. Tasks that are as urgent and have different keys
    /// take turns, however many each key has.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[!-~]{1,64}$")]
    pub fairness_key: Option<String>,
    /// How large that share is beside others; 1 when absent.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0.001, maximum = 1000)]
    pub fairness_weight: Option<f64>,
    /// How long after its submission it may be given to an agent.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 31_622_400_000_i64)]
    pub start_delay_ms: Option<u64>,
    /// How long it may wait for an agent, each time that it does; then it fails.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 31_622_400_000_i64)]
    pub schedule_to_start_timeout_ms: Option<u64>,
    /// How long one attempt may take; then that has failed.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 31_622_400_000_i64)]
    pub start_to_close_timeout_ms: Option<u64>,
    /// How long all of it may take, from its submission to its end; then it fails.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 31_622_400_000_i64)]
    pub schedule_to_close_timeout_ms: Option<u64>,
    /// How long its worker may be silent; when absent as the region has it (`tasks.lease_ttl`).
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 100, maximum = 3_600_000)]
    pub heartbeat_timeout_ms: Option<u64>,
    /// When and how often it is tried again. When absent a failure that its worker reports is the
    /// end, and a worker that falls silent is followed by another one at once.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_policy: Option<RetryPolicy>,
    /// Skills that the agent must have beside the one that is asked for.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 16, pattern = "^[A-Za-z0-9][A-Za-z0-9._/-]{0,127}$")]
    pub required_skills: Option<Vec<String>>,
    /// Regions of which the agent must be attached to one; any when absent or empty.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, max_items = 64, pattern = "^[a-z][a-z0-9-]{0,22}$")]
    pub regions: Option<Vec<String>>,
    /// What the agent may ask for a task at the most.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 1_000_000)]
    pub max_cost: Option<f64>,
    /// Asks not one but many: as a task of its own for each, with what came of it as an artifact of
    /// this one.
    #[serde(default, deserialize_with = "given_object", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub fan_out: Option<FanOut>,
}

/// Of whom a task is asked that is asked of many, and what it needs of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"to": "agents", "until": 2}))]
pub struct FanOut {
    /// Of whom it is asked.
    pub to: FanOutTo,
    /// When it has come to something; `all` when absent.
    #[serde(default)]
    pub until: FanOutUntil,
}

/// Of whom a task is asked that is asked of many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FanOutTo {
    /// Of every agent that has the skill, is online and is wanted.
    Agents,
    /// Once in every region in which there is such an agent.
    Regions,
}

/// When a task has come to something that is asked of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FanOutUntil {
    /// `all`: once all have ended; done if all are.
    #[default]
    All,
    /// `quorum`: once more than a half are done; the rest is called off.
    Quorum,
    /// A number: once so many are done; the rest is called off.
    First(u32),
}

impl FanOutUntil {
    /// The most that a task may be asked of.
    pub const MAX: u32 = 256;
}

impl Serialize for FanOutUntil {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Quorum => serializer.serialize_str("quorum"),
            Self::First(count) => serializer.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for FanOutUntil {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = || {
            let max = Self::MAX;
            D::Error::custom(format!("write `all`, `quorum`, or a whole number from 1 to {max}"))
        };
        match Value::deserialize(deserializer)? {
            Value::String(text) if text == "all" => Ok(Self::All),
            Value::String(text) if text == "quorum" => Ok(Self::Quorum),
            value @ Value::Number(_) => match whole(value) {
                Ok(count @ 1..=Self::MAX) => Ok(Self::First(count)),
                Ok(_) | Err(_) => Err(wrong()),
            },
            Value::Null
            | Value::Bool(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_) => Err(wrong()),
        }
    }
}

impl PartialSchema for FanOutUntil {
    fn schema() -> RefOr<Schema> {
        let words = ObjectBuilder::new()
            .schema_type(Type::String)
            .enum_values(Some(["all", "quorum"]))
            .description(Some("Once all have ended, or once more than a half are done"));
        let count = ObjectBuilder::new()
            .schema_type(Type::Integer)
            .minimum(Some(1))
            .maximum(Some(Self::MAX))
            .description(Some("Once so many are done"));
        OneOfBuilder::new().item(words).item(count).into()
    }
}

impl ToSchema for FanOutUntil {}

/// When and how often a task is tried again whose attempt has failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"initial_interval_ms": 1000, "backoff_coefficient": 2.0,
    "maximum_interval_ms": 60_000, "maximum_attempts": 5}))]
pub struct RetryPolicy {
    /// How long after the first failure; 1,000 when absent.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 31_622_400_000_i64)]
    pub initial_interval_ms: Option<u64>,
    /// By how much each pause is longer than the one before; 2 when absent.
    #[serde(default, deserialize_with = "given", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub backoff_coefficient: Option<f64>,
    /// The longest pause, and no shorter than the first; 100 times that when absent.
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 0, maximum = 31_622_400_000_i64)]
    pub maximum_interval_ms: Option<u64>,
    /// How many attempts there are at the most, the first among them; 10 when absent, and never
    /// more than the region allows (`tasks.attempts_max`).
    #[serde(default, deserialize_with = "given_whole", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, minimum = 1, maximum = 1000)]
    pub maximum_attempts: Option<u32>,
}

/// Reads a whole number that may be absent but not null.
pub(super) fn given_whole<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    whole(deserializer).map(Some)
}
