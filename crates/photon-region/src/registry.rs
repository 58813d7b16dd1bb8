//! The registry: which agents there are, what they can do, and which of them has room.
//! Must not know of tasks beyond how many an agent works on, nor of time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use photon_state::{Dataset, Hlc, Key, PlacementId, Record, RegionId, Store};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

use crate::agent_changes::AgentChanges;
use crate::codec::decode_agent;
use crate::config::Config;
use crate::contract::{Agent, AgentSpec};
use crate::matching::{
    Asked, Grade, Grades, Points, Pools, Search, Site, Standing, Stint, Track, Tracks, Wants,
    Weights,
};
use crate::routes::estimate;
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
    /// Whether it is offered in the pools of its skills: it lives and has room.
    is_offered: bool,
}

/// The agents of the planet as far as they are known here: an index over the store.
#[derive(Debug)]
pub(crate) struct Registry {
    /// The place of each in `entries`: its number.
    agents: BTreeMap<AgentName, u32>,
    entries: Vec<Option<Entry>>,
    vacant: Vec<u32>,
    pools: Pools,
    tracks: Tracks,
    weights: Weights,
    /// For each placement those that reach as far: whoever is known there may be known in it.
    wider: BTreeMap<PlacementId, BTreeSet<PlacementId>>,
    in_use: FxHashMap<AgentName, u32>,
    /// All regions, the nearest first; the place in this list is what ranks.
    sites: Vec<Site>,
    round_trips: BTreeMap<RegionId, Duration>,
    online: usize,
    /// Those that turned work down: their regions know more of them than is known here.
    resting: BTreeSet<AgentName>,
    /// Bytes of all cards and skills.
    bytes: usize,
    changes: AgentChanges,
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
        let trip = |region: &RegionId| {
            let is_here = *region == config.region;
            let far = || Duration::from_micros(estimate(here, config.regions[region]));
            (*region, if is_here { Duration::ZERO } else { far() })
        };
        let round_trips: BTreeMap<RegionId, Duration> = near.iter().map(trip).collect();
        let weights = config.weights;
        let site = |region: &RegionId| Site {
            region: *region,
            points: weights.of_region(Grade::of_round_trip(round_trips[region])),
        };
        Self {
            agents: BTreeMap::new(),
            entries: Vec::new(),
            vacant: Vec::new(),
            pools: Pools::default(),
            tracks: Tracks::default(),
            weights,
            wider: all.iter().map(|(id, members)| (*id, wider(members))).collect(),
            in_use: FxHashMap::default(),
            sites: near.iter().map(site).collect(),
            round_trips,
            online: 0,
            resting: BTreeSet::new(),
            bytes: 0,
            changes: AgentChanges::default(),
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
        self.find(name, store, placements);
        let agents = &self.agents;
        self.changes.note(name, agents.len(), |it| agents.contains_key(it));
    }

