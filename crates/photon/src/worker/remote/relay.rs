//! What an A2A server tells of its task, as the notes and the end of an attempt at ours.
//! Must not talk to anybody.

use std::collections::{BTreeMap, BTreeSet};

use a2a::{
    Artifact, PartContent, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState, TaskStatus,
};
use photon_edge::v1::types::{ArtifactNote, Message, NotePost, Part, PauseFor, Role, StatusNote};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::super::attempt::{Failure, REASON_BYTES_MAX, Then, Verdict};

/// Says that the agent has answered by a message, without a task.
const DIRECT_KEY: &str = "photon/direct";

/// Bytes of the parts in one note, unless one part has more.
const NOTE_BYTES_MAX: usize = 256 << 10;

/// Follows one task of an A2A server, however often it is looked at anew.
#[derive(Debug, Default)]
pub(super) struct Relay {
    /// What was told of each artifact.
    told: BTreeMap<String, Vec<a2a::Part>>,
    /// The last remark that was told.
    remarked: Option<String>,
    /// Questions that the client has answered. A server may go on showing one until it has read
    /// the answer.
    answered: BTreeSet<String>,
}

/// What was heard.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The server's task and its context, if it has named them.
    pub(super) task: Option<(String, String)>,
    /// What is to be told.
    pub(super) notes: Vec<NotePost>,
    /// What came of it, if it is over.
    pub(super) end: Option<Verdict>,
    /// Whether the beginning of something was missed, so that the whole task has to be looked at.
    pub(super) sight: Sight,
}

/// How much of a task is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sight {
    /// All of it, as far as it was told.
    #[default]
    Whole,
    /// The beginning of an artifact was missed.
    Partial,
}

impl Relay {
    /// Begins to follow a task, of which these messages were exchanged before.
    pub(super) fn new(turns: &[Message]) -> Self {
        let asked = turns.iter().filter(|it| it.role == Role::Agent);
        let answered = asked.map(|it| it.message_id.clone()).collect();
        Self { answered, ..Self::default() }
    }

    /// Takes in what the server tells.
    pub(super) fn take(&mut self, told: StreamResponse) -> Heard {
        match told {
            StreamResponse::Message(message) => {
                let end = Verdict::Completed(direct(&message).map(Box::new));
                Heard { end: Some(end), ..Heard::default() }
            }
            StreamResponse::Task(task) => self.take_task(task),
            StreamResponse::StatusUpdate(update) => {
                let task = Some((update.task_id, update.context_id));
                let mut heard = Heard { task, ..Heard::default() };
                self.take_status(&update.status, &mut heard);
                heard
            }
            StreamResponse::ArtifactUpdate(update) => self.take_artifact(update),
        }
    }

    /// Takes in a task as it stands, of which parts may have been told before.
    fn take_task(&mut self, task: Task) -> Heard {
        let Task { id, context_id, status, artifacts, history: _, metadata: _ } = task;
        let mut heard = Heard { task: Some((id, context_id)), ..Heard::default() };
        for artifact in artifacts.unwrap_or_default() {
            let Artifact { artifact_id, name, parts, .. } = artifact;
            let before = self.told.get(&artifact_id);
            // What goes on is continued, and what is another thing begins anew.
            let rest = before.and_then(|it| beyond(it, &parts));
            if rest.as_ref().is_some_and(Vec::is_empty) {
                continue;
            }
            let append = rest.is_some();
            let new = rest.as_ref().unwrap_or(&parts);
            let last = status.state.is_terminal();
            let piece = Piece { id: &artifact_id, name, parts: new, append, last };
            heard.notes.extend(piece.notes());
            self.told.insert(artifact_id, parts);
        }
        self.take_status(&status, &mut heard);
        heard
    }

    fn take_artifact(&mut self, update: TaskArtifactUpdateEvent) -> Heard {
        let task = Some((update.task_id, update.context_id));
        let append = update.append.unwrap_or_default();
        let Artifact { artifact_id, name, parts, .. } = update.artifact;
        if append && !self.told.contains_key(&artifact_id) {
            return Heard { task, sight: Sight::Partial, ..Heard::default() };
        }
        let last = update.last_chunk.unwrap_or_default();
        let notes = Piece { id: &artifact_id, name, parts: &parts, append, last }.notes();
        let told = self.told.entry(artifact_id).or_default();
        if !append {
            told.clear();
        }
        told.extend(parts);
        Heard { task, notes, ..Heard::default() }
    }

