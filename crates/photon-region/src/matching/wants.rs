//! What a client wants of the agent that is given its task, beside the skill that it asks for.
//! Must not know agents: they are shown to it.

use std::collections::BTreeSet;

use photon_state::RegionId;

use crate::contract::AgentSpec;
use crate::task::Skill;

/// What a client wants of the agent that is given its task.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wants {
    /// Skills that it must have, too.
    pub skills: BTreeSet<Skill>,
    /// Regions of which it must be attached to one; anywhere if there are none.
    pub regions: BTreeSet<RegionId>,
    /// What it may ask for a task at the most, in millionths.
    pub cost_micros_max: Option<u64>,
}

impl Wants {
    /// The most skills, beside the one that is asked for.
    pub const SKILLS_MAX: usize = 16;

    /// Whether an agent that is attached to a region is such a one.
    #[must_use]
    pub fn accepts(&self, agent: &AgentSpec, region: RegionId) -> bool {
        self.accepts_skills(agent) && self.accepts_region(region) && self.accepts_cost(agent)
    }

    pub(crate) fn accepts_skills(&self, agent: &AgentSpec) -> bool {
        self.skills.is_subset(&agent.skills)
    }

    pub(crate) fn accepts_region(&self, region: RegionId) -> bool {
        self.regions.is_empty() || self.regions.contains(&region)
    }

    pub(crate) fn accepts_cost(&self, agent: &AgentSpec) -> bool {
        self.cost_micros_max.is_none_or(|max| agent.cost_micros <= max)
    }
}
