//! The faults of a schedule, carried out as drills make them in processes and on their paths.
//! Must not draw any: the schedule says which there are, when they begin, and how long they last.

use std::collections::BTreeSet;
use std::time::Duration;

use photon_region::{Disk as Room, WentBack, region_tag};
use photon_state::RegionId;

use crate::clock::{Micros, SECOND};
use crate::links::LinkEvent;
use crate::mishaps::Mishap;
use crate::planet::{Event, Planet};
use crate::promises::{Broken, Promise};
use crate::schedule::{Harm, Schedule, ScheduleError, Scheduled};
use crate::site::Atlas;

/// Whether a seed draws faults, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Besides {
    /// Nothing goes wrong but what the schedule says.
    Nothing,
    /// What the seed draws goes wrong beside it.
    Faults,
}

/// A schedule, with the regions of the planet that suffers it.
#[derive(Clone, Debug)]
pub struct Planned {
    regions: BTreeSet<RegionId>,
    schedule: Schedule,
    besides: Besides,
}

/// What keeps a schedule from being simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlannedError {
    /// The faults do not fit together, or not the regions.
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    /// There are too many regions.
    #[error(
        "a planet of the simulator has {} regions at most, and there are {count}",
        Atlas::SITES_MAX
    )]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// Two names have the same tag in the names of tasks.
    #[error("`{a}` and `{b}` cannot be in one planet: name one of them otherwise")]
    Alike {
        /// One of them.
        a: RegionId,
        /// The other one.
        b: RegionId,
    },
}

impl Planned {
    /// A planet of fewer regions stands still when one is away.
    const REGIONS_MIN: usize = 3;

    /// Plans faults for a planet of these regions. If there are none: of those that the faults
    /// name, and of a few more that are made up where those would be too few.
    pub fn new(
        faults: Vec<Scheduled>,
        mut regions: BTreeSet<RegionId>,
        besides: Besides,
    ) -> Result<Self, PlannedError> {
        if regions.is_empty() {
            regions.extend(faults.iter().flat_map(|it| it.harm.regions()));
            let made_up = Atlas::names(Atlas::SITES_MAX);
            let made_up = made_up.into_iter().filter(|it| !regions.contains(it));
            let missing = Self::REGIONS_MIN.saturating_sub(regions.len());
            let made_up: Vec<RegionId> = made_up.take(missing).collect();
            regions.extend(made_up);
        }
        let count = regions.len();
        if Atlas::SITES_MAX < count {
            return Err(PlannedError::TooMany { count });
        }
        for (index, b) in regions.iter().enumerate() {
            let mut before = regions.iter().take(index);
            if let Some(a) = before.find(|it| region_tag(**it) == region_tag(*b)) {
                return Err(PlannedError::Alike { a: *a, b: *b });
            }
        }
        let schedule = Schedule::new(faults, &regions)?;
        Ok(Self { regions, schedule, besides })
    }

    /// Returns the regions of the planet, in the order of their names.
    pub(crate) fn regions(&self) -> Vec<RegionId> {
        self.regions.iter().copied().collect()
    }

    pub(crate) fn besides(&self) -> Besides {
        self.besides
    }

    /// Returns when clients have no new ideas any more: a while after the last fault.
    pub(crate) fn ends(&self) -> Micros {
        micros(self.schedule.ends()) + 4 * SECOND
    }

    /// Returns how far a clock jumps ahead at the most: what is written then waits as long.
    pub(crate) fn jumps(&self) -> Micros {
        let jump = |harm: &Harm| match harm {
            Harm::ClockJump(_, by_ms) => u64::try_from(*by_ms).unwrap_or(0),
            Harm::KillRegion(_)
            | Harm::StallRegion(_)
            | Harm::Partition(..)
            | Harm::SlowLink(..)
            | Harm::DiskFull(_)
            | Harm::LyingDisk(_) => 0,
        };
        let all = self.schedule.faults().iter().map(|it| jump(&it.harm));
        all.sum::<u64>().saturating_mul(1_000)
    }
}

fn micros(time: Duration) -> Micros {
    Micros::try_from(time.as_micros()).unwrap_or(Micros::MAX / 4)
}

/// Whether a fault begins or is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Edge {
    Begins,
    IsOver,
}

impl Planet<'_, '_> {
    /// How long an end of a link waits for the other one before it gives it up.
    const PATIENCE: Micros = 10 * SECOND;

    /// Returns how far clocks jump ahead: what is written then waits as long.
    pub(crate) fn jumps(&self) -> Micros {
        self.planned.as_ref().map_or(0, Planned::jumps)
    }

    /// Lets every fault of a schedule begin in its time.
    pub(crate) fn begin_schedule(&mut self) {
        let Some(planned) = &self.planned else { return };
        for (index, fault) in planned.schedule.faults().iter().enumerate() {
            let event = |edge| Event::Mishap(Mishap::Scheduled { index, edge });
            self.queue.put(micros(fault.at), event(Edge::Begins));
            self.queue.put(micros(fault.at + fault.lasts), event(Edge::IsOver));
        }
    }

