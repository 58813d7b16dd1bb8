//! The registry: which agents there are, what they can do, and which of them has room.
//! Must not know of tasks beyond how many an agent works on, nor of time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use photon_state::{Dataset, Hlc, Key, PlacementId, Record, RegionId, Store};
use rustc_hash::FxHashMap;

use crate::codec::decode_agent;
use crate::config::Config;
use crate::contract::{Agent, AgentSpec};
use crate::task::{AgentName, Skill, Target};

/// Records of agents: a register by name.
pub(crate) const AGENTS: Dataset = Dataset(1);
/// Records of presence: a register by region and name, written by that region only.
pub(crate) const PRESENCE: Dataset = Dataset(2);
/// What a presence record holds while the agent is heard of.
pub(crate) const ONLINE: &[u8] = b"online";

/// An agent in the registry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) spec: Arc<AgentSpec>,
    pub(crate) region: RegionId,
    pub(crate) at: Hlc,
    pub(crate) is_online: bool,
    /// Its place in the pools, if it is in them.
    pooled: Option<Rank>,
}

/// The order in which agents are preferred: near before far, idle before busy, then by name.
type Rank = (u16, u32, AgentName);

/// Agents of one placement that offer one skill.
#[derive(Debug, Default)]
struct Pool {
    /// How many there are, free or not.
    members: usize,
    /// Those that have room.
    free: BTreeSet<Rank>,
}

/// The agents of the planet as far as they are known here: an index over the store.
#[derive(Debug)]
pub(crate) struct Registry {
    agents: BTreeMap<AgentName, Entry>,
    /// By skill, and then by the placement of the agents.
    pools: FxHashMap<Skill, BTreeMap<PlacementId, Pool>>,
    /// For each placement those that reach as far: whoever is known there may be known in it.
    wider: BTreeMap<PlacementId, BTreeSet<PlacementId>>,
    in_use: FxHashMap<AgentName, u32>,
    /// All regions, the nearest first; the place in this list is what ranks.
    near: Vec<RegionId>,
    online: usize,
    /// Those that turned work down: their regions know more of them than is known here.
    resting: BTreeSet<AgentName>,
    /// Bytes of all cards and skills.
    bytes: usize,
    /// The least name: where a range of ranks begins.
    least: AgentName,
}

impl Registry {
    pub(crate) fn new(config: &Config) -> Self {
        let here = config.regions[&config.region];
        let metres = |region: &RegionId| (config.regions[region].distance_km(here) * 1e3) as u64;
        let mut near: Vec<RegionId> = config.regions.keys().copied().collect();
        near.sort_by_key(|region| (*region != config.region, metres(region), *region));
        let all = &config.placements;
        let wider = |members: &BTreeSet<RegionId>| {
            all.iter().filter(|(_, it)| members.is_subset(it)).map(|(id, _)| *id).collect()
        };
        Self {
            agents: BTreeMap::new(),
            pools: FxHashMap::default(),
            wider: all.iter().map(|(id, members)| (*id, wider(members))).collect(),
            in_use: FxHashMap::default(),
            near,
            online: 0,
            resting: BTreeSet::new(),
            bytes: 0,
            least: "".into(),
        }
    }

