//! How the regions agree: a group of some of them votes, all learn, and whoever is home of tasks
//! decides about them only while a majority stands by it.
//! Must not know what a task is.

mod beat;
mod codec;
mod duties;
mod enrol;
mod group;
mod members;
mod propose;
mod store;
mod takeover;
mod tenure;
mod turns;

pub(crate) use beat::{read_beat, write_beat};
pub(crate) use takeover::Takeover;

pub use beat::Beat;

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use photon_state::{PlacementId, RegionId};
use raft::eraftpb::Entry;

use crate::charter::{Charter, Decree, Handover};
use crate::clocks::Clocks;
use crate::config::Config;
use crate::contract::{Disk, Message};
use crate::desk::Held;
use crate::detect::Detector;
use crate::region::Region;
use crate::snapshot::{Part, Step};
use crate::task::Shard;
use enrol::{first_life, region_of};
use group::{Compact, Group, GroupChange, is_group_change};
use store::{Addition, Kept};
use turns::{Ask, Asked, Turn, Whose};

/// What a region knows of the others that it agrees with.
#[derive(Debug)]
pub(crate) struct Agree {
    /// What was kept, until the group runs.
    kept: Kept,
    /// This region's part in the group, once it may take part.
    group: Option<Group>,
    /// The last append that holds something of the group.
    append: u64,
    /// By which append each region was bound to an incarnation.
    bound_by: BTreeMap<RegionId, u64>,
    pub(crate) detector: Detector,
    pub(crate) clocks: Clocks,
    /// When a region was judged otherwise than before.
    judged: BTreeMap<RegionId, Duration>,
    allies: BTreeMap<RegionId, Ally>,
    /// What this region is to take over.
    pub(crate) takeovers: BTreeMap<PlacementId, Takeover>,
    /// The shards of which this region is the home: those that it has taken over, if there are any.
    pub(crate) own: BTreeMap<PlacementId, Vec<Shard>>,
    /// Whether it held its tenure when that was looked at last.
    is_holding: bool,
    /// What this region waits for to lead, while nobody does.
    turn: Option<Turn>,
    /// Who would lead.
    asked: Asked,
    /// When this life began: what the one before it had granted is not known.
    began: Duration,
    /// Since when it is known who is in the group, by the decree that changed that last.
    group_known: (u64, Duration),
}

/// Another region, by its beats.
#[derive(Debug, Default)]
struct Ally {
    incarnation: u64,
    id: Option<u64>,
    /// Whether it has taken over all that it became the home of, up to the decree that it has
    /// followed.
    settled: Option<u64>,
    /// Up to which decree it has taken the charter in.
    applied: u64,
    /// Whether it said that it may decide.
    is_holding: bool,
    /// Whether this region is no member of the planet, as far as it knows.
    is_stranger: bool,
    /// In which incarnation it heard of this region first.
    bound: Option<u64>,
    /// When the last beat was sent that it has granted.
    granted: Option<Duration>,
    /// The last of its own beats that it is to be granted.
    grant: Option<u64>,
    /// The last of its beats that was granted.
    backed: Option<Backed>,
    /// Until when anybody whom it had granted a beat by mistake may have decided, as of a decree.
    lapses: Option<(u64, Duration)>,
    /// When it was heard last, and since when without a gap.
    heard: Option<(Duration, Duration)>,
}

/// A beat that was granted.
#[derive(Clone, Copy, Debug)]
struct Backed {
    at: Duration,
    id: Option<u64>,
    applied: u64,
}

impl Agree {
    pub(crate) fn new(config: &Config) -> Self {
        let here = config.region;
        Self {
            kept: enrol::founding(config),
            group: None,
            append: 0,
            bound_by: BTreeMap::new(),
            detector: Detector::new(here, 0, 1),
            clocks: Clocks::default(),
            judged: BTreeMap::new(),
            allies: BTreeMap::new(),
            takeovers: BTreeMap::new(),
            own: BTreeMap::new(),
            is_holding: false,
            turn: None,
            asked: Asked::default(),
            began: Duration::ZERO,
            group_known: (0, Duration::ZERO),
        }
    }

    /// Takes back what was kept, from the log.
    pub(crate) fn replay(&mut self, bytes: &Bytes) -> bool {
        let Ok(mut addition) = codec::decode_addition(bytes) else { return false };
        // What came before was cut off, and all of it is said once more before the cut.
        if addition.snapshot.is_none() && !self.kept.goes_on_with(&addition.entries) {
            addition.entries.clear();
        }
        self.kept.add(addition);
        true
    }

    fn group_mut(&mut self) -> Option<&mut Group> {
        self.group.as_mut()
    }

    fn kept(&self) -> &Kept {
        self.group.as_ref().map_or(&self.kept, Group::kept)
    }

    /// Returns when something is to be done.
    pub(crate) fn next_deadline(&self) -> Duration {
        let takeover = self.takeovers.values().map(Takeover::next_deadline);
        let group = self.group.as_ref().map(Group::next_tick);
        let beat = self.detector.next_deadline();
        takeover.chain(group).fold(beat, Duration::min)
    }
}

/// Returns the charter of a planet that has agreed on nothing yet.
pub(crate) fn founded(config: &Config) -> Charter {
    let ids = config.regions.keys().map(|region| (*region, first_life(*region)));
    Charter::founded(ids, &config.placements)
}

