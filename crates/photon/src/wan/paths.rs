//! How each direction between two regions is at the moment: open, slow, or cut.
//! Must not decide which is how, nor carry bytes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use photon_state::RegionId;
use tokio::sync::watch;

/// How one direction between two regions is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Condition {
    /// Whether nothing comes through, and nobody is told.
    pub is_cut: bool,
    /// How much longer bytes take than the distance asks for.
    pub extra: Duration,
}

/// A direction: from whom, to whom.
pub(super) type Direction = (RegionId, RegionId);

/// The conditions of all directions of a planet. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Paths(Arc<BTreeMap<Direction, watch::Sender<Condition>>>);

/// Looks at the condition of one direction.
#[derive(Clone, Debug)]
pub(super) struct Outlook(watch::Receiver<Condition>);

impl Paths {
    /// Makes directions that are open.
    pub(super) fn new(directions: impl IntoIterator<Item = Direction>) -> Self {
        let open = |it| (it, watch::Sender::new(Condition::default()));
        Self(Arc::new(directions.into_iter().map(open).collect()))
    }

    /// Sets the condition of every direction to what `of` says.
    pub fn set(&self, of: impl Fn(RegionId, RegionId) -> Condition) {
        for ((from, to), condition) in &*self.0 {
            condition.send_replace(of(*from, *to));
        }
    }

    /// Returns the outlook of a direction that was named when the paths were made.
    pub(super) fn outlook(&self, direction: Direction) -> Outlook {
        Outlook(self.0[&direction].subscribe())
    }
}

impl Outlook {
    /// Returns how much longer bytes take than the distance asks for.
    pub(super) fn extra(&self) -> Duration {
        self.0.borrow().extra
    }

    /// Waits until the direction is not cut.
    pub(super) async fn open(&mut self) {
        if self.0.wait_for(|it| !it.is_cut).await.is_err() {
            // Who set the conditions has gone: what was cut then stays cut.
            std::future::pending::<()>().await;
        }
    }
}
