//! Who is given a task: what speaks for each agent that could do it, in points.
//!
//! Where data may be and what an agent can do are conditions; near, free, fast and cheap are
//! weighed against each other. What is known of how an agent fares is learnt from the tasks that
//! it ended.
//! Must not give tasks away: the home does.

mod explain;
mod pool;
mod pools;
mod score;
mod track;
mod wants;

use std::sync::Arc;

use photon_state::PlacementId;

use crate::task::Target;

pub use explain::{Candidate, Route, Standing};
pub use pools::matching_index;
pub(crate) use pools::{Pools, Search, Site};
pub use score::{Grade, Grades, Points, Weights};
pub(crate) use track::{Stint, Track, Tracks};
pub use wants::Wants;

/// What a task asks for, as far as it decides who can be given it.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Whom, or what skill.
    pub target: &'a Target,
    /// Where the task may be.
    pub placement: PlacementId,
    /// What else is wanted of the agent.
    pub wants: Option<&'a Arc<Wants>>,
}
