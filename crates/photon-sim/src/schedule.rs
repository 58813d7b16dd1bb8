//! What goes wrong with a planet, when, and for how long: one schedule for the simulator and for
//! drills on real processes. Must not carry it out, nor know how a file writes it down.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use photon_state::RegionId;

/// Between whom bytes are stopped or slowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Paths {
    /// Between this region and every other one.
    Of(RegionId),
    /// Between these pairs.
    Between(Vec<(RegionId, RegionId)>),
}

/// In which directions of a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// In both.
    #[default]
    Both,
    /// Only from the first region of a pair, or away from the one region that is named.
    OneWay,
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Harm {
    /// A region ends as in a power cut, and is started again when the fault is over.
    KillRegion(RegionId),
    /// A region stands still, with all that it has open.
    StallRegion(RegionId),
    /// Bytes are lost without a word.
    Partition(Paths, Way),
    /// Bytes take so much longer in each direction.
    SlowLink(Paths, Way, Duration),
    /// The wall clock of a region runs so many milliseconds ahead, or behind if negative.
    ClockJump(RegionId, i64),
    /// The disk of a region has no room.
    DiskFull(RegionId),
    /// The disk of a region says that it has written what it has not: a power cut takes it back.
    /// Only an imagined disk can be made to.
    LyingDisk(RegionId),
}

/// A fault with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scheduled {
    /// When it begins, counted from the start of the run.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub harm: Harm,
}

/// A list of faults that was checked, in the order of their times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule(Vec<Scheduled>);

/// A fault that cannot be in a schedule, or not beside the others.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("fault {number}: {problem}")]
pub struct ScheduleError {
    /// Which fault, counted from 1 in the order that was given; 0 is the schedule as a whole.
    pub number: usize,
    /// What is wrong with it.
    pub problem: ScheduleProblem,
}

/// Lists what can be wrong with a fault of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleProblem {
    /// There is none, or there are too many.
    #[error("a schedule has 1 to {} faults, and this one has {count}", Schedule::FAULTS_MAX)]
    Count {
        /// How many there are.
        count: usize,
    },
    /// A region is not in the planet.
    #[error("the planet has no region `{region}`; it has: {known}")]
    UnknownRegion {
        /// The region.
        region: RegionId,
        /// The regions of the planet.
        known: String,
    },
    /// A path leads nowhere.
    #[error("`paths` has `{0}` twice in one pair: name two regions")]
    Loop(RegionId),
    /// There is no path.
    #[error("`paths` is empty: name at least one pair of regions")]
    NoPath,
    /// A duration is too short or too long.
    #[error("`{field}` must be between {min:?} and {max:?}, and is {found:?}")]
    OutOfBounds {
        /// Which.
        field: &'static str,
        /// How long it is.
        found: Duration,
        /// The least that it may be.
        min: Duration,
        /// The most that it may be.
        max: Duration,
    },
    /// A clock is set to where it is, or too far away.
    #[error("`by` must not be 0, nor beyond {} days", Schedule::JUMP_MS_MAX / 86_400_000)]
    Jump,
    /// A region cannot be killed or stalled while it is.
    #[error("`{region}` is still down from fault {earlier} at that time: begin later")]
    StillDown {
        /// The region.
        region: RegionId,
        /// The fault, counted from 1.
        earlier: usize,
    },
    /// Nobody would be left to see it.
    #[error("no region would be up at that time: leave one alone")]
    NobodyLeft,
}

impl ScheduleProblem {
    /// Whether it is a name that nothing has.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::UnknownRegion { .. })
    }
}

