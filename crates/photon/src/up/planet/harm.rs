//! Faults of a planet that are in force: how they begin, and how they end by themselves.
//! Must not decide which there are: orders and chaos do.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use photon_sim::{Harm, Paths as Between, ScheduleProblem, Way};
use photon_state::RegionId;
use rustix::process::Signal;
use tokio::time::sleep;

use super::super::Happening;
use super::super::control::{Answer, Shown, ShownFault, ShownRegion, Ways};
use super::super::report::Change;
use super::{Planet, State, Waiting, answer, end};
use crate::door::FaultFile;
use crate::wan::{Condition, Paths};

/// The most faults that are in force at a time; more are refused.
const FAULTS_MAX: usize = 1_000;
/// The longest that a fault may be asked to last.
const LASTS_MAX: Duration = Duration::from_secs(24 * 3_600);

/// How long to wait for the end of a process that was killed, before it is started again.
const DEATH_TAKES: Duration = Duration::from_millis(50);

/// What is in force.
#[derive(Debug, Default)]
pub(super) struct Harms {
    next: u64,
    in_force: BTreeMap<u64, InForce>,
    paths: Option<Paths>,
}

#[derive(Debug)]
struct InForce {
    harm: Harm,
    since: Instant,
    lasts: Option<Duration>,
}

impl Harms {
    pub(super) fn new(paths: Option<Paths>) -> Self {
        Self { paths, ..Self::default() }
    }

    /// Forgets that a region stands still, or that it is to be started again.
    fn forget_down(&mut self, region: RegionId) {
        self.in_force.retain(|_, it| it.harm.downs() != Some(region));
    }

    fn has_stalled(&self, region: RegionId) -> bool {
        self.in_force.values().any(|it| it.harm == Harm::StallRegion(region))
    }

    /// Returns what is wrong with a region, of which its process is told.
    fn file_of(&self, region: RegionId) -> FaultFile {
        let mut file = FaultFile::default();
        for fault in self.in_force.values() {
            match fault.harm {
                Harm::ClockJump(whose, by_ms) if whose == region => file.clock_ms += by_ms,
                Harm::DiskFull(whose) if whose == region => file.is_disk_full = true,
                Harm::ClockJump(..)
                | Harm::DiskFull(_)
                | Harm::KillRegion(_)
                | Harm::StallRegion(_)
                | Harm::Partition(..)
                | Harm::SlowLink(..)
                | Harm::LyingDisk(_) => {}
            }
        }
        file
    }

    /// Sets every path to what all faults together make of it.
    fn set_paths(&self, regions: &BTreeSet<RegionId>) {
        let Some(paths) = &self.paths else { return };
        let mut conditions = BTreeMap::<_, Condition>::new();
        for fault in self.in_force.values() {
            for direction in fault.harm.directions(regions) {
                let condition = conditions.entry(direction).or_default();
                match fault.harm {
                    Harm::Partition(..) => condition.is_cut = true,
                    Harm::SlowLink(_, _, by) => condition.extra += by,
                    Harm::KillRegion(_)
                    | Harm::StallRegion(_)
                    | Harm::ClockJump(..)
                    | Harm::DiskFull(_)
                    | Harm::LyingDisk(_) => {}
                }
            }
        }
        paths.set(|from, to| conditions.get(&(from, to)).copied().unwrap_or_default());
    }
}

impl Planet {
    fn names(&self) -> BTreeSet<RegionId> {
        self.members.keys().copied().collect()
    }

    /// Says why a fault cannot be, if it cannot.
    fn check_harm(&self, harm: &Harm, lasts: Option<Duration>) -> Result<(), Answer> {
        harm.check(&self.names()).map_err(|it| cannot_be(&it))?;
        let refuse = |text: String| Err(Answer::Refused(text));
        if FAULTS_MAX <= self.harms.in_force.len() {
            return refuse(format!("{FAULTS_MAX} faults are in force: wait until some are over"));
        }
        if lasts.is_some_and(|it| LASTS_MAX < it || it.is_zero()) {
            return refuse("a fault may last 24h at most: say how long with --for".to_owned());
        }
        if !harm.is_real() {
            return refuse(format!("{harm}: that is for `photon simulate` only"));
        }
        let needs_relay = matches!(harm, Harm::Partition(..) | Harm::SlowLink(..));
        if needs_relay && self.harms.paths.is_none() {
            let fix = "start it with `photon up --wan on`";
            return refuse(format!("links of this planet pass no relay that could fail: {fix}"));
        }
        let Some(region) = harm.downs() else { return Ok(()) };
        if self.members[&region].running().is_none() {
            return refuse(format!("`{region}` is down already"));
        }
        let is_stall = matches!(harm, Harm::StallRegion(_));
        if is_stall && self.harms.has_stalled(region) {
            return refuse(format!(
                "`{region}` stands still already; `photon region resume {region}` lets it go on"
            ));
        }
        if is_stall && !self.members[&region].is_up() {
            return refuse(format!("`{region}` is starting or ending: wait until it is up"));
        }
        Ok(())
    }