    /// Makes the entry of a name anew from what the store holds in any of the placements.
    pub(crate) fn refresh<'a>(
        &mut self,
        name: &AgentName,
        store: &Store,
        placements: impl Iterator<Item = &'a PlacementId>,
    ) {
        self.remove(name);
        self.resting.remove(name);
        let found = placements.filter_map(|placement| {
            let (at, value) = store.dated(&agent_record(*placement, name))?;
            let (spec, region) = decode_agent(value).ok()?;
            Some((at, *placement, spec, region))
        });
        let Some((at, placement, spec, region)) = found.max_by_key(|it| (it.0, it.1)) else {
            return;
        };
        let presence = store.value(&presence_record(placement, region, name));
        let is_online = presence.is_some_and(|it| it == ONLINE);
        self.online += usize::from(is_online);
        self.bytes += weight(&spec);
        for skill in &spec.skills {
            let pools = self.pools.entry(skill.clone()).or_default();
            pools.entry(placement).or_default().members += 1;
        }
        let entry = Entry { spec: Arc::new(spec), region, at, is_online, pooled: None };
        self.agents.insert(name.clone(), entry);
        self.rank(name);
    }

    /// Iterates over all regions, the nearest first.
    pub(crate) fn near(&self) -> impl Iterator<Item = &RegionId> + Clone {
        self.near.iter()
    }

    fn remove(&mut self, name: &AgentName) {
        self.unrank(name);
        let Some(entry) = self.agents.remove(name) else { return };
        self.online -= usize::from(entry.is_online);
        self.bytes -= weight(&entry.spec);
        for skill in &entry.spec.skills {
            let pools = self.pools.get_mut(skill).expect("an agent is in the pool of each skill");
            let pool = pools.get_mut(&entry.spec.placement).expect("and of its placement");
            pool.members -= 1;
            if pool.members == 0 {
                pools.remove(&entry.spec.placement);
            }
            if pools.is_empty() {
                self.pools.remove(skill);
            }
        }
    }

    /// Takes note that an agent took up a task or put one down.
    pub(crate) fn adjust(&mut self, name: &AgentName, taken: Taken) {
        let in_use = self.in_use.entry(name.clone()).or_default();
        match taken {
            Taken::Up => *in_use += 1,
            Taken::Down => *in_use = in_use.saturating_sub(1),
        }
        if *in_use == 0 {
            self.in_use.remove(name);
        }
        self.unrank(name);
        self.rank(name);
    }

    /// Lets an agent rest that turned work down: it is offered nothing until more is known of it,
    /// or until it has [`rested`](Self::rested).
    pub(crate) fn rest(&mut self, name: &AgentName) {
        if self.agents.contains_key(name) {
            self.unrank(name);
            self.resting.insert(name.clone());
        }
    }

    /// Ends the rest of all agents; returns who they are.
    pub(crate) fn rested(&mut self) -> BTreeSet<AgentName> {
        let rested = std::mem::take(&mut self.resting);
        rested.iter().for_each(|it| self.rank(it));
        rested
    }

    fn rank(&mut self, name: &AgentName) {
        if self.resting.contains(name) {
            return;
        }
        let in_use = self.in_use(name);
        let Some(entry) = self.agents.get_mut(name) else { return };
        if !entry.is_online || entry.spec.capacity <= in_use {
            return;
        }
        let Some(near) = self.near.iter().position(|it| *it == entry.region) else { return };
        let rank = (u16::try_from(near).unwrap_or(u16::MAX), in_use, name.clone());
        for skill in &entry.spec.skills {
            let pools = self.pools.entry(skill.clone()).or_default();
            pools.entry(entry.spec.placement).or_default().free.insert(rank.clone());
        }
        entry.pooled = Some(rank);
    }

    fn unrank(&mut self, name: &AgentName) {
        let Some(entry) = self.agents.get_mut(name) else { return };
        let Some(rank) = entry.pooled.take() else { return };
        for skill in &entry.spec.skills {
            let pools = self.pools.get_mut(skill).expect("an agent is in the pool of each skill");
            let pool = pools.get_mut(&entry.spec.placement).expect("and of its placement");
            pool.free.remove(&rank);
        }
    }

    /// Picks the agent for a task of a placement: the nearest with room in a region that `may` take
    /// it, the one to `avoid` only if there is no other.
    pub(crate) fn pick(
        &self,
        (target, placement): (&Target, PlacementId),
        avoid: Option<&AgentName>,
        may: impl Fn(RegionId) -> bool,
    ) -> Option<(AgentName, RegionId)> {
        let skill = match target {
            Target::Skill(skill) => skill,
            Target::Agent(name) => {
                let entry = self.agents.get(name)?;
                let is_fit = entry.pooled.is_some()
                    && may(entry.region)
                    && self.may_know_of(entry.spec.placement, placement);
                return is_fit.then(|| (name.clone(), entry.region));
            }
        };
        let fit = self.pools.get(skill)?.iter();
        let fit = fit.filter(|(its, _)| self.may_know_of(**its, placement)).map(|(_, it)| it);
        let mut second = None;
        for (near, region) in (0_u16..).zip(&self.near) {
            if !may(*region) {
                continue;
            }
            let first = (near, 0, self.least.clone());
            let here = fit.clone().flat_map(|pool| {
                pool.free.range(&first..).take_while(|rank| rank.0 == near).take(2)
            });
            let (avoided, best) = here.fold((None, None), |(avoided, best), rank| {
                let is_avoided = Some(&rank.2) == avoid;
                let best = if is_avoided { best } else { lesser(best, rank) };
                (if is_avoided { Some(rank) } else { avoided }, best)
            });
            if let Some((_, _, name)) = best {
                return Some((name.clone(), *region));
            }
            second = avoided.map(|(_, _, name)| (name.clone(), *region)).or(second);
        }
        second
    }

    /// Whether tasks of a placement may name an agent of another: nobody may hear of an agent who
    /// may not hold its record.
    pub(crate) fn may_know_of(&self, agents: PlacementId, tasks: PlacementId) -> bool {
        agents == tasks || self.wider.get(&tasks).is_some_and(|wider| wider.contains(&agents))
    }

    /// Whether anybody, free or not, could do what is asked, were it not for the placement.
    pub(crate) fn knows(&self, target: &Target) -> bool {
        match target {
            Target::Skill(skill) => self.pools.contains_key(skill),
            Target::Agent(name) => self.agents.contains_key(name),
        }
    }

    /// Whether anybody who offers what is asked, free or not, may be named under a placement;
    /// wherever it is attached now, it may come to be attached there.
    pub(crate) fn knows_within(&self, target: &Target, placement: PlacementId) -> bool {
        match target {
            Target::Skill(skill) => {
                let mut pools = self.pools.get(skill).into_iter().flatten();
                pools.any(|(its, _)| self.may_know_of(*its, placement))
            }
            Target::Agent(name) => {
                let agent = self.agents.get(name);
                agent.is_some_and(|it| self.may_know_of(it.spec.placement, placement))
            }
        }
    }

    /// Whether an agent has room for one more task.
    pub(crate) fn has_room(&self, name: &AgentName) -> bool {
        self.agents.get(name).is_some_and(|entry| entry.pooled.is_some())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.agents.get(name)
    }

    /// Iterates over the agents after a name, in order.
    pub(crate) fn after(
        &self,
        after: Option<&AgentName>,
    ) -> impl Iterator<Item = (&AgentName, &Entry)> {
        use std::ops::Bound::{Excluded, Unbounded};
        self.agents.range::<AgentName, _>((after.map_or(Unbounded, Excluded), Unbounded))
    }

    /// Returns an agent as clients see it.
    pub(crate) fn show(&self, name: &AgentName, entry: &Entry) -> Agent {
        Agent {
            spec: AgentSpec::clone(&entry.spec),
            region: entry.region,
            is_online: entry.is_online,
            in_use: self.in_use(name),
            at: entry.at,
        }
    }

    fn in_use(&self, name: &AgentName) -> u32 {
        self.in_use.get(name).copied().unwrap_or(0)
    }

    pub(crate) fn len(&self) -> usize {
        self.agents.len()
    }

    /// Returns how many bytes all cards and skills take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn online(&self) -> usize {
        self.online
    }
}