    fn take_status(&mut self, status: &TaskStatus, heard: &mut Heard) {
        let message = status.message.as_ref().and_then(said);
        heard.end = match status.state {
            TaskState::Unspecified | TaskState::Submitted | TaskState::Working => {
                let id = message.as_ref().map(|it| it.message_id.clone());
                if let Some(message) = message
                    && self.remarked != id
                {
                    self.remarked = id;
                    let status = Some(StatusNote::Message(message));
                    heard.notes.push(NotePost { status, ..NotePost::default() });
                }
                None
            }
            TaskState::Completed => Some(Verdict::Completed(message.map(Box::new))),
            TaskState::InputRequired => self.question(PauseFor::Input, message),
            TaskState::AuthRequired => self.question(PauseFor::Auth, message),
            TaskState::Failed => {
                Some(failure(message.as_ref(), "the agent failed", Then::TryAgain))
            }
            TaskState::Canceled => {
                Some(failure(message.as_ref(), "the agent gave it up", Then::Settle))
            }
            TaskState::Rejected => {
                Some(failure(message.as_ref(), "the agent rejected it", Then::Refuse))
            }
        };
    }

    /// Whether a task waits for its client, and shows no question that is new.
    pub(super) fn waits_for_what_was_answered(&self, status: &TaskStatus) -> bool {
        let waits = matches!(status.state, TaskState::InputRequired | TaskState::AuthRequired);
        let asks = status.message.as_ref().map(|it| &it.message_id);
        waits && asks.is_none_or(|it| self.answered.contains(it))
    }

    fn question(&self, what_for: PauseFor, message: Option<Message>) -> Option<Verdict> {
        let is_old = message.as_ref().is_some_and(|it| self.answered.contains(&it.message_id));
        (!is_old).then(|| Verdict::Asked(what_for, message.map(Box::new)))
    }
}

fn failure(message: Option<&Message>, otherwise: &str, then: Then) -> Verdict {
    let texts = message.into_iter().flat_map(|it| &it.parts).filter_map(|it| it.text.as_deref());
    let mut reason = texts.collect::<Vec<_>>().join("\n");
    if reason.trim().is_empty() {
        otherwise.clone_into(&mut reason);
    }
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    Verdict::Failed(Failure { reason, then })
}

/// Returns what an agent says, without the names that it has for our task.
fn said(message: &a2a::Message) -> Option<Message> {
    let mut message: Message = converted(message)?;
    (message.context_id, message.task_id) = (None, None);
    message.reference_task_ids = None;
    message.role = Role::Agent;
    (!message.parts.is_empty() && !message.message_id.is_empty()).then_some(message)
}

fn direct(message: &a2a::Message) -> Option<Message> {
    let mut message = said(message)?;
    message.metadata.get_or_insert_default().insert(DIRECT_KEY.to_owned(), json!(true));
    Some(message)
}

/// A piece of an artifact.
#[derive(Debug)]
struct Piece<'a> {
    id: &'a str,
    name: Option<String>,
    parts: &'a [a2a::Part],
    append: bool,
    last: bool,
}

impl Piece<'_> {
    /// Returns it as notes of which none is too large to be told; none if it says nothing.
    fn notes(self) -> Vec<NotePost> {
        let Self { id, name, parts, append, last } = self;
        let mut parts: Vec<Part> = parts.iter().filter_map(converted).collect();
        if parts.is_empty() {
            if append && !last {
                return Vec::new();
            }
            parts.push(Part::text(""));
        }
        let (mut chunks, mut bytes) = (Vec::<Vec<Part>>::new(), usize::MAX);
        for part in parts {
            let size = serde_json::to_vec(&part).map_or(0, |it| it.len());
            bytes = bytes.saturating_add(size);
            match chunks.last_mut() {
                Some(chunk) if bytes <= NOTE_BYTES_MAX => chunk.push(part),
                Some(_) | None => {
                    chunks.push(vec![part]);
                    bytes = size;
                }
            }
        }
        let (id, count) = (artifact_id(id), chunks.len());
        let note = |(at, parts): (usize, Vec<Part>)| {
            let (append, last) = (append || 0 < at, last && at + 1 == count);
            let (id, name, parts) = (id.clone(), name.clone(), Some(parts));
            let artifact = Some(ArtifactNote { id, name, text: None, parts, append, last });
            NotePost { artifact, ..NotePost::default() }
        };
        chunks.into_iter().enumerate().map(note).collect()
    }
}

/// Whether it says that the server's task goes on no more, or waits.
pub(super) fn is_end(told: &StreamResponse) -> bool {
    let state = match told {
        StreamResponse::Task(task) => &task.status.state,
        StreamResponse::StatusUpdate(update) => &update.status.state,
        StreamResponse::Message(_) | StreamResponse::ArtifactUpdate(_) => return false,
    };
    match state {
        TaskState::Unspecified | TaskState::Submitted | TaskState::Working => false,
        TaskState::Completed
        | TaskState::Failed
        | TaskState::Canceled
        | TaskState::Rejected
        | TaskState::InputRequired
        | TaskState::AuthRequired => true,
    }
}

