//! How a task is queued, timed and tried again, in JSON.
//! Must not know what a region makes of it.

use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

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
}

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
fn given_whole<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: TryFrom<u64>,
{
    whole(deserializer).map(Some)
}