impl Harm {
    /// Returns the name of its kind, as files and commands have it.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::KillRegion(_) => "kill-region",
            Self::StallRegion(_) => "stall-region",
            Self::Partition(..) => "partition",
            Self::SlowLink(..) => "slow-link",
            Self::ClockJump(..) => "clock-jump",
            Self::DiskFull(_) => "disk-full",
            Self::LyingDisk(_) => "lying-disk",
        }
    }

    /// Returns the region that it is about, if it is about one.
    #[must_use]
    pub fn region(&self) -> Option<RegionId> {
        match self {
            Self::KillRegion(region)
            | Self::StallRegion(region)
            | Self::ClockJump(region, _)
            | Self::DiskFull(region)
            | Self::LyingDisk(region)
            | Self::Partition(Paths::Of(region), _)
            | Self::SlowLink(Paths::Of(region), ..) => Some(*region),
            Self::Partition(Paths::Between(_), _) | Self::SlowLink(Paths::Between(_), ..) => None,
        }
    }

    /// Returns all regions that it names.
    #[must_use]
    pub fn regions(&self) -> BTreeSet<RegionId> {
        let named = self.pairs().iter().flat_map(|(a, b)| [*a, *b]);
        named.chain(self.region()).collect()
    }

    fn pairs(&self) -> &[(RegionId, RegionId)] {
        match self {
            Self::Partition(Paths::Between(pairs), _)
            | Self::SlowLink(Paths::Between(pairs), ..) => pairs,
            Self::Partition(Paths::Of(_), _)
            | Self::SlowLink(Paths::Of(_), ..)
            | Self::KillRegion(_)
            | Self::StallRegion(_)
            | Self::ClockJump(..)
            | Self::DiskFull(_)
            | Self::LyingDisk(_) => &[],
        }
    }

    /// Whether processes can suffer it: what cannot be made on purpose is for the simulator only.
    #[must_use]
    pub fn is_real(&self) -> bool {
        !matches!(self, Self::LyingDisk(_))
    }

    /// Returns the region that does nothing while it lasts.
    #[must_use]
    pub fn downs(&self) -> Option<RegionId> {
        match self {
            Self::KillRegion(region) | Self::StallRegion(region) => Some(*region),
            Self::Partition(..)
            | Self::SlowLink(..)
            | Self::ClockJump(..)
            | Self::DiskFull(_)
            | Self::LyingDisk(_) => None,
        }
    }

    /// Returns the region that others cannot hear while it lasts: what it alone decides waits.
    #[must_use]
    pub fn silences(&self) -> Option<RegionId> {
        match self {
            Self::KillRegion(region)
            | Self::StallRegion(region)
            | Self::Partition(Paths::Of(region), _) => Some(*region),
            Self::Partition(Paths::Between(_), _)
            | Self::SlowLink(..)
            | Self::ClockJump(..)
            | Self::DiskFull(_)
            | Self::LyingDisk(_) => None,
        }
    }

    /// Returns the directions, from whom to whom, that it stops or slows.
    #[must_use]
    pub fn directions(&self, regions: &BTreeSet<RegionId>) -> BTreeSet<(RegionId, RegionId)> {
        match self {
            Self::Partition(paths, way) | Self::SlowLink(paths, way, _) => {
                paths.directions(*way, regions)
            }
            Self::KillRegion(_)
            | Self::StallRegion(_)
            | Self::ClockJump(..)
            | Self::DiskFull(_)
            | Self::LyingDisk(_) => BTreeSet::new(),
        }
    }

    /// Checks it against the regions of a planet.
    pub fn check(&self, regions: &BTreeSet<RegionId>) -> Result<(), ScheduleProblem> {
        let pairs = self.pairs();
        if let Some((a, _)) = pairs.iter().find(|(a, b)| a == b) {
            return Err(ScheduleProblem::Loop(*a));
        }
        if pairs.is_empty() && self.region().is_none() {
            return Err(ScheduleProblem::NoPath);
        }
        if let Some(region) = self.regions().into_iter().find(|it| !regions.contains(it)) {
            let known: Vec<_> = regions.iter().map(RegionId::as_str).collect();
            return Err(ScheduleProblem::UnknownRegion { region, known: known.join(", ") });
        }
        match self {
            Self::SlowLink(_, _, by) => within("by", *by, Schedule::TICK, Schedule::DELAY_MAX),
            Self::ClockJump(_, by_ms) => {
                let is_jump = *by_ms != 0 && by_ms.unsigned_abs() <= Schedule::JUMP_MS_MAX;
                if is_jump { Ok(()) } else { Err(ScheduleProblem::Jump) }
            }
            Self::KillRegion(_)
            | Self::StallRegion(_)
            | Self::Partition(..)
            | Self::DiskFull(_)
            | Self::LyingDisk(_) => Ok(()),
        }
    }
}