/// Returns what is in an artifact beyond what was told of it, if that goes on where it ended: with
/// more parts, or with more text in the last one.
fn beyond(told: &[a2a::Part], parts: &[a2a::Part]) -> Option<Vec<a2a::Part>> {
    if let Some(rest) = parts.strip_prefix(told) {
        return Some(rest.to_vec());
    }
    let (last, before) = told.split_last()?;
    let (first, rest) = parts.strip_prefix(before)?.split_first()?;
    let PartContent::Text(text) = &last.content else { return None };
    let PartContent::Text(whole) = &first.content else { return None };
    let more = whole.strip_prefix(text.as_str())?;
    let more = a2a::Part { content: PartContent::Text(more.to_owned()), ..first.clone() };
    let is_same = a2a::Part { content: last.content.clone(), ..first.clone() } == *last;
    is_same.then(|| std::iter::once(more).chain(rest.iter().cloned()).collect())
}

/// Returns an artifact's name, or one in its place where it is longer or odder than ours may be.
fn artifact_id(id: &str) -> String {
    let is_plain = (1..=128).contains(&id.len()) && id.bytes().all(|it| it.is_ascii_graphic());
    if is_plain {
        return id.to_owned();
    }
    let digest = Sha256::digest(id.as_bytes());
    let hex: String = digest.iter().take(16).map(|it| format!("{it:02x}")).collect();
    format!("artifact-{hex}")
}

/// Returns the same in other words: both are the JSON of A2A 1.0.
pub(super) fn converted<T: DeserializeOwned>(value: &impl Serialize) -> Option<T> {
    let value: Value = serde_json::to_value(value).ok()?;
    serde_json::from_value(value).ok()
}

#[cfg(test)]
mod tests {
    use serde::Deserialize as _;

    use super::*;

    fn event(json: &Value) -> StreamResponse {
        StreamResponse::deserialize(json).unwrap()
    }

    fn task(state: &str, artifacts: &[(&str, &[&str])]) -> Value {
        let artifacts: Vec<_> = artifacts.iter().map(|(id, texts)| artifact(id, texts)).collect();
        let status = json!({ "state": format!("TASK_STATE_{state}") });
        json!({"task": {"id": "t", "contextId": "c", "status": status, "artifacts": artifacts}})
    }

    fn artifact(id: &str, texts: &[&str]) -> Value {
        let parts: Vec<_> = texts.iter().map(|it| json!({ "text": it })).collect();
        json!({ "artifactId": id, "parts": parts })
    }

    fn piece(id: &str, text: &str, append: bool) -> Value {
        let artifact = artifact(id, &[text]);
        let update =
            json!({"taskId": "t", "contextId": "c", "artifact": artifact, "append": append});
        json!({ "artifactUpdate": update })
    }

    fn status(state: &str, said: Option<(&str, &str)>) -> Value {
        let mut status = json!({ "state": format!("TASK_STATE_{state}") });
        if let Some((id, text)) = said {
            status["message"] =
                json!({"messageId": id, "role": "ROLE_AGENT", "parts": [{"text": text}]});
        }
        json!({"statusUpdate": {"taskId": "t", "contextId": "c", "status": status}})
    }

    /// Returns what is told of one event: `id+text` for a piece that is appended, `id=text` for an
    /// artifact that begins anew, `!` after what is whole, and the text of remarks.
    fn told(heard: &Heard) -> String {
        let notes = heard.notes.iter().map(|note| {
            if let Some(it) = &note.artifact {
                let parts = it.parts.iter().flatten().filter_map(|it| it.text.as_deref());
                let mark = if it.append { '+' } else { '=' };
                let end = if it.last { "!" } else { "" };
                return format!("{}{mark}{}{end}", it.id, parts.collect::<Vec<_>>().join("|"));
            }
            match &note.status {
                Some(StatusNote::Message(it)) => it.parts[0].text.clone().unwrap_or_default(),
                Some(StatusNote::Text(text)) => text.clone(),
                None => "?".to_owned(),
            }
        });
        notes.collect::<Vec<_>>().join(" ")
    }

    fn check(relay: &mut Relay, json: &Value, expected: &str) -> Heard {
        let heard = relay.take(event(json));
        assert_eq!(told(&heard), expected, "{json:#}");
        heard
    }

