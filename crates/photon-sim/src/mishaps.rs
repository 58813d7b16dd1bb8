//! Faults carried out: when they strike, whom, and for how long.
//! Must not decide which faults there are under a seed: `faults` does.

use photon_region::Disk as Room;

use crate::clock::{MS, Micros, SECOND};
use crate::faults::{Disks, Fault};
use crate::planet::{Event, Planet};
use crate::promises::Broken;
use crate::scheduled::Edge;

/// Something that goes wrong, or right again.
#[derive(Clone, Debug)]
pub(crate) enum Mishap {
    /// A fault strikes somewhere, and will again.
    Strike(Fault),
    /// Directions that were cut are mended.
    Mend(Vec<(usize, usize)>),
    /// Directions that carry nothing and then something change over, so many times more.
    Flicker { lines: Vec<(usize, usize)>, left: u32 },
    /// A process goes on that stood still.
    GoOn { site: usize, life: u32 },
    /// A disk has room again, or has none any more.
    Room(usize),
    /// A region dies together with its disk.
    LoseDisk,
    /// A fault of the schedule begins, or is over.
    Scheduled { index: usize, edge: Edge },
}

impl Planet<'_, '_> {
    /// Faults that strike now and then; all others are there all the time.
    const STRIKING: [Fault; 9] = [
        Fault::Flap,
        Fault::OneWayCut,
        Fault::Partition,
        Fault::Crash,
        Fault::CrashMidway,
        Fault::DiskFull,
        Fault::ClockJump,
        Fault::Skew,
        Fault::Stall,
    ];
    /// How far a clock jumps at most; peers believe 2 s.
    const JUMP_MS_MAX: i64 = 6_000;

    pub(crate) fn begin_mishaps(&mut self, disks: Disks) {
        for site in &mut self.sites {
            let skew = (self.weather.strength(Fault::Skew) * 900.0) as i64;
            site.clock.skew_ms = self.rng.i64(-skew..=skew);
            let drift = (self.weather.strength(Fault::Drift) * 20_000.0) as i64;
            site.clock.drift_ppm = self.rng.i64(-drift..=drift);
        }
        for fault in Self::STRIKING {
            if 0.0 < self.weather.strength(fault) {
                self.strike_later(fault);
            }
        }
        if disks == Disks::MayBeLost {
            let at = self.rng.u64(SECOND..self.chaos_ends);
            self.queue.put(at, Event::Mishap(Mishap::LoseDisk));
        }
    }

    /// The stronger a fault is, the more often it strikes.
    fn strike_later(&mut self, fault: Fault) {
        let mean = (3.0 * SECOND as f64 / self.weather.strength(fault).max(0.05)) as Micros;
        let mean = mean.min(12 * SECOND);
        let at = self.now + self.rng.u64(0..mean);
        self.queue.put(at, Event::Mishap(Mishap::Strike(fault)));
    }

    pub(crate) fn on_mishap(&mut self, mishap: Mishap) -> Result<(), Broken> {
        match mishap {
            Mishap::Strike(_) | Mishap::LoseDisk | Mishap::Flicker { .. } if self.is_calm => Ok(()),
            Mishap::Strike(fault) => {
                self.strike_later(fault);
                self.strike(fault)
            }
            Mishap::Mend(lines) => {
                lines.iter().for_each(|(from, to)| self.net.set_cut(*from, *to, false));
                Ok(())
            }
            Mishap::Flicker { lines, left } => {
                self.flicker(lines, left);
                Ok(())
            }
            Mishap::GoOn { site, life } => {
                self.go_on(site, life);
                Ok(())
            }
            Mishap::Room(site) => self.tell_room(site),
            Mishap::Scheduled { index, edge } => self.on_schedule(index, edge),
            Mishap::LoseDisk => self.lose_disk(),
        }
    }

    fn strike(&mut self, fault: Fault) -> Result<(), Broken> {
        let Some(here) = self.some_site() else { return Ok(()) };
        let name = self.atlas.ids[here];
        if self.trace.is_on() {
            self.trace.line(self.now, format_args!("{fault:?} strikes {name}"));
        }
        match fault {
            Fault::Flap => self.flap(here),
            Fault::OneWayCut => {
                let lines = self.one_way(here);
                self.cut(lines);
            }
            Fault::Partition => {
                let group = self.draw_group(here);
                self.cut(self.lines_between(group));
            }
            Fault::Stall => self.stall(here),
            Fault::Crash => return self.crash(here),
            Fault::CrashMidway => self.sites[here].doomed = Some(self.rng.u32(0..6)),
            Fault::DiskFull => {
                if !self.sites[here].disk.is_full && !self.is_still(here) {
                    self.set_room(here, Room::Full)?;
                    let at = self.now + self.rng.u64(200 * MS..6 * SECOND);
                    self.queue.put(at, Event::Mishap(Mishap::Room(here)));
                }
            }
            Fault::Skew => {
                let skew = (self.weather.strength(Fault::Skew) * 900.0) as i64;
                self.sites[here].clock.skew_ms = self.rng.i64(-skew..=skew);
            }
            Fault::ClockJump => {
                let jump = Self::JUMP_MS_MAX;
                self.sites[here].clock.skew_ms = self.rng.i64(-jump..=jump);
            }
            Fault::Jitter
            | Fault::Loss
            | Fault::Reorder
            | Fault::Duplicate
            | Fault::TornWrite
            | Fault::SlowSync
            | Fault::Drift
            | Fault::WorkerHang
            | Fault::WorkerDie
            | Fault::WorkerSlow
            | Fault::WorkerTwice
            | Fault::AgentMove
            | Fault::Abandon
            | Fault::Tight
            | Fault::Bulk => unreachable!("{fault:?} is there all the time"),
        }
        Ok(())
    }