impl Paths {
    fn directions(&self, way: Way, regions: &BTreeSet<RegionId>) -> BTreeSet<(RegionId, RegionId)> {
        let there: Vec<_> = match self {
            Self::Of(region) => {
                regions.iter().filter(|it| *it != region).map(|it| (*region, *it)).collect()
            }
            Self::Between(pairs) => pairs.clone(),
        };
        let back = there.iter().map(|(a, b)| (*b, *a)).filter(|_| way == Way::Both);
        back.chain(there.iter().copied()).collect()
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Of(region) => write!(f, "{region} and all others"),
            Self::Between(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(a, b)| format!("{a} and {b}")).collect();
                f.write_str(&pairs.join(", "))
            }
        }
    }
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |way: &Way| match way {
            Way::Both => "",
            Way::OneWay => ", one way",
        };
        match self {
            Self::KillRegion(region) => write!(f, "{region} is killed"),
            Self::StallRegion(region) => write!(f, "{region} stands still"),
            Self::Partition(paths, way) => write!(f, "cut between {paths}{}", shown(way)),
            Self::SlowLink(paths, way, by) => {
                write!(f, "{} ms more between {paths}{}", by.as_millis(), shown(way))
            }
            Self::ClockJump(region, by_ms) => {
                write!(f, "the clock of {region} is {by_ms:+} ms off")
            }
            Self::DiskFull(region) => write!(f, "the disk of {region} is full"),
            Self::LyingDisk(region) => write!(f, "the disk of {region} lies"),
        }
    }
}

impl Schedule {
    /// The most faults of a schedule.
    pub const FAULTS_MAX: usize = 1_000;
    /// The latest beginning of a fault.
    pub const AT_MAX: Duration = Duration::from_secs(24 * 3_600);
    /// The longest fault.
    pub const LASTS_MAX: Duration = Duration::from_secs(3_600);
    /// The longest delay that a path may get.
    pub const DELAY_MAX: Duration = Duration::from_secs(10);
    /// The farthest that a clock may jump: 30 days.
    pub const JUMP_MS_MAX: u64 = 30 * 86_400_000;
    /// The shortest of all.
    const TICK: Duration = Duration::from_millis(1);

    /// Checks the faults against each other and the regions of a planet.
    pub fn new(
        faults: Vec<Scheduled>,
        regions: &BTreeSet<RegionId>,
    ) -> Result<Self, ScheduleError> {
        let count = faults.len();
        if !(1..=Self::FAULTS_MAX).contains(&count) {
            return Err(ScheduleError { number: 0, problem: ScheduleProblem::Count { count } });
        }
        for (at, fault) in faults.iter().enumerate() {
            let checked = fault.check(regions).and_then(|()| check_beside(&faults, at, regions));
            checked.map_err(|problem| ScheduleError { number: at + 1, problem })?;
        }
        let mut faults = faults;
        faults.sort_by_key(|it| it.at);
        Ok(Self(faults))
    }

    /// Returns the faults in the order of their times.
    #[must_use]
    pub fn faults(&self) -> &[Scheduled] {
        &self.0
    }

    /// Returns when the last fault is over.
    #[must_use]
    pub fn ends(&self) -> Duration {
        self.0.iter().map(|it| it.at + it.lasts).max().unwrap_or_default()
    }
}

impl Scheduled {
    fn check(&self, regions: &BTreeSet<RegionId>) -> Result<(), ScheduleProblem> {
        within("at", self.at, Duration::ZERO, Schedule::AT_MAX)?;
        within("for", self.lasts, Schedule::TICK, Schedule::LASTS_MAX)?;
        self.harm.check(regions)
    }

    fn is_in_force(&self, at: Duration) -> bool {
        self.at <= at && at <= self.at + self.lasts
    }
}