    /// Lets something go wrong, for a while or until it is healed by hand.
    pub(in super::super) fn harm(
        &mut self,
        harm: &Harm,
        lasts: Option<Duration>,
        waiting: Option<Waiting>,
    ) {
        if let Err(no) = self.check_harm(harm, lasts) {
            return answer(waiting, no);
        }
        let how_long = lasts.map(|it| format!(" for {} ms", it.as_millis())).unwrap_or_default();
        let text = format!("{harm}{how_long}");
        // Of one that is killed for good, its end says all.
        if lasts.is_some() || !matches!(harm, Harm::KillRegion(_)) {
            self.report.fault(Change::Harmed, &text);
        }
        if let Harm::KillRegion(region) = *harm {
            // Its paths, clock and disk stay as they are; that it stood still does not matter.
            self.harms.forget_down(region);
        }
        self.keep(harm.clone(), lasts);
        match *harm {
            Harm::KillRegion(region) => {
                let member = self.members.get_mut(&region).expect("checked above");
                return end(member, Change::Killed, Signal::KILL, waiting);
            }
            Harm::StallRegion(region) => self.signal(region, Signal::STOP),
            Harm::Partition(..) | Harm::SlowLink(..) => self.harms.set_paths(&self.names()),
            Harm::ClockJump(region, _) | Harm::DiskFull(region) => {
                if let Err(error) = self.tell_faults(region) {
                    return answer(waiting, Answer::Failed(format!("{error:#}")));
                }
            }
            Harm::LyingDisk(_) => unreachable!("it was refused above"),
        }
        answer(waiting, Answer::Done(text));
    }

    /// Remembers a fault, and that it ends. Who kills for good has nothing to remember.
    fn keep(&mut self, harm: Harm, lasts: Option<Duration>) {
        if lasts.is_none() && matches!(harm, Harm::KillRegion(_)) {
            return;
        }
        let id = self.harms.next;
        self.harms.next += 1;
        self.harms.in_force.insert(id, InForce { harm, since: Instant::now(), lasts });
        let Some(lasts) = lasts else { return };
        let (stop, happenings) = (self.stop.clone(), self.happenings.clone());
        self.tasks.spawn(async move {
            if stop.run_until_cancelled(sleep(lasts)).await.is_some() {
                // Nobody listens only when `up` itself is ending.
                let _ = happenings.send(Happening::Over { id }).await;
            }
        });
    }

    /// Ends a fault whose time is over, unless it was ended before.
    pub(in super::super) fn over(&mut self, id: u64) {
        let Some(InForce { harm, .. }) = self.harms.in_force.remove(&id) else { return };
        match harm {
            // The system takes a moment to end what was killed.
            Harm::KillRegion(region) if self.members[&region].running().is_some() => {
                self.keep(harm, Some(DEATH_TAKES));
            }
            Harm::KillRegion(_)
            | Harm::StallRegion(_)
            | Harm::Partition(..)
            | Harm::SlowLink(..)
            | Harm::ClockJump(..)
            | Harm::DiskFull(_)
            | Harm::LyingDisk(_) => self.heal(&harm),
        }
    }

    fn heal(&mut self, harm: &Harm) {
        match *harm {
            Harm::KillRegion(region) => self.start_alone(region, None),
            Harm::StallRegion(region) => self.signal(region, Signal::CONT),
            Harm::Partition(..) | Harm::SlowLink(..) => self.harms.set_paths(&self.names()),
            Harm::ClockJump(region, _) | Harm::DiskFull(region) => {
                if let Err(error) = self.tell_faults(region) {
                    self.report.remark(&format!("{error:#}"));
                }
            }
            Harm::LyingDisk(_) => unreachable!("it never began"),
        }
        self.report.fault(Change::Healed, &harm.to_string());
    }

    /// Lets a region go on that stands still.
    pub(super) fn resume(&mut self, region: RegionId, waiting: Waiting) {
        let stall = Harm::StallRegion(region);
        if !self.harms.has_stalled(region) {
            let text = format!("`{region}` does not stand still");
            return answer(Some(waiting), Answer::Refused(text));
        }
        self.harms.in_force.retain(|_, it| it.harm != stall);
        self.heal(&stall);
        answer(Some(waiting), Answer::Done(format!("`{region}` goes on")));
    }

    /// Opens all paths.
    pub(super) fn mend(&mut self, waiting: Waiting) {
        let is_path = |it: &Harm| matches!(it, Harm::Partition(..) | Harm::SlowLink(..));
        let all = self.harms.in_force.iter().filter(|(_, it)| is_path(&it.harm));
        let all: Vec<_> = all.map(|(id, _)| *id).collect();
        for id in &all {
            self.over(*id);
        }
        let text = format!("all paths are open; {} faults of paths were in force", all.len());
        answer(Some(waiting), Answer::Done(text));
    }

