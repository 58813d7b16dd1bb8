//! What a worker says of a task over gRPC, in the words of `/v1`, and leases the other way round.
//! Must not keep anything.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::pb::{self, Content, Noted, Standing, WhatFor, Words};
use crate::Front;
use crate::names::{self, Invalid};
use crate::problem::{Declined, Stood};
use crate::v1::agents;
use crate::v1::leases::{TOKEN_MAX, complete_of, fail_of, notes_of, pause_of};
use crate::v1::types::{
    AgentPut, ArtifactNote, CAPACITY_MAX, CheckpointNote, CompletePost, FailPost, Lease, Message,
    NotePost, NotesPost, PauseFor, PausePost, StatusNote,
};

/// The tokens of leases, by task.
pub(super) type Claims = BTreeMap<String, u64>;

/// Whether the lease is over once what a worker said has come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ends {
    Yes,
    No,
}

/// Announces an agent; returns the leases that it has.
pub(super) async fn register(front: &Front, attach: &pb::Attach) -> Result<Claims, Declined> {
    let holds = holds(&attach.holds).map_err(|err| err.problem(Stood::Inside))?;
    let given = |text: &String| Some(text.clone()).filter(|it| !it.is_empty());
    let card = given(&attach.card).map(|it| parse("card", &it)).transpose()?;
    let put = AgentPut {
        skills: attach.skills.clone(),
        capacity: attach.capacity.max(1),
        cost: attach.cost,
        card,
        description: given(&attach.description),
        placement: given(&attach.placement),
    };
    match agents::register(front, &attach.agent, put).await {
        Ok(_) => Ok(holds),
        Err(mut declined) => {
            // Over HTTP the name is in the path.
            let name = declined.0.field.as_mut().filter(|it| *it == "name");
            name.into_iter().for_each(|it| "agent".clone_into(it));
            Err(declined)
        }
    }
}

fn holds(held: &[pb::Held]) -> Result<Claims, Invalid> {
    if usize::try_from(CAPACITY_MAX).is_ok_and(|max| max < held.len()) {
        return Err(Invalid::new("holds", format!("give {CAPACITY_MAX} at the most")));
    }
    let claim = |(at, held): (usize, &pb::Held)| {
        let task = names::task_id(&format!("holds[{at}].task"), &held.task)?;
        if TOKEN_MAX < held.token {
            return Err(Invalid::new(format!("holds[{at}].token"), "that is no token"));
        }
        Ok((task.to_string(), held.token))
    };
    held.iter().enumerate().map(claim).collect()
}

/// What a worker says of a task.
pub(super) enum Said {
    Notes(pb::Notes),
    Complete(pb::Complete),
    Pause(pb::Pause),
    Fail(pb::Fail),
}

impl Said {
    /// Returns the task, and the token of the lease.
    pub(super) fn claim(&self) -> (String, u64) {
        let (task, token) = match self {
            Self::Notes(it) => (&it.task, it.token),
            Self::Complete(it) => (&it.task, it.token),
            Self::Pause(it) => (&it.task, it.token),
            Self::Fail(it) => (&it.task, it.token),
        };
        (task.clone(), token)
    }

    /// Whether the lease is over with it.
    pub(super) fn ends(&self) -> Ends {
        match self {
            Self::Notes(_) => Ends::No,
            Self::Complete(_) | Self::Pause(_) | Self::Fail(_) => Ends::Yes,
        }
    }

    /// Tells the task's home.
    pub(super) async fn tell(self, front: &Front) -> Result<Standing, Declined> {
        let (task, token) = self.claim();
        let token = token.to_string();
        let standing = match self {
            Self::Notes(it) => notes_of(front, &task, notes(it, token)?).await,
            Self::Complete(it) => complete_of(front, &task, complete(it, token)?).await,
            Self::Pause(it) => pause_of(front, &task, pause(it, token)?).await,
            Self::Fail(it) => {
                let pb::Fail { notes, reason, rejected, non_retryable, .. } = it;
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
    let (text, message) = words(said.said)?;
    Ok(CompletePost { token, notes: said.notes, message, text })
}

fn pause(said: pb::Pause, token: String) -> Result<PausePost, Declined> {
    let (text, message) = words(said.said)?;
    let what_for = match WhatFor::try_from(said.what_for) {
        Ok(WhatFor::Input) => PauseFor::Input,
        Ok(WhatFor::Auth) => PauseFor::Auth,
        Err(_) => {
            let rule = "use `INPUT` or `AUTH`";
            return Err(Invalid::new("what_for", rule).problem(Stood::Inside));
        }
    };
    Ok(PausePost { token, notes: said.notes, what_for, message, text })
}

fn words(said: Option<Words>) -> Result<(Option<String>, Option<Message>), Declined> {
    match said {
        None => Ok((None, None)),
        Some(Words::Text(text)) => Ok((Some(text), None)),
        Some(Words::Message(json)) => Ok((None, Some(parse("message", &json)?))),
    }
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
