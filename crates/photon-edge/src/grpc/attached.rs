//! Which agents are attached by a call, so that a later call of an agent ends the one before.
//! Must not know what a call is about.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

/// The calls that attach agents, by agent. What is over is cancelled.
#[derive(Debug, Default)]
pub(crate) struct Attachments(Mutex<HashMap<String, CancellationToken>>);

impl Attachments {
    /// Attaches an agent by another call; returns what tells of the next one.
    pub(super) fn take(&self, agent: &str) -> CancellationToken {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if calls.len() == calls.capacity() {
            calls.retain(|_, it| !it.is_cancelled());
        }
        let token = CancellationToken::new();
        let before = calls.insert(agent.to_owned(), token.clone());
        before.into_iter().for_each(|it| it.cancel());
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_later_call_ends_the_one_before() {
        let calls = Attachments::default();
        let (first, other) = (calls.take("a"), calls.take("b"));
        let second = calls.take("a");
        assert!(first.is_cancelled() && !second.is_cancelled() && !other.is_cancelled());
        for _ in 0..1_000 {
            calls.take("c").cancel();
        }
        assert!(calls.0.lock().unwrap().len() < 100, "what is over is forgotten");
    }
}