/// Checks a fault beside those that are in force when it begins.
fn check_beside(
    faults: &[Scheduled],
    at: usize,
    regions: &BTreeSet<RegionId>,
) -> Result<(), ScheduleProblem> {
    let Some(region) = faults[at].harm.downs() else { return Ok(()) };
    let begins = faults[at].at;
    let others = faults.iter().enumerate().filter(|(other, _)| *other != at);
    let down = others.filter(|(_, it)| it.is_in_force(begins));
    let mut left: BTreeSet<_> = regions.iter().copied().filter(|it| *it != region).collect();
    for (other, fault) in down {
        if fault.harm.downs() == Some(region) {
            return Err(ScheduleProblem::StillDown { region, earlier: other + 1 });
        }
        if let Some(other) = fault.harm.downs() {
            left.remove(&other);
        }
    }
    if left.is_empty() { Err(ScheduleProblem::NobodyLeft) } else { Ok(()) }
}

fn within(
    field: &'static str,
    found: Duration,
    min: Duration,
    max: Duration,
) -> Result<(), ScheduleProblem> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(ScheduleProblem::OutOfBounds { field, found, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        RegionId::try_from(name).unwrap()
    }

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn fault(at: u64, lasts: u64, harm: Harm) -> Scheduled {
        Scheduled { at: seconds(at), lasts: seconds(lasts), harm }
    }

    fn check(faults: Vec<Scheduled>, expected: &str) {
        let regions = ["a", "b"].map(region).into();
        let found = match Schedule::new(faults, &regions) {
            Ok(schedule) => format!("{} until {:?}", schedule.faults().len(), schedule.ends()),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn faults_come_in_the_order_of_their_times() {
        let (kill, full) = (Harm::KillRegion(region("a")), Harm::DiskFull(region("b")));
        let faults = vec![fault(9, 3, kill), fault(2, 30, full)];
        check(faults.clone(), "2 until 32s");
        let schedule = Schedule::new(faults, &["a", "b"].map(region).into()).unwrap();
        assert_eq!(schedule.faults()[0].at, seconds(2));
    }

    #[test]
    fn what_cannot_be_names_the_fault_the_field_and_the_fix() {
        let kill = |name| Harm::KillRegion(region(name));
        let stall = |name| Harm::StallRegion(region(name));
        check(vec![], "fault 0: a schedule has 1 to 1000 faults, and this one has 0");
        let unknown = "fault 1: the planet has no region `c`; it has: a, b";
        check(vec![fault(1, 1, kill("c"))], unknown);
        let bounds = "fault 1: `for` must be between 1ms and 3600s, and is 0ns";
        check(vec![fault(1, 0, kill("a"))], bounds);
        let still = "fault 2: `a` is still down from fault 1 at that time: begin later";
        check(vec![fault(1, 5, kill("a")), fault(3, 5, stall("a"))], still);
        let nobody = "fault 2: no region would be up at that time: leave one alone";
        check(vec![fault(1, 5, kill("a")), fault(3, 1, stall("b"))], nobody);
        let between = |a, b| Paths::Between(vec![(region(a), region(b))]);
        let cut = Harm::Partition(between("a", "a"), Way::Both);
        check(
            vec![fault(1, 1, cut)],
            "fault 1: `paths` has `a` twice in one pair: name two regions",
        );
        let jump = "fault 1: `by` must not be 0, nor beyond 30 days";
        check(vec![fault(1, 1, Harm::ClockJump(region("a"), 0))], jump);
    }

    #[test]
    fn paths_come_down_to_directions() {
        let regions = ["a", "b", "c"].map(region).into();
        let check = |paths, way, expected: &[&str]| {
            let directions = Harm::Partition(paths, way).directions(&regions);
            let found: Vec<_> = directions.iter().map(|(a, b)| format!("{a}>{b}")).collect();
            assert_eq!(found, expected);
        };
        check(Paths::Of(region("b")), Way::OneWay, &["b>a", "b>c"]);
        check(Paths::Of(region("b")), Way::Both, &["a>b", "b>a", "b>c", "c>b"]);
        let pair = Paths::Between(vec![(region("a"), region("b"))]);
        check(pair.clone(), Way::OneWay, &["a>b"]);
        check(pair, Way::Both, &["a>b", "b>a"]);
    }
}
