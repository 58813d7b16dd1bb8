//! What has come of a task, made from its events.
//! Must not know who asks for it.

use crate::task::{Artifact, Event, Note};

/// The artifacts of a task as its events leave them: each attempt begins its own anew, but for
/// what was told before the worker last asked something of the client.
#[derive(Clone, Debug, Default)]
pub struct Artifacts {
    all: Vec<Artifact>,
    settled: Vec<Artifact>,
}

impl Artifacts {
    /// Takes in the next event.
    pub fn take(&mut self, event: &Event) {
        match event {
            Event::Claimed { .. } => self.all.clone_from(&self.settled),
            Event::Paused { .. } => self.settled.clone_from(&self.all),
            Event::Noted { note: Note::Artifact(chunk), .. } => {
                Artifact::fold(&mut self.all, chunk);
            }
            Event::Submitted(_)
            | Event::Noted { note: Note::Status(_) | Note::Checkpoint(_), .. }
            | Event::Requeued { .. }
            | Event::Answered { .. }
            | Event::Ended { .. } => {}
        }
    }

    /// Returns them all.
    #[must_use]
    pub fn all(&self) -> &[Artifact] {
        &self.all
    }

    /// Returns them as they were when the client was last asked something: what is left of them
    /// if the attempt under way comes to nothing.
    #[must_use]
    pub fn settled(&self) -> &[Artifact] {
        &self.settled
    }

    /// Returns them all, to keep.
    #[must_use]
    pub fn into_all(self) -> Vec<Artifact> {
        self.all
    }
}