    #[test]
    fn what_is_seen_twice_is_told_once_and_what_goes_on_is_appended() {
        let relay = &mut Relay::default();
        check(relay, &task("SUBMITTED", &[]), "");
        check(relay, &piece("a", "1", false), "a=1");
        check(relay, &piece("a", "2", true), "a+2");
        check(relay, &task("WORKING", &[("a", &["1", "2"])]), "");
        check(relay, &task("WORKING", &[("a", &["1", "2", "3"]), ("b", &["x"])]), "a+3 b=x");
        check(relay, &task("WORKING", &[("a", &["1", "2", "34"]), ("b", &["x"])]), "a+4");
        check(relay, &task("WORKING", &[("a", &["1", "2", "345", "6"])]), "a+5|6");
        check(relay, &task("WORKING", &[("a", &["1", "2", "345", "6"])]), "");
        check(relay, &task("WORKING", &[("a", &["1", "2", "34", "6"])]), "a=1|2|34|6");
        check(relay, &task("WORKING", &[("a", &["other"]), ("b", &["x"])]), "a=other");
        let heard = check(relay, &task("COMPLETED", &[("c", &["y"])]), "c=y!");
        assert_eq!(heard.end, Some(Verdict::Completed(None)));
        assert_eq!(heard.task, Some(("t".to_owned(), "c".to_owned())));
    }

    #[test]
    fn what_is_large_is_told_in_pieces() {
        let texts = vec!["x".repeat(100 << 10); 7];
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let heard = Relay::default().take(event(&task("COMPLETED", &[("a", &texts)])));
        let pieces = heard.notes.iter().map(|it| it.artifact.as_ref().unwrap());
        let pieces: Vec<_> =
            pieces.map(|it| (it.append, it.last, it.parts.as_ref().unwrap().len())).collect();
        assert_eq!(
            pieces,
            [(false, false, 2), (true, false, 2), (true, false, 2), (true, true, 1)]
        );
    }

    #[test]
    fn who_missed_the_beginning_has_to_look() {
        let relay = &mut Relay::default();
        let heard = check(relay, &piece("a", "2", true), "");
        assert_eq!(heard.sight, Sight::Partial);
        check(relay, &task("WORKING", &[("a", &["1", "2"])]), "a=1|2");
        let heard = check(relay, &piece("a", "3", true), "a+3");
        assert_eq!(heard.sight, Sight::Whole);
    }

    #[test]
    fn each_end_has_its_verdict() {
        let check = |state, said: Option<(&str, &str)>, expected: Verdict| {
            let heard = Relay::default().take(event(&status(state, said)));
            assert_eq!(heard.end, Some(expected), "{state}");
        };
        let failed =
            |reason: &str, then| Verdict::Failed(Failure { reason: reason.to_owned(), then });
        check("COMPLETED", None, Verdict::Completed(None));
        check("FAILED", Some(("m", "no luck")), failed("no luck", Then::TryAgain));
        check("FAILED", None, failed("the agent failed", Then::TryAgain));
        check("CANCELED", None, failed("the agent gave it up", Then::Settle));
        check("REJECTED", Some(("m", "not mine")), failed("not mine", Then::Refuse));
        check("INPUT_REQUIRED", None, Verdict::Asked(PauseFor::Input, None));
        check("AUTH_REQUIRED", None, Verdict::Asked(PauseFor::Auth, None));
    }

    #[test]
    fn a_remark_is_told_once_and_a_question_until_it_is_answered() {
        let relay = &mut Relay::default();
        check(relay, &status("WORKING", Some(("m1", "at it"))), "at it");
        check(relay, &status("WORKING", Some(("m1", "at it"))), "");
        check(relay, &status("WORKING", Some(("m2", "still"))), "still");
        let heard = check(relay, &status("INPUT_REQUIRED", Some(("q1", "which?"))), "");
        let Some(Verdict::Asked(PauseFor::Input, Some(question))) = heard.end else {
            panic!("{heard:?}")
        };
        let relay = &mut Relay::new(&[*question]);
        let heard = check(relay, &status("INPUT_REQUIRED", Some(("q1", "which?"))), "");
        assert_eq!(heard.end, None, "the client has answered that");
        let heard = check(relay, &status("INPUT_REQUIRED", Some(("q2", "sure?"))), "");
        assert!(heard.end.is_some());
    }

    #[test]
    fn an_agent_may_answer_by_a_message_alone() {
        let said = json!({"messageId": "m", "contextId": "theirs", "role": "ROLE_AGENT",
                          "parts": [{"text": "hi"}]});
        let heard = Relay::default().take(event(&json!({ "message": said })));
        let Some(Verdict::Completed(Some(message))) = heard.end else { panic!("{heard:?}") };
        assert_eq!(message.context_id, None, "their names are not ours");
        assert_eq!(message.metadata.unwrap()[DIRECT_KEY], true);
    }

    #[test]
    fn odd_names_of_artifacts_become_plain_ones() {
        let relay = &mut Relay::default();
        let heard = relay.take(event(&piece("an artifact", "1", false)));
        let id = heard.notes[0].artifact.as_ref().unwrap().id.clone();
        assert!(id.starts_with("artifact-") && id.len() == 41, "{id}");
        let heard = relay.take(event(&piece("an artifact", "2", true)));
        assert_eq!(heard.notes[0].artifact.as_ref().unwrap().id, id);
    }
}