    /// Lets a fault of the schedule begin, or be over.
    pub(crate) fn on_schedule(&mut self, index: usize, edge: Edge) -> Result<(), Broken> {
        let planned = self.planned.as_ref().expect("only a schedule has such events");
        let fault = planned.schedule.faults()[index].clone();
        let until = micros(fault.at + fault.lasts);
        self.trace.line(self.now, format_args!("{} {edge:?}", fault.harm));
        let regions = planned.regions.clone();
        let lines = fault.harm.directions(&regions).into_iter();
        let lines: Vec<_> =
            lines.map(|(from, to)| (self.atlas.site(from), self.atlas.site(to))).collect();
        match (fault.harm, edge) {
            (Harm::KillRegion(region), Edge::Begins) => {
                let here = self.atlas.site(region);
                self.begin_outage(here, until);
                return self.kill(here, until);
            }
            (Harm::StallRegion(region), Edge::Begins) => {
                let here = self.atlas.site(region);
                self.begin_outage(here, until);
                self.stand_still(here, until);
                for peer in (0..self.sites.len()).filter(|it| *it != here) {
                    self.lose_patience(here, peer, until);
                }
            }
            (Harm::Partition(..), Edge::Begins) => {
                for (from, to) in lines {
                    self.net.hold(from, to, until);
                    self.lose_patience(from, to, until);
                }
            }
            (Harm::SlowLink(_, _, by), _) => {
                for (from, to) in lines {
                    match edge {
                        Edge::Begins => *self.net.extra(from, to) += micros(by),
                        Edge::IsOver => *self.net.extra(from, to) -= micros(by),
                    }
                }
            }
            (Harm::ClockJump(region, by_ms), _) => {
                let clock = &mut self.sites[self.atlas.site(region)].clock;
                match edge {
                    Edge::Begins => clock.jump_ms += by_ms,
                    Edge::IsOver => clock.jump_ms -= by_ms,
                }
            }
            (Harm::DiskFull(region), _) => {
                let here = self.atlas.site(region);
                match edge {
                    Edge::Begins => self.sites[here].fillings += 1,
                    Edge::IsOver => self.sites[here].fillings -= 1,
                }
                // Who stands still hears of it when it goes on.
                self.queue.put(self.now, Event::Mishap(Mishap::Room(here)));
            }
            (Harm::LyingDisk(region), _) => {
                let disk = &mut self.sites[self.atlas.site(region)].disk;
                match edge {
                    Edge::Begins => disk.lies += 1,
                    Edge::IsOver => disk.lies -= 1,
                }
            }
            // Their ends are known from the beginning.
            (Harm::KillRegion(_) | Harm::StallRegion(_) | Harm::Partition(..), Edge::IsOver) => {}
        }
        Ok(())
    }

    /// Ends a region, which lives again only then.
    fn kill(&mut self, here: usize, until: Micros) -> Result<(), Broken> {
        let site = &mut self.sites[here];
        site.down_until = site.down_until.max(until);
        self.queue.put(until, Event::Restart(here));
        self.crash(here)
    }

    /// Lets a region give up its link to one of which it hears nothing, if that is for long.
    fn lose_patience(&mut self, from: usize, to: usize, until: Micros) {
        let at = self.now + Self::PATIENCE;
        if until <= at {
            return;
        }
        let session = self.net.pair(from, to).session;
        let down = |here, peer| Event::Link(LinkEvent::Down { here, peer, session });
        self.queue.put(at, down(to, from));
        self.queue.put(at + self.net.delay(to, from), down(from, to));
    }

    /// A crash shows what a disk that lied has really written: its region may have lost what it
    /// acknowledged alone, as with a disk that is lost.
    pub(crate) fn find_out(&mut self, here: usize) {
        let name = self.atlas.ids[here];
        let lost = self.sites[here].disk.untrue();
        self.trace.line(self.now, format_args!("{name} loses {lost} ops that its disk had"));
        self.report.untrue += lost as u64;
        let said = self.sites[here].disk.confess();
        self.ledger.lost_disk(here, said);
        self.histories.lost_disk(self.now, here, name);
    }

    /// A region has found that its log went back. Whoever operates it empties its folder.
    pub(crate) fn halt(&mut self, here: usize, why: &WentBack) -> Result<(), Broken> {
        let is_explained = self.ledger.has_lost(here);
        Promise::Acknowledged.holds(is_explained, || format!("{}: {why}", self.atlas.ids[here]))?;
        self.report.halts += 1;
        self.lose_disk_of(here)
    }

    /// Tells a region whether its disk has room, as the schedule has it.
    pub(crate) fn tell_room(&mut self, here: usize) -> Result<(), Broken> {
        let site = &mut self.sites[here];
        let is_full = 0 < site.fillings;
        if is_full == site.disk.is_full {
            return Ok(());
        }
        site.disk.is_full = false;
        self.set_room(here, if is_full { Room::Full } else { Room::Ready })
    }
}
