//! Following a task event by event, for every protocol that can stream.
//! Must not know how an event is written on a wire.

use std::time::Duration;

use photon_region::{Artifacts, Command, Event, Reply, Stamped, TaskId, TaskState};

use crate::front::{Failure, FollowerSlot, Front};

/// A client that follows a task. Holds no buffer: events are fetched when there is room for them.
#[derive(Debug)]
pub(crate) struct Follower {
    front: Front,
    task: TaskId,
    after: u64,
    has_ended: bool,
    _slot: FollowerSlot,
}

/// What a follower hears.
#[derive(Debug)]
pub(crate) struct Heard {
    /// The events, in order; none if the wait was over.
    pub(crate) events: Vec<Stamped>,
    /// Where the task stands after them.
    pub(crate) state: TaskState,
    /// How old this may be, if that is known.
    pub(crate) staleness: Option<Duration>,
}

impl Follower {
    /// How long one question waits before it is asked anew.
    const WAIT_MAX: Duration = Duration::from_secs(30);

    /// Begins to follow a task after generation `after`.
    pub(crate) fn new(front: Front, slot: FollowerSlot, task: TaskId, after: u64) -> Self {
        Self { front, task, after, has_ended: false, _slot: slot }
    }

    /// Goes on after events that were heard some other way.
    pub(crate) fn having_heard(mut self, heard: &Heard) -> Self {
        self.take(heard);
        self
    }

    fn take(&mut self, heard: &Heard) {
        // A reply may hold only the first of many events, so the last event decides, not the state.
        self.has_ended = match heard.events.last() {
            Some(last) => {
                self.after = last.generation;
                matches!(last.event, Event::Ended { .. })
            }
            None => heard.state.is_terminal(),
        };
    }

    /// Returns the next events as soon as there are any; `None` after the last one, and when the
    /// front door closes.
    pub(crate) async fn next(&mut self) -> Result<Option<Heard>, Failure> {
        while let Some(heard) = self.next_or_nothing().await? {
            if !heard.events.is_empty() {
                return Ok(Some(heard));
            }
        }
        Ok(None)
    }

    /// The same, but tells from time to time that there was nothing.
    pub(crate) async fn next_or_nothing(&mut self) -> Result<Option<Heard>, Failure> {
        if self.has_ended { Ok(None) } else { self.ask(Self::WAIT_MAX).await }
    }

    /// Returns what has come of the task up to a generation.
    pub(crate) async fn artifacts_at(&self, generation: u64) -> Result<Artifacts, Failure> {
        let (mut artifacts, mut after) = (Artifacts::default(), 0);
        while after < generation {
            let heard = Heard::so_far(&self.front, self.task, after).await?;
            let Some(last) = heard.events.last() else { break };
            after = last.generation;
            let until = heard.events.iter().take_while(|it| it.generation <= generation);
            until.for_each(|it| artifacts.take(&it.event));
        }
        Ok(artifacts)
    }

    /// Returns the next events within `wait`; `None` when the front door closes.
    pub(crate) async fn ask(&mut self, wait: Duration) -> Result<Option<Heard>, Failure> {
        let stopping = self.front.stopping().clone();
        let asking = Heard::ask(&self.front, self.task, self.after, wait);
        let Some(heard) = stopping.run_until_cancelled(asking).await else { return Ok(None) };
        let heard = heard?;
        self.take(&heard);
        Ok(Some(heard))
    }
}

impl Heard {
    /// Returns what has happened to a task after generation `after`, without waiting.
    pub(crate) async fn so_far(front: &Front, task: TaskId, after: u64) -> Result<Self, Failure> {
        Self::ask(front, task, after, Duration::ZERO).await
    }

    async fn ask(front: &Front, task: TaskId, after: u64, wait: Duration) -> Result<Self, Failure> {
        let command = Command::Events { task, after, wait };
        let Reply::Events { events, state, staleness } = front.submit_as_follower(command).await?
        else {
            unreachable!("the region answers `Events` with events")
        };
        Ok(Self { events, state, staleness })
    }
}
