//! The sections whose keys are numbers within bounds: one table each, from which
//! the type, its defaults, its reader, its writer and its page of documentation are made.

use std::time::Duration;

use super::measure::{ByteSize, Measure};
use super::problem::ConfigError;
use super::section::Section;

const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

const fn secs(count: u64) -> Duration {
    Duration::from_secs(count)
}

const fn hours(count: u64) -> Duration {
    Duration::from_secs(3_600 * count)
}

/// Declares a section. A key is `name: type = default, from least to most;`.
macro_rules! bounded_section {
    ($(#[doc = $about:literal])+ $name:ident in $section:literal {
        $(#[doc = $meaning:literal] $key:ident: $type:ty = $default:expr, $min:expr => $max:expr;)+
    }) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $(#[doc = $meaning] pub $key: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $name {
            /// Reads the section; keys that it lacks have their defaults.
            pub(super) fn read(section: &Section<'_>) -> Result<Self, ConfigError> {
                section.refuse_unknown(&[$(stringify!($key)),+])?;
                Ok(Self { $($key: section.measure(stringify!($key), $default, $min..=$max)?,)+ })
            }

            /// Writes the section with every key.
            pub(super) fn render(&self) -> String {
                let mut text = concat!("\n[", $section, "]\n").to_owned();
                $(text += &format!("{} = {}\n", stringify!($key), self.$key.render());)+
                text
            }

            /// Returns each key as a row of its table in the documentation.
            #[cfg(test)]
            pub(super) fn document() -> Vec<String> {
                let row = |key, kind, values: [String; 3], meaning: &str| {
                    let [default, min, max] = values;
                    format!("| `{key}` | {kind} | `{default}` | `{min}` to `{max}` |{meaning} |")
                };
                vec![$(row(
                    stringify!($key),
                    <$type as Measure>::TYPE,
                    [$default, $min, $max].map(|it: $type| it.show()),
                    $meaning,
                )),+]
            }
        }
    };
}

bounded_section! {
    /// Bounds what a region takes on as the home of tasks.
    TaskLimits in "tasks" {
        /// How long a worker may be silent before its task is offered to another.
        lease_ttl: Duration = secs(15), millis(100) => hours(1);
        /// How long a leased task may wait for its worker's first sign before it is offered again.
        pickup_ttl: Duration = secs(5), millis(100) => secs(600);
        /// Attempts at a task; it fails after the last.
        attempts_max: u32 = 20, 1 => 1_000;
        /// How long a task waits for an agent until it counts as one step more urgent.
        ageing: Duration = secs(60), secs(1) => hours(24);
        /// How long a task waits for its client to answer an agent; then it fails.
        pause_ttl: Duration = hours(168), secs(1) => hours(8_760);
        /// For how long a webhook is tried that does not take its news; then they are given up.
        push_retry_for: Duration = hours(24), secs(1) => hours(8_760);
        /// Tasks that have not ended, also those that wait for their clients; more are refused.
        open_max: usize = 100_000, 1 => 10_000_000;
        /// Bytes of tasks in memory that have not ended; more are refused.
        open_bytes_max: ByteSize = ByteSize::mib(1024), ByteSize::mib(1) => ByteSize::mib(65_536);
        /// Bytes of a task's message; a larger one is refused.
        input_bytes_max: ByteSize = ByteSize::mib(1), ByteSize::kib(1) => ByteSize::mib(4);
        /// Bytes of the notes and artifacts of one attempt; what would exceed it is refused.
        artifact_bytes_max: ByteSize = ByteSize::mib(4), ByteSize::kib(1) => ByteSize::mib(64);
        /// How long a task is kept after its end.
        retention: Duration = hours(24), secs(1) => hours(24 * 365);
        /// Bytes of ended tasks that are kept; beyond it the oldest go first.
        kept_bytes_max: ByteSize = ByteSize::mib(128), ByteSize::mib(1) => ByteSize::mib(65_536);
    }
}

bounded_section! {
    /// Bounds the registry of agents.
    AgentLimits in "agents" {
        /// How long an agent may be silent before it counts as offline.
        silent_after: Duration = secs(15), millis(100) => hours(1);
        /// Agents on the planet; more are refused.
        registered_max: usize = 100_000, 1 => 1_000_000;
    }
}