fn lesser<'a>(best: Option<&'a Rank>, rank: &'a Rank) -> Option<&'a Rank> {
    Some(best.map_or(rank, |best| best.min(rank)))
}

/// Returns how many bytes the card and the skills of an agent take.
pub(crate) fn weight(spec: &AgentSpec) -> usize {
    spec.card.0.len() + spec.skills.iter().map(|it| it.len()).sum::<usize>()
}

/// Which way the load of an agent goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Taken {
    Up,
    Down,
}

pub(crate) fn agent_record(placement: PlacementId, name: &str) -> Record {
    Record { placement, dataset: AGENTS, key: Key::new(name.as_bytes()) }
}

pub(crate) fn presence_record(placement: PlacementId, region: RegionId, name: &str) -> Record {
    let key = Key::new(format!("{region}/{name}").as_bytes());
    Record { placement, dataset: PRESENCE, key }
}

/// The longest name of an agent, in bytes: with a region it makes a key.
const NAME_BYTES_MAX: usize = 128;

/// Returns the agent that a record of the registry is about.
pub(crate) fn agent_of(record: &Record) -> Option<AgentName> {
    let text = std::str::from_utf8(record.key.as_bytes()).ok()?;
    let name = match record.dataset {
        AGENTS => text,
        PRESENCE => text.split_once('/')?.1,
        _ => return None,
    };
    (name.len() <= NAME_BYTES_MAX).then(|| name.into())
}