    /// Heals what would keep a planet from ending, or from being as it was.
    pub(in super::super) fn heal_all(&mut self) {
        let in_force = std::mem::take(&mut self.harms.in_force);
        for InForce { harm, .. } in in_force.into_values() {
            match harm {
                Harm::KillRegion(_) => {} // It need not start to be stopped.
                Harm::StallRegion(_)
                | Harm::Partition(..)
                | Harm::SlowLink(..)
                | Harm::ClockJump(..)
                | Harm::DiskFull(_)
                | Harm::LyingDisk(_) => self.heal(&harm),
            }
        }
    }

    /// Takes note that a region was started, stopped or killed by hand, or has died.
    pub(super) fn forget_down(&mut self, region: RegionId) {
        self.harms.forget_down(region);
    }

    /// Whether something will start the region again.
    pub(super) fn returns(&self, region: RegionId) -> bool {
        self.harms.in_force.values().any(|it| it.harm == Harm::KillRegion(region))
    }

    fn signal(&self, region: RegionId, signal: Signal) {
        if let Some(running) = self.members[&region].running() {
            running.signal(signal);
        }
    }

    fn tell_faults(&mut self, region: RegionId) -> anyhow::Result<()> {
        let file = self.harms.file_of(region);
        let member = self.members.get_mut(&region).expect("checked before");
        member.recipe.faults = file;
        member.recipe.write_faults()
    }

    /// Tells how the planet is.
    pub(super) fn shown(&self) -> Shown {
        let region = |member: &super::Member| ShownRegion {
            name: member.recipe.region.to_string(),
            api: member.client.endpoint().to_string(),
            folder: member.recipe.folder.clone(),
            state: match member.state {
                State::Down => "down",
                State::Starting { .. } => "starting",
                State::Up { .. } => "up",
                State::Ending { .. } => "ending",
            }
            .to_owned(),
        };
        let millis = |it: Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
        let fault = |it: &InForce| ShownFault {
            kind: it.harm.kind().to_owned(),
            text: it.harm.to_string(),
            since_ms: millis(it.since.elapsed()),
            left_ms: it.lasts.map(|lasts| millis(lasts.saturating_sub(it.since.elapsed()))),
        };
        Shown {
            regions: self.members.values().map(region).collect(),
            faults: self.harms.in_force.values().map(fault).collect(),
            has_relay: self.harms.paths.is_some(),
        }
    }
}

/// Answers that a fault cannot be; of a region that is not there, that it was not found.
fn cannot_be(problem: &ScheduleProblem) -> Answer {
    let text = problem.to_string();
    if problem.is_unknown() { Answer::NotFound(text) } else { Answer::Refused(text) }
}

/// Reads names of regions; a name that cannot be one is not found.
pub(super) fn region(name: &str) -> Result<RegionId, Answer> {
    let odd = |error| Answer::NotFound(format!("`{name}` is no region: {error}"));
    RegionId::try_from(name).map_err(odd)
}

/// Reads the paths of an order.
pub(super) fn paths(ways: &Ways) -> Result<(Between, Way), Answer> {
    let way = if ways.one_way { Way::OneWay } else { Way::Both };
    if let Some(of) = &ways.of {
        return Ok((Between::Of(region(of)?), way));
    }
    let pairs = ways.between.iter().map(|(a, b)| Ok((region(a)?, region(b)?)));
    Ok((Between::Between(pairs.collect::<Result<_, Answer>>()?), way))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> RegionId {
        RegionId::try_from(name).unwrap()
    }

    fn in_force(harms: Vec<Harm>) -> Harms {
        let fault = |harm| InForce { harm, since: Instant::now(), lasts: None };
        let in_force = (0..).zip(harms.into_iter().map(fault)).collect();
        Harms { in_force, ..Harms::default() }
    }

    #[test]
    fn a_region_is_told_of_all_its_own_faults_together() {
        let (a, b) = (named("a"), named("b"));
        let harms = in_force(vec![
            Harm::ClockJump(a, 5_000),
            Harm::ClockJump(a, -2_000),
            Harm::DiskFull(b),
            Harm::StallRegion(a),
        ]);
        assert_eq!(harms.file_of(a), FaultFile { clock_ms: 3_000, is_disk_full: false });
        assert_eq!(harms.file_of(b), FaultFile { clock_ms: 0, is_disk_full: true });
    }

    #[test]
    fn a_region_that_ended_stands_still_no_longer_but_its_clock_stays_wrong() {
        let a = named("a");
        let mut harms = in_force(vec![Harm::StallRegion(a), Harm::ClockJump(a, 7)]);
        assert!(harms.has_stalled(a));
        harms.forget_down(a);
        assert!(!harms.has_stalled(a));
        assert_eq!(harms.file_of(a).clock_ms, 7);
    }

    #[test]
    fn what_cannot_be_says_whether_a_name_was_not_found() {
        let regions = ["a", "b"].map(named).into();
        let check = |harm: Harm| cannot_be(&harm.check(&regions).unwrap_err());
        assert!(matches!(check(Harm::DiskFull(named("c"))), Answer::NotFound(_)));
        assert!(matches!(check(Harm::ClockJump(named("a"), 0)), Answer::Refused(_)));
    }
}
