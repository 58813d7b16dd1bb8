//! The machine: one region, which takes inputs and gives outputs.
//! Must not block, fail, read a clock or know who runs it.

use std::sync::Arc;
use std::time::Duration;

use photon_state::{Now, Op};

use crate::config::Config;
use crate::contract::{Input, Output};
use crate::view::View;

/// One region. Call [`handle`](Self::handle), then drain [`poll`](Self::poll), then repeat.
#[derive(Debug)]
pub struct Region {
    config: Config,
}

impl Region {
    /// Creates a region that has seen nothing.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Takes back an op of its own log, in the order of the log. Only before [`Region::start`].
    pub fn replay(&mut self, op: Arc<Op>) {
        let _ = (op, &self.config);
    }

    /// Begins to live: what was replayed is durable.
    pub fn start(&mut self, now: Now) {
        let _ = now;
    }

    /// Takes one input. Never blocks, never fails: refusals are outputs.
    pub fn handle(&mut self, now: Now, input: Input) {
        let _ = (now, input);
    }

    /// Returns the next thing to do, until there is none.
    pub fn poll(&mut self) -> Option<Output> {
        None
    }

    /// Returns when to call with [`Input::Tick`] at the latest, by [`Now::mono`], and why.
    #[must_use]
    pub fn next_wakeup(&self) -> (Duration, &'static str) {
        (Duration::MAX, "nothing")
    }

    /// Returns a snapshot for readers.
    #[must_use]
    pub fn view(&self) -> View {
        View::default()
    }
}
