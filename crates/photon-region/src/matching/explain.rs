//! Why an agent is given a task, and why the others are not.
//! Must not choose: it tells how the home chooses.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use photon_state::{PlacementId, RegionId};

use super::Asked;
use super::score::{Grade, Grades, Points, Weights};
use super::track::Track;
use crate::contract::Reply;
use crate::region::Region;
use crate::registry::Entry;
use crate::task::{AgentName, Target};
use crate::verdict::Verdict;

/// How a region would choose the agent for a task of which it is the home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Which region that is.
    pub region: RegionId,
    /// What counts how much.
    pub weights: Weights,
    /// Who would be given it, if anybody could be.
    pub chosen: Option<AgentName>,
    /// Those who offer what is asked: first whoever would be given the task, then the others that
    /// could be, the best first, then those that could not. Of very many not all are looked at.
    pub candidates: Vec<Candidate>,
    /// How many there are, listed or not.
    pub count: usize,
}

/// An agent that offers what is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub agent: AgentName,
    /// Where it is attached.
    pub region: RegionId,
    /// Whether it could be given the task.
    pub standing: Standing,
    /// What all grades come to.
    pub score: Points,
    /// What speaks for it.
    pub grades: Grades,
    /// How long a message takes to its region and back, as far as is known.
    pub round_trip: Duration,
    /// How many tasks it works on.
    pub in_use: u32,
    /// How many it works on at once.
    pub capacity: u32,
    /// How often it succeeds, if it has been seen at the skill of late.
    pub success: Option<Grade>,
    /// In how many milliseconds 19 of 20 of its tasks were done, likewise.
    pub p95_ms: Option<u64>,
    /// What it asks for a task, in millionths.
    pub cost_micros: u64,
}

/// Whether an agent could be given a task, and why it could not. The order is that in which they
/// are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// It could.
    Fit,
    /// It is given work only when no other has room, as the path to its region is bad.
    PathBad,
    /// It is given work only when no other has room, as its region is not well or drains.
    RegionDegraded,
    /// It works on as many tasks as it can.
    Full,
    /// It turned work down a moment ago.
    Resting,
    /// Its region cannot be told of the task, or does not hear of what this one writes.
    RegionAway,
    /// Its region has not heard of it lately.
    Offline,
    /// The task may not be in its region.
    RegionOutside,
    /// It lacks a skill that is wanted beside the one that is asked for.
    LacksSkill,
    /// It is attached to a region that is not among those that are wanted.
    RegionUnwanted,
    /// It asks for more than is wanted.
    TooDear,
    /// The record of the task may be where nobody may know of the agent.
    Confined,
}

impl Region {
    /// Agents that are looked at; of more the others are only counted.
    const CANDIDATES_MAX: usize = 2_000;

    /// Tells who would be given a task of a placement that this region is home of, and why.
    pub(crate) fn show_route(&self, asked: Asked<'_>, limit: usize) -> Verdict {
        if let Err(refusal) = self.check_placement(asked.placement) {
            return refusal.into();
        }
        let chosen = self.route(asked).map(|(agent, _)| agent);
        let chosen_first = chosen.iter().filter_map(|it| self.registry.get(it));
        let others = self.registry.candidates(asked.target);
        let others = others.filter(|it| Some(&it.spec.name) != chosen.as_ref());
        let all = chosen_first.chain(others).take(Self::CANDIDATES_MAX);
        let mut roads: BTreeMap<RegionId, Standing> = BTreeMap::new();
        let mut candidates: Vec<Candidate> = all
            .map(|entry| {
                let road = roads.entry(entry.region);
                let road = *road.or_insert_with(|| self.road(entry.region, asked.placement));
                self.candidate(entry, asked, road)
            })
            .collect();
        candidates.sort_by(|a, b| {
            let is_other = |it: &Candidate| Some(&it.agent) != chosen.as_ref();
            let key = |it: &Candidate| (is_other(it), it.standing, Reverse(it.score));
            key(a).cmp(&key(b)).then_with(|| a.agent.cmp(&b.agent))
        });
        let count = self.registry.count(asked.target);
        candidates.truncate(limit);
        let region = self.config.region;
        let route = Route { region, weights: self.config.weights, chosen, candidates, count };
        Verdict::Reply(self.appended(), Ok(Reply::Route(Box::new(route))))
    }

    fn candidate(&self, entry: &Entry, asked: Asked<'_>, road: Standing) -> Candidate {
        let agent = &entry.spec.name;
        let skill = match asked.target {
            Target::Skill(skill) => Some(skill),
            Target::Agent(_) => None,
        };
        let track = skill.and_then(|it| self.registry.track(agent, it));
        let grades = self.registry.grades(agent, entry, skill);
        Candidate {
            agent: agent.clone(),
            region: entry.region,
            standing: self.standing(entry, asked, road),
            score: self.config.weights.score(grades),
            grades,
            round_trip: self.registry.round_trip(entry.region),
            in_use: self.registry.in_use(agent),
            capacity: entry.spec.capacity,
            success: track.map(Track::success),
            p95_ms: track.and_then(Track::p95_ms),
            cost_micros: entry.spec.cost_micros,
        }
    }

    /// Says whether an agent could be given a task: residency comes first, and the road to its
    /// region last.
    fn standing(&self, entry: &Entry, asked: Asked<'_>, road: Standing) -> Standing {
        if !self.registry.may_know_of(entry.spec.placement, asked.placement) {
            return Standing::Confined;
        }
        if road == Standing::RegionOutside {
            return road;
        }
        if let Some(wants) = asked.wants {
            if !wants.accepts_skills(&entry.spec) {
                return Standing::LacksSkill;
            }
            if !wants.accepts_region(entry.region) {
                return Standing::RegionUnwanted;
            }
            if !wants.accepts_cost(&entry.spec) {
                return Standing::TooDear;
            }
        }
        self.registry.why_not(&entry.spec.name, entry).unwrap_or(road)
    }

    /// Says whether agents of a region could be given a task of a placement.
    fn road(&self, region: RegionId, placement: PlacementId) -> Standing {
        if !self.may_hold(region, placement) {
            Standing::RegionOutside
        } else if !self.may_work(region, placement) {
            Standing::RegionAway
        } else if self.is_degraded(region) {
            Standing::RegionDegraded
        } else if self.is_reachable(region) {
            Standing::Fit
        } else {
            Standing::PathBad
        }
    }
}
