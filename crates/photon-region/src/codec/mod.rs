//! The binary form of what regions tell each other, and of what records hold.
//! Must not decide anything: it is total, and refuses what it does not know.

mod data;
mod govern;
mod look;
mod message;
mod moved;
mod record;
mod refusal;
mod spec;
mod terms;
mod topic;
mod webhook;

pub use message::{decode_message, encode_message};
pub(crate) use moved::{decode_adoption, decode_move, encode_adoption, encode_move};
pub(crate) use record::{decode_agent, decode_event, encode_agent, encode_event};
pub(crate) use spec::{decode_dataset, encode_dataset};
pub(crate) use topic::{decode_entry, decode_retention, encode_entry, encode_retention};
pub(crate) use webhook::{decode_told, decode_webhook, encode_told, encode_webhook};

use std::time::Duration;

use photon_state::codec::{DecodeError, Reader, Writer};

use crate::task::{Claim, Json, Outcome, TaskId, TaskState, Token};

fn write_claim(writer: &mut Writer, claim: Claim) {
    writer.fixed(&claim.task.to_bytes());
    writer.uint(claim.token.0);
}

fn read_claim(reader: &mut Reader<'_>) -> Result<Claim, DecodeError> {
    Ok(Claim { task: read_task(reader)?, token: Token(reader.uint()?) })
}

fn read_task(reader: &mut Reader<'_>) -> Result<TaskId, DecodeError> {
    reader.fixed().map(TaskId::from_bytes)
}

fn write_json(writer: &mut Writer, json: &Json) {
    writer.bytes(&json.0);
}

fn read_json(reader: &mut Reader<'_>) -> Result<Json, DecodeError> {
    reader.owned().map(Json)
}

const STATES: [TaskState; 8] = [
    TaskState::Submitted,
    TaskState::Working,
    TaskState::Completed,
    TaskState::Failed,
    TaskState::Canceled,
    TaskState::Rejected,
    TaskState::InputRequired,
    TaskState::AuthRequired,
];

const OUTCOMES: [Outcome; 4] =
    [Outcome::Completed, Outcome::Failed, Outcome::Canceled, Outcome::Rejected];

/// Writes a value of an enum as its place in the table of all its values.
pub(crate) fn write_of<T: PartialEq>(writer: &mut Writer, all: &[T], value: &T) {
    let place = all.iter().position(|it| it == value).expect("the table holds every value");
    writer.uint(place as u64);
}

pub(crate) fn read_of<T: Copy>(
    reader: &mut Reader<'_>,
    all: &[T],
    what: &'static str,
) -> Result<T, DecodeError> {
    let place = reader.uint32()? as usize;
    all.get(place).copied().ok_or(reader.malformed(what))
}

/// Writes a duration in microseconds.
fn write_duration(writer: &mut Writer, duration: Duration) {
    writer.uint(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
}

fn read_duration(reader: &mut Reader<'_>) -> Result<Duration, DecodeError> {
    reader.uint().map(Duration::from_micros)
}