bounded_section! {
    /// Weighs what speaks for an agent when one is chosen for a task.
    Matching in "matching" {
        /// How near the agent's region is: nothing from 300 ms of round trip on.
        proximity: u32 = 40, 0 => 1_000;
        /// How much of its capacity is free; this and the next two in proportion to its successes.
        capacity: u32 = 30, 0 => 1_000;
        /// How soon it is done, by its 95th percentile: a twentieth less each time it doubles.
        latency: u32 = 20, 0 => 1_000;
        /// How little it asks for a task: a twentieth less for each doubling from a millionth.
        cost: u32 = 10, 0 => 1_000;
    }
}

bounded_section! {
    /// Bounds what clients may ask of a region at once.
    WireLimits in "limits" {
        /// Bytes of a request's body; a larger one gets 413.
        body_bytes_max: ByteSize = ByteSize::mib(2), ByteSize::kib(1) => ByteSize::mib(64);
        /// Bytes of the bodies of all requests at the same time; more get 503.
        bodies_bytes_max: ByteSize = ByteSize::mib(256), ByteSize::mib(64) => ByteSize::mib(65_536);
        /// Bytes of a request's headers; larger ones get 431.
        header_bytes_max: ByteSize = ByteSize::kib(32), ByteSize::kib(8) => ByteSize::mib(1);
        /// Open connections; further ones get 503 and are closed.
        connections_max: usize = 12_000, 16 => 1_000_000;
        /// Clients that follow a task or watch a dataset at the same time; more get 503.
        followers_max: usize = 10_000, 1 => 1_000_000;
        /// Bytes of changes that clients who watch have not read; beyond it streams end.
        watches_bytes_max: ByteSize =
            ByteSize::mib(256), ByteSize::mib(64) => ByteSize::mib(65_536);
        /// Bytes of the messages of all topics; beyond it the largest topic forgets its oldest.
        topic_bytes_max: ByteSize =
            ByteSize::mib(256), ByteSize::mib(16) => ByteSize::mib(65_536);
        /// How long a request may take, long polls and streams aside; after it comes 503.
        request_timeout: Duration = secs(60), secs(1) => hours(1);
        /// Commands that await their reply; more get 429.
        in_flight_max: usize = 16_384, 1 => 1_000_000;
    }
}

bounded_section! {
    /// Bounds what a region keeps of datasets.
    DataLimits in "data" {
        /// Bytes of all records; while there are more, writes that add are refused.
        bytes_max: ByteSize = ByteSize::mib(16_384), ByteSize::mib(1) => ByteSize::mib(1_048_576);
        /// Bytes of records in memory; those that were not used for longest lie on the disk.
        memory_max: ByteSize = ByteSize::mib(1024), ByteSize::mib(1) => ByteSize::mib(1_048_576);
        /// Bytes that are written to a record at once; more are refused.
        value_bytes_max: ByteSize = ByteSize::mib(1), ByteSize::kib(1) => ByteSize::mib(4);
        /// Fields of a map or a document, and elements of a set; more are refused.
        fields_max: usize = 10_000, 1 => 1_000_000;
        /// Datasets of the planet; more are refused.
        datasets_max: usize = 1_000, 1 => 10_000;
        /// How often the region compares what it holds with the next peer, to find damage.
        repair_every: Duration = secs(30), secs(1) => hours(24);
        /// Conflicts of a dataset in a second, as the mean of ten, above which there is an alarm.
        conflict_alarm_per_second: u32 = 10, 1 => 1_000_000;
    }
}

bounded_section! {
    /// Shapes the log on disk.
    LogLimits in "log" {
        /// Bytes of a file of the log, after which the next is begun.
        segment_bytes: ByteSize = ByteSize::mib(16), ByteSize::mib(1) => ByteSize::mib(1_024);
        /// Bytes, or twice the state, after which the state is written; a quarter while at rest.
        compact_after: ByteSize = ByteSize::mib(256), ByteSize::mib(1) => ByteSize::mib(65_536);
        /// How long ops are kept for regions that lack them, once none gets further; 3 s at least.
        retention: Duration = hours(1), secs(1) => hours(8_760);
    }
}