    /// Breaks the link between two regions, or lets a path, or all of a region, carry nothing now
    /// and then.
    fn flap(&mut self, here: usize) {
        let peer = self.rng.usize(0..self.sites.len());
        if peer == here {
            return;
        }
        match self.rng.u32(0..8) {
            0..4 => self.break_link(here, peer),
            4..7 => self.flicker(vec![(here, peer), (peer, here)], 12),
            7.. => self.flicker(self.lines_between(1 << here), 12),
        }
    }

    /// Cuts directions or mends them, and will do the other soon.
    fn flicker(&mut self, lines: Vec<(usize, usize)>, left: u32) {
        let is_cut = left.is_multiple_of(2) && 0 < left;
        lines.iter().for_each(|(from, to)| self.net.set_cut(*from, *to, is_cut));
        if 0 < left && self.rng.u32(0..12) != 0 {
            let most = if is_cut { 1_200 } else { 700 };
            let at = self.now + self.rng.u64(50 * MS..most * MS);
            self.queue.put(at, Event::Mishap(Mishap::Flicker { lines, left: left - 1 }));
        } else {
            self.queue.put(self.now + SECOND, Event::Mishap(Mishap::Mend(lines)));
        }
    }

    /// Draws one direction from a region, or all from it, or all to it.
    fn one_way(&mut self, here: usize) -> Vec<(usize, usize)> {
        let peer = self.rng.usize(0..self.sites.len());
        let is_other = |it: &usize| *it != here;
        match self.rng.u32(0..4) {
            0 => (0..self.sites.len()).filter(is_other).map(|it| (here, it)).collect(),
            1 => (0..self.sites.len()).filter(is_other).map(|it| (it, here)).collect(),
            2.. => Some((here, peer)).filter(|(a, b)| a != b).into_iter().collect(),
        }
    }

    /// Draws which regions are cut off from the others: one, one half of the Earth, or any.
    fn draw_group(&mut self, here: usize) -> u32 {
        let count = self.sites.len();
        let any = self.rng.u32(1..(1 << count) - 1);
        match self.rng.u32(0..4) {
            0 => 1 << here,
            1 => {
                let west = self.atlas.places[here].longitude;
                let is_near = |it: &usize| {
                    (self.atlas.places[*it].longitude - west).rem_euclid(360.0) < 180.0
                };
                (0..count).filter(is_near).map(|it| 1 << it).sum()
            }
            2.. => any,
        }
    }

    /// Returns all directions between a group and the others.
    fn lines_between(&self, group: u32) -> Vec<(usize, usize)> {
        let is_in = |site: usize| group >> site & 1 == 1;
        let all = 0..self.sites.len();
        all.clone()
            .flat_map(|from| all.clone().map(move |to| (from, to)))
            .filter(|(from, to)| is_in(*from) != is_in(*to))
            .collect()
    }

    /// Cuts directions for a while; those who talk over them may notice.
    fn cut(&mut self, lines: Vec<(usize, usize)>) {
        for (from, to) in &lines {
            self.net.set_cut(*from, *to, true);
            if self.rng.u32(0..4) != 0 {
                self.break_link(*from, *to);
            }
        }
        let at = self.now + self.rng.u64(100 * MS..8 * SECOND);
        self.queue.put(at, Event::Mishap(Mishap::Mend(lines)));
    }

    fn lose_disk(&mut self) -> Result<(), Broken> {
        let Some(here) = self.some_site() else { return Ok(()) };
        self.lose_disk_of(here)
    }

    /// Lets a region die, and live again with an empty disk.
    pub(crate) fn lose_disk_of(&mut self, here: usize) -> Result<(), Broken> {
        self.crash(here)?;
        let lost = self.sites[here].disk.lose();
        self.ledger.lost_disk(here, lost);
        self.histories.lost_disk(self.now, here, self.atlas.ids[here]);
        self.sites[here].config.incarnation = self.rng.u64(..);
        self.trace.line(self.now, format_args!("{} loses its disk", self.atlas.ids[here]));
        Ok(())
    }
}