    fn find<'a>(
        &mut self,
        name: &AgentName,
        store: &Store,
        placements: impl Iterator<Item = &'a PlacementId>,
    ) {
        let found = placements.filter_map(|placement| {
            let (at, value) = store.dated(&agent_record(*placement, name))?;
            let (spec, region) = decode_agent(value).ok().filter(|(it, _)| it.name == *name)?;
            Some((at, *placement, spec, region))
        });
        let Some((at, placement, spec, region)) = found.max_by_key(|it| (it.0, it.1)) else {
            return;
        };
        let presence = store.value(&presence_record(placement, region, name));
        let is_online = presence.is_some_and(|it| it == ONLINE);
        self.online += usize::from(is_online);
        self.bytes += weight(&spec);
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("there are fewer agents")
        });
        // Whatever placement the spec names, its record is what says where it lies.
        let spec = Arc::new(AgentSpec { placement, ..spec });
        spec.skills.iter().for_each(|skill| self.pools.join(skill, placement, number));
        let entry = Entry { spec, region, at, is_online, is_offered: false };
        self.entries[number as usize] = Some(entry);
        self.agents.insert(name.clone(), number);
        self.offer(name);
    }

    fn remove(&mut self, name: &AgentName) {
        self.withdraw(name);
        let Some(number) = self.agents.remove(name) else { return };
        let entry = self.entries[number as usize].take().expect("a number has an entry");
        self.vacant.push(number);
        self.online -= usize::from(entry.is_online);
        self.bytes -= weight(&entry.spec);
        for skill in &entry.spec.skills {
            self.pools.leave(skill, entry.spec.placement, number);
        }
    }

    /// Iterates over all regions, the nearest first.
    pub(crate) fn near(&self) -> impl Iterator<Item = &RegionId> + Clone {
        self.sites.iter().map(|it| &it.region)
    }

    /// Returns how long a message takes to a region and back, as far as is known.
    pub(crate) fn round_trip(&self, region: RegionId) -> Duration {
        self.round_trips.get(&region).copied().unwrap_or_default()
    }

    /// Takes in how long a message takes to a region and back.
    pub(crate) fn measured(&mut self, region: RegionId, round_trip: Duration) {
        self.round_trips.insert(region, round_trip);
        if let Some(site) = self.sites.iter_mut().find(|it| it.region == region) {
            site.points = self.weights.of_region(Grade::of_round_trip(round_trip));
        }
    }

    /// Takes note that an agent took up a task.
    pub(crate) fn take_up(&mut self, name: &AgentName) {
        self.withdraw(name);
        *self.in_use.entry(name.clone()).or_default() += 1;
        self.offer(name);
    }

    /// Takes note that an agent put down a task, and what its time at it came to.
    pub(crate) fn put_down(
        &mut self,
        name: &AgentName,
        (skill, stint): (Option<&Skill>, Stint),
        now: Duration,
    ) {
        self.withdraw(name);
        let in_use = self.in_use.entry(name.clone()).or_default();
        *in_use = in_use.saturating_sub(1);
        if *in_use == 0 {
            self.in_use.remove(name);
        }
        if let Some(skill) = skill.filter(|_| self.agents.contains_key(name)) {
            self.tracks.add(name, skill, stint, now);
        }
        self.offer(name);
    }

    /// Takes note that an agent has a task no longer of which the log is gone.
    pub(crate) fn let_go(&mut self, name: &AgentName) {
        self.put_down(name, (None, Stint::Void), Duration::ZERO);
    }

    /// Lets what is known of how agents fare count less that is old: of so many at once.
    pub(crate) fn age(&mut self, now: Duration, most: usize) {
        for _ in 0..most {
            let Some(name) = self.tracks.due(now) else { return };
            self.withdraw(&name);
            self.tracks.halve_next(now);
            self.offer(&name);
        }
    }

    /// Lets an agent rest that turned work down: it is offered nothing until more is known of it,
    /// or until it has [`rested`](Self::rested).
    pub(crate) fn rest(&mut self, name: &AgentName) {
        if self.agents.contains_key(name) {
            self.withdraw(name);
            self.resting.insert(name.clone());
        }
    }

    /// Ends the rest of all agents; returns who they are.
    pub(crate) fn rested(&mut self) -> BTreeSet<AgentName> {
        let rested = std::mem::take(&mut self.resting);
        rested.iter().for_each(|it| self.offer(it));
        rested
    }

    /// Lets an agent be found if it lives and has room.
    fn offer(&mut self, name: &AgentName) {
        let Some(entry) = self.get(name) else { return };
        if self.why_not(name, entry).is_some() {
            return;
        }
        let (number, ranks) = (self.agents[name], self.ranks(name, entry));
        let spec = Arc::clone(&entry.spec);
        for (skill, (near, points)) in spec.skills.iter().zip(ranks) {
            self.pools.offer((skill, spec.placement), (near, points, number));
        }
        let entry = self.entries[number as usize].as_mut().expect("a number has an entry");
        entry.is_offered = true;
    }

    /// Lets nobody find an agent, before anything changes by which it is ranked.
    fn withdraw(&mut self, name: &AgentName) {
        let Some(number) = self.agents.get(name).copied() else { return };
        let entry = self.entries[number as usize].as_mut().expect("a number has an entry");
        if !std::mem::replace(&mut entry.is_offered, false) {
            return;
        }
        let entry = self.entries[number as usize].as_ref().expect("a number has an entry");
        let (spec, ranks) = (Arc::clone(&entry.spec), self.ranks(name, entry));
        for (skill, (near, points)) in spec.skills.iter().zip(ranks) {
            self.pools.withdraw((skill, spec.placement), (near, points, number));
        }
    }

    /// Returns where an agent ranks for each of its skills.
    fn ranks(&self, name: &AgentName, entry: &Entry) -> SmallVec<[(u16, Points); 8]> {
        let near = self.sites.iter().position(|it| it.region == entry.region);
        let near = near.and_then(|it| u16::try_from(it).ok()).unwrap_or(u16::MAX);
        let skills = entry.spec.skills.iter();
        let grades = skills.map(|skill| self.grades(name, entry, Some(skill)));
        grades.map(|it| (near, self.weights.of_agent(it))).collect()
    }

    /// Grades an agent at a skill.
    pub(crate) fn grades(&self, name: &AgentName, entry: &Entry, skill: Option<&Skill>) -> Grades {
        let track = skill.and_then(|it| self.track(name, it));
        let success = track.map_or(Grade::BEST, Track::success);
        let p95_ms = track.and_then(Track::p95_ms);
        Grades {
            proximity: Grade::of_round_trip(self.round_trip(entry.region)),
            success,
            capacity: Grade::of_capacity(self.in_use(name), entry.spec.capacity),
            latency: p95_ms.map_or(Grade::UNKNOWN, Grade::of_size),
            cost: Grade::of_size(entry.spec.cost_micros),
        }
    }

    /// Returns how an agent has fared at a skill, if it has.
    pub(crate) fn track(&self, name: &AgentName, skill: &Skill) -> Option<&Track> {
        let tracks = self.tracks.of(name).iter();
        tracks.map(|(its, track)| (its, track)).find(|(its, _)| *its == skill).map(|(_, it)| it)
    }

    /// Returns why an agent is given nothing at all, if it is not.
    pub(crate) fn why_not(&self, name: &AgentName, entry: &Entry) -> Option<Standing> {
        if !entry.is_online {
            Some(Standing::Offline)
        } else if entry.spec.capacity <= self.in_use(name) {
            Some(Standing::Full)
        } else if self.resting.contains(name) {
            Some(Standing::Resting)
        } else {
            let is_known = self.sites.iter().any(|it| it.region == entry.region);
            (!is_known).then_some(Standing::RegionAway)
        }
    }

    /// Picks the agent for a task of a placement: the best with room in a region that `may` take
    /// it, the one to `avoid` only if there is no other.
    pub(crate) fn pick(
        &self,
        asked: Asked<'_>,
        avoid: Option<&AgentName>,
        may: impl Fn(RegionId) -> bool,
    ) -> Option<(AgentName, RegionId)> {
        let Asked { target, placement, wants } = asked;
        let skill = match target {
            Target::Skill(skill) => skill,
            Target::Agent(name) => {
                let entry = self.get(name)?;
                let is_fit = entry.is_offered
                    && may(entry.region)
                    && wants.is_none_or(|it| it.accepts(&entry.spec, entry.region))
                    && self.may_know_of(entry.spec.placement, placement);
                return is_fit.then(|| (name.clone(), entry.region));
            }
        };
        let avoid = avoid.and_then(|it| self.agents.get(it).copied());
        let search = Search { sites: &self.sites, avoid };
        let fit = |its| self.may_know_of(its, placement);
        let number = match wants {
            None => self.pools.best(skill, search, fit, may, |_| true)?,
            Some(wants) => {
                let fit = |its| fit(its) && self.pools.share(skill, &wants.skills, its);
                let is_wanted = |number| {
                    let spec = &self.entry(number).spec;
                    wants.accepts_cost(spec) && wants.accepts_skills(spec)
                };
                self.pools.best(skill, search, fit, may, is_wanted)?
            }
        };
        let entry = self.entry(number);
        Some((entry.spec.name.clone(), entry.region))
    }

    /// Whether an agent is one that is wanted.
    pub(crate) fn accepts(&self, name: &AgentName, wants: Option<&Arc<Wants>>) -> bool {
        let accepts =
            |it: &Wants| self.get(name).is_some_and(|entry| it.accepts(&entry.spec, entry.region));
        wants.is_none_or(|it| accepts(it))
    }

    fn entry(&self, number: u32) -> &Entry {
        self.entries[number as usize].as_ref().expect("a number has an entry")
    }

    /// Returns all that offer what is asked, with room or without.
    pub(crate) fn candidates<'a>(
        &'a self,
        target: &'a Target,
    ) -> Box<dyn Iterator<Item = &'a Entry> + 'a> {
        match target {
            Target::Skill(skill) => Box::new(self.pools.members(skill).map(|it| self.entry(it))),
            Target::Agent(name) => Box::new(self.get(name).into_iter()),
        }
    }

    /// Returns how many offer what is asked.
    pub(crate) fn count(&self, target: &Target) -> usize {
        match target {
            Target::Skill(skill) => self.pools.count(skill),
            Target::Agent(name) => usize::from(self.agents.contains_key(name)),
        }
    }

    /// Whether tasks of a placement may name an agent of another: nobody may hear of an agent who
    /// may not hold its record.
    pub(crate) fn may_know_of(&self, agents: PlacementId, tasks: PlacementId) -> bool {
        agents == tasks || self.wider.get(&tasks).is_some_and(|wider| wider.contains(&agents))
    }

    /// Whether anybody, free or not, could do what is asked, were it not for the placement.
    pub(crate) fn knows(&self, target: &Target) -> bool {
        match target {
            Target::Skill(skill) => self.pools.has(skill),
            Target::Agent(name) => self.agents.contains_key(name),
        }
    }

    /// Whether anybody who offers what is asked, free or not, may be named under a placement;
    /// wherever it is attached now, it may come to be attached there.
    pub(crate) fn knows_within(&self, target: &Target, placement: PlacementId) -> bool {
        match target {
            Target::Skill(skill) => {
                self.pools.placements(skill).any(|its| self.may_know_of(its, placement))
            }
            Target::Agent(name) => {
                self.get(name).is_some_and(|it| self.may_know_of(it.spec.placement, placement))
            }
        }
    }

    /// Whether an agent has room for one more task.
    pub(crate) fn has_room(&self, name: &AgentName) -> bool {
        self.get(name).is_some_and(|entry| entry.is_offered)
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Entry> {
        self.agents.get(name).map(|number| self.entry(*number))
    }

    /// Iterates over the agents after a name, in order.
    pub(crate) fn after(
        &self,
        after: Option<&AgentName>,
    ) -> impl Iterator<Item = (&AgentName, &Entry)> {
        use std::ops::Bound::{Excluded, Unbounded};
        let names =
            self.agents.range::<AgentName, _>((after.map_or(Unbounded, Excluded), Unbounded));
        names.map(|(name, number)| (name, self.entry(*number)))
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

    /// Returns which agents have changed.
    pub(crate) fn changes(&self) -> &AgentChanges {
        &self.changes
    }

    pub(crate) fn in_use(&self, name: &AgentName) -> u32 {
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

/// Returns how many bytes the card and the skills of an agent take.
pub(crate) fn weight(spec: &AgentSpec) -> usize {
    spec.card.0.len() + spec.skills.iter().map(|it| it.len()).sum::<usize>()
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