impl Region {
    /// Begins to take part where the log left this region.
    pub(crate) fn start_agreeing(&mut self) {
        let charter = Charter::decode(&self.agree.kept.snapshot.data);
        if let Ok(mut charter) = charter {
            charter.add_placements(&self.charter);
            self.charter = charter;
        }
        // Who was agreed to be out before this life began has no vote.
        self.tell_the_detector();
        self.agree.append = self.appended();
        self.agree.began = self.now.mono;
        self.look_at_group();
        self.enrol();
        self.drive_group();
        self.look_at_tenure();
    }

    /// Takes part in the group as soon as this life has a name in it.
    fn join_group(&mut self) {
        let Some(id) = self.agree.kept.id.filter(|_| self.agree.group.is_none()) else { return };
        let kept = std::mem::take(&mut self.agree.kept);
        self.agree.group = Some(Group::new(id, kept, self.now.mono));
    }

    /// Writes what must not be forgotten.
    fn keep(&mut self, addition: &Addition) {
        let step = Step::Agreed(codec::encode_addition(addition));
        self.agree.append = self.write_local(&Part { from: None, step });
    }

    /// Writes all of it once more: what the log holds of it will be cut off.
    pub(crate) fn keep_whole(&mut self) {
        let whole = self.agree.kept().whole();
        self.keep(&whole);
    }

    /// Carries out what the group asks for, until there is nothing more.
    pub(crate) fn drive_group(&mut self) {
        while self.disk == Disk::Ready
            && let Some(duty) = self.agree.group_mut().and_then(Group::duty)
        {
            if let Some(addition) = duty.addition {
                #[cfg(feature = "planted-bugs")]
                let is_planted = self.planted == Some(crate::PlantedBug::ForgetVotes);
                #[cfg(feature = "planted-bugs")]
                let hard = addition.hard.filter(|_| !is_planted);
                #[cfg(feature = "planted-bugs")]
                let addition = Addition { hard, ..addition };
                self.keep(&addition);
            }
            let append = self.agree.append;
            for message in duty.messages {
                self.send_to_member(append, &message);
            }
            if let Some(charter) = duty.charter {
                self.adopt_charter(&charter);
            }
            duty.agreed.iter().for_each(|entry| self.take_agreed(entry));
            self.compact_group(Compact::IfLong);
            let durable = self.durable();
            if let Some(group) = self.agree.group_mut() {
                group.written(duty.number, append);
                group.durable(durable);
            }
        }
    }

    fn send_to_member(&mut self, append: u64, message: &raft::eraftpb::Message) {
        let to = region_of(&self.config, message.to);
        let (Some(to), Some(bytes)) = (to, codec::encode_message(message)) else { return };
        if self.is_linked(to) {
            self.say(append, Held::Send(to, Message::Agree(bytes)));
        }
    }

    /// Takes in what a member of the group says.
    pub(crate) fn on_agree(&mut self, from: RegionId, bytes: &Bytes) {
        let Ok(message) = codec::decode_message(bytes) else {
            self.counters.misplaced += 1;
            return;
        };
        let (now, whose) = (self.now.mono, Whose::Others);
        let is_its_own = region_of(&self.config, message.from) == Some(from);
        let may_write = self.disk == Disk::Ready;
        if let Some(group) = self.agree.group.as_mut().filter(|_| is_its_own && may_write) {
            let ask = group.asked_by(&message).map(|log| Ask { who: from, log, at: now, whose });
            if ask.is_none_or(|it| self.agree.asked.hears_out(it)) {
                group.step(message);
                self.drive_group();
            }
        }
    }

    /// Takes note of what is durable.
    pub(crate) fn agreed_is_durable(&mut self) {
        let durable = self.durable();
        if let Some(group) = self.agree.group_mut() {
            group.durable(durable);
            self.compact_group(Compact::IfLong);
            self.drive_group();
        }
    }

    fn adopt_charter(&mut self, bytes: &Bytes) {
        if let Ok(mut charter) = Charter::decode(bytes) {
            charter.add_placements(&self.charter);
            let before = std::mem::replace(&mut self.charter, charter);
            self.charter_changed(&before, Handover::ByTenure);
        }
    }

    fn take_agreed(&mut self, entry: &Entry) {
        let index = entry.index;
        let mut decree = Decree::decode(&entry.data).ok();
        if is_group_change(entry) {
            let change = GroupChange::decode(&entry.context).unwrap_or_default();
            decree = Decree::decode(&change.decree).ok();
            if let Some(group) = self.agree.group_mut() {
                group.change(entry);
            }
            self.charter.group_changes(index);
        }
        self.charter.index = index;
        if let Some(decree) = decree {
            let before = self.charter.clone();
            self.charter.follow(index, &decree);
            if decree.lets_begin_anew() {
                self.compact_group(Compact::Now);
            }
            self.charter_changed(&before, decree.handover());
        }
    }

    fn compact_group(&mut self, when: Compact) {
        let (index, charter) = (self.charter.index, &self.charter);
        let group = self.agree.group.as_mut();
        if group.is_some_and(|it| it.applied(index, when, || charter.encode())) {
            self.keep_whole();
        }
    }
}
