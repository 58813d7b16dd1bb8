//! What a worker says of a task over gRPC, in the words of `/v1`, and leases the other way round.
//! Must not keep anything.

use serde::de::DeserializeOwned;

use super::attach::Ends;
use super::pb::{self, Content, For, Noted, Question, Standing};
use crate::Front;
use crate::names::Invalid;
use crate::problem::{Declined, Stood};
use crate::v1::leases::{complete_of, fail_of, notes_of, pause_of};
use crate::v1::types::{
    ArtifactNote, CheckpointNote, CompletePost, FailPost, Lease, Message, NotePost, NotesPost,
    PauseFor, PausePost, StatusNote,
};

/// What a worker says of a task.
pub(super) enum Said {
    Notes(pb::Notes),
    Complete(pb::Complete),
    Pause(pb::Pause),
    Fail(pb::Fail),
}

impl Said {
    /// Returns the task.
    pub(super) fn task(&self) -> &str {
        match self {
            Self::Notes(it) => &it.task,
            Self::Complete(it) => &it.task,
            Self::Pause(it) => &it.task,
            Self::Fail(it) => &it.task,
        }
    }

    /// Whether the lease is over with it.
    pub(super) fn ends(&self) -> Ends {
        match self {
            Self::Notes(_) => Ends::No,
            Self::Complete(_) | Self::Pause(_) | Self::Fail(_) => Ends::Yes,
        }
    }

    /// Tells the task's home.
    pub(super) async fn tell(self, front: &Front, token: u64) -> Result<Standing, Declined> {
        let token = token.to_string();
        let task = self.task().to_owned();
        let standing = match self {
            Self::Notes(it) => notes_of(front, &task, notes(it, token)?).await,
            Self::Complete(it) => complete_of(front, &task, complete(it, token)?).await,
            Self::Pause(it) => pause_of(front, &task, pause(it, token)?).await,
            Self::Fail(it) => {
                let pb::Fail { task: _, notes, reason, rejected, non_retryable } = it;
                let post = FailPost { token, notes, reason, rejected, non_retryable };
                fail_of(front, &task, post).await
            }
        }?;
        let state = photon_region::TaskState::from(standing.state).as_str().to_owned();
        Ok(Standing { task, state, generation: standing.generation })
    }
}

fn notes(said: pb::Notes, token: String) -> Result<NotesPost, Declined> {
    let notes = said.notes.into_iter().enumerate();
    let notes = notes.map(|(at, it)| note(&format!("notes[{at}]"), it));
    Ok(NotesPost { token, first: said.first, notes: notes.collect::<Result<_, _>>()? })
}

fn note(field: &str, said: pb::Note) -> Result<NotePost, Declined> {
    let mut note = NotePost { status: None, artifact: None, checkpoint: None };
    match said.note {
        // Whoever has the rule says that there must be one.
        None => {}
        Some(Noted::Text(text)) => note.status = Some(StatusNote::Text(text)),
        Some(Noted::Message(json)) => {
            let message = parse(&format!("{field}.message"), &json)?;
            note.status = Some(StatusNote::Message(message));
        }
        Some(Noted::Artifact(said)) => note.artifact = Some(artifact(field, said)?),
        Some(Noted::Checkpoint(pb::Checkpoint { key, value })) => {
            let value = parse(&format!("{field}.checkpoint.value"), &value)?;
            note.checkpoint = Some(CheckpointNote { key, value });
        }
    }
    Ok(note)
}

fn artifact(field: &str, said: pb::Artifact) -> Result<ArtifactNote, Declined> {
    let pb::Artifact { id, name, content, append, last } = said;
    let (text, parts) = match content {
        None => (None, None),
        Some(Content::Text(text)) => (Some(text), None),
        Some(Content::Parts(json)) => {
            (None, Some(parse(&format!("{field}.artifact.parts"), &json)?))
        }
    };
    let name = Some(name).filter(|it| !it.is_empty());
    Ok(ArtifactNote { id, name, text, parts, append, last })
}

fn complete(said: pb::Complete, token: String) -> Result<CompletePost, Declined> {
    let (text, message) = match said.said {
        None => (None, None),
        Some(pb::Result::Text(text)) => (Some(text), None),
        Some(pb::Result::Message(json)) => (None, Some(parse::<Message>("message", &json)?)),
    };
    Ok(CompletePost { token, notes: said.notes, message, text })
}

fn pause(said: pb::Pause, token: String) -> Result<PausePost, Declined> {
    let (text, message) = match said.said {
        None => (None, None),
        Some(Question::Text(text)) => (Some(text), None),
        Some(Question::Message(json)) => (None, Some(parse::<Message>("message", &json)?)),
    };
    let what_for = match For::try_from(said.what_for) {
        Ok(For::Input) => PauseFor::Input,
        Ok(For::Auth) => PauseFor::Auth,
        Err(_) => return Err(Invalid::new("for", "use `INPUT` or `AUTH`").problem(Stood::Inside)),
    };
    Ok(PausePost { token, notes: said.notes, what_for, message, text })
}

fn parse<T: DeserializeOwned>(field: &str, json: &str) -> Result<T, Declined> {
    let wrong = |err: serde_json::Error| Invalid::new(field, err.to_string());
    serde_json::from_str(json).map_err(|err| wrong(err).problem(Stood::Inside))
}

/// Returns a lease as a message.
pub(super) fn lease(lease: Lease) -> pb::Lease {
    let checkpoint = |it: &crate::v1::types::Checkpoint| pb::Checkpoint {
        key: it.key.clone(),
        value: it.value.as_str().to_owned(),
    };
    pb::Lease {
        token: lease.token.parse().expect("a token is a number"),
        attempt: lease.attempt,
        skill: lease.skill.unwrap_or_default(),
        agent: lease.agent.unwrap_or_default(),
        message: lease.message.as_str().to_owned(),
        turns: lease.turns.iter().map(|it| it.as_str().to_owned()).collect(),
        checkpoints: lease.checkpoints.iter().map(checkpoint).collect(),
        task: lease.task,
        home: lease.home,
        context_id: lease.context_id,
        placement: lease.placement,
        ttl_ms: lease.ttl_ms,
        closes_at: lease.closes_at.unwrap_or_default(),
    }
}
