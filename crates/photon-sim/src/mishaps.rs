//! Faults carried out: when they strike, whom, and for how long.
//! Must not decide which faults there are under a seed: `faults` does.

use photon_region::Disk as Room;

use crate::clock::{MS, Micros, SECOND};
use crate::faults::{Disks, Fault};
use crate::planet::{Event, Planet};
use crate::promises::Broken;

/// Something that goes wrong, or right again.
#[derive(Clone, Debug)]
pub(crate) enum Mishap {
    /// A fault strikes somewhere, and will again.
    Strike(Fault),
    /// Directions that were cut are mended.
    Mend(Vec<(usize, usize)>),
    /// A disk has room again.
    Room(usize),
    /// A region dies together with its disk.
    LoseDisk,
}

impl Planet<'_, '_> {
    /// Faults that strike now and then; all others are there all the time.
    const STRIKING: [Fault; 8] = [
        Fault::Flap,
        Fault::OneWayCut,
        Fault::Partition,
        Fault::Crash,
        Fault::CrashMidway,
        Fault::DiskFull,
        Fault::ClockJump,
        Fault::Skew,
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
            Mishap::Strike(_) | Mishap::LoseDisk if self.is_calm => Ok(()),
            Mishap::Strike(fault) => {
                self.strike_later(fault);
                self.strike(fault)
            }
            Mishap::Mend(lines) => {
                lines.iter().for_each(|(from, to)| self.net.set_cut(*from, *to, false));
                Ok(())
            }
            Mishap::Room(site) => {
                if self.sites[site].disk.is_full {
                    self.sites[site].disk.is_full = false;
                    self.set_room(site, Room::Ready)?;
                }
                Ok(())
            }
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
            Fault::Flap => {
                let peer = self.rng.usize(0..self.sites.len());
                if peer != here {
                    self.break_link(here, peer);
                }
            }
            Fault::OneWayCut => {
                let peer = self.rng.usize(0..self.sites.len());
                if peer != here {
                    self.cut(vec![(here, peer)]);
                }
            }
            Fault::Partition => self.partition(),
            Fault::Crash => return self.crash(here),
            Fault::CrashMidway => self.sites[here].doomed = Some(self.rng.u32(0..6)),
            Fault::DiskFull => {
                if !self.sites[here].disk.is_full {
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

    fn partition(&mut self) {
        let count = self.sites.len();
        let group = self.rng.u32(1..(1 << count) - 1);
        let is_in = |site: usize| group >> site & 1 == 1;
        let mut lines = Vec::new();
        for from in 0..count {
            for to in (0..count).filter(|to| is_in(*to) != is_in(from)) {
                lines.push((from, to));
            }
        }
        self.cut(lines);
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
        self.crash(here)?;
        self.sites[here].disk.lose();
        self.sites[here].config.incarnation = self.rng.u64(..);
        self.trace.line(self.now, format_args!("{} loses its disk", self.atlas.ids[here]));
        Ok(())
    }
}
