//! The faults of a drill: from a file, or from the command line.
//! Must not carry them out; whether they fit together is for the schedule itself to say.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use photon_sim::{Harm, Paths, Schedule, Scheduled, Way};
use photon_state::RegionId;

use crate::cli::{Drill, DrillKind};
use crate::exit::{NotFoundError, UsageError};
use crate::schedule;
use crate::up::control::{Order, Ways};

/// By how much links are slowed, unless the user says otherwise.
const SLOWED_BY_MS: i64 = 300;
/// How far a clock jumps, unless the user says otherwise: beyond what peers bear, and no further,
/// because what is written meanwhile waits until their clocks have come as far.
const JUMPS_BY_MS: i64 = 5_000;

/// Makes the schedule that the user asked for, for a planet of these regions.
pub(super) fn make(options: &Drill, regions: &BTreeSet<RegionId>) -> Result<Schedule> {
    let Some(path) = &options.schedule else {
        let made = Schedule::new(vec![of_options(options)?], regions);
        return made.map_err(|it| {
            let text = it.problem.to_string();
            if it.problem.is_unknown() {
                NotFoundError(text).into()
            } else {
                UsageError(text).into()
            }
        });
    };
    of_file(&path.display().to_string(), schedule::read(path)?, regions)
        .map_err(|text| UsageError(text).into())
}

/// Checks the faults of a file: whether processes can suffer them, too.
fn of_file(
    file: &str,
    faults: Vec<Scheduled>,
    regions: &BTreeSet<RegionId>,
) -> Result<Schedule, String> {
    if let Some(at) = faults.iter().position(|it| !it.harm.is_real()) {
        let kind = faults[at].harm.kind();
        return Err(format!(
            "{file}, fault {}: `{kind}` is for `photon simulate` only, because no process can make \
             its disk lie: leave it out",
            at + 1
        ));
    }
    Schedule::new(faults, regions).map_err(|error| format!("{file}, {error}"))
}

fn of_options(options: &Drill) -> Result<Scheduled> {
    let region = options.region.expect("the command line demands it");
    let kind = options.kind.expect("the command line demands it");
    let takes_path = matches!(kind, DrillKind::Partition | DrillKind::SlowLink);
    let takes_by = matches!(kind, DrillKind::SlowLink | DrillKind::ClockJump);
    if !takes_path && (options.to.is_some() || options.one_way) {
        let text = "--to and --one-way are for `partition` and `slow-link` only: leave them out";
        return Err(UsageError(text.to_owned()).into());
    }
    if !takes_by && options.by.is_some() {
        let text = "--by is for `slow-link` and `clock-jump` only: leave it out";
        return Err(UsageError(text.to_owned()).into());
    }
    let paths = match options.to {
        Some(to) => Paths::Between(vec![(region, to)]),
        None => Paths::Of(region),
    };
    let way = if options.one_way { Way::OneWay } else { Way::Both };
    let harm = match kind {
        DrillKind::KillRegion => Harm::KillRegion(region),
        DrillKind::StallRegion => Harm::StallRegion(region),
        DrillKind::Partition => Harm::Partition(paths, way),
        DrillKind::SlowLink => {
            let by_ms = u64::try_from(options.by.unwrap_or(SLOWED_BY_MS));
            let by_ms = by_ms
                .map_err(|_| UsageError("--by is negative: links can only be slowed".to_owned()))?;
            Harm::SlowLink(paths, way, Duration::from_millis(by_ms))
        }
        DrillKind::ClockJump => Harm::ClockJump(region, options.by.unwrap_or(JUMPS_BY_MS)),
        DrillKind::DiskFull => Harm::DiskFull(region),
    };
    Ok(Scheduled { at: options.before, lasts: options.lasts, harm })
}

/// Returns the order that begins a fault.
pub(super) fn order(fault: &Scheduled) -> Order {
    let for_ms = u64::try_from(fault.lasts.as_millis()).ok();
    let ways = |paths: &Paths, way: &Way| {
        let one_way = *way == Way::OneWay;
        match paths {
            Paths::Of(region) => {
                Ways { of: Some(region.to_string()), between: Vec::new(), one_way }
            }
            Paths::Between(pairs) => {
                let pairs = pairs.iter().map(|(a, b)| (a.to_string(), b.to_string()));
                Ways { of: None, between: pairs.collect(), one_way }
            }
        }
    };
    match &fault.harm {
        Harm::KillRegion(region) => Order::Kill { region: region.to_string(), for_ms },
        Harm::StallRegion(region) => Order::Stall { region: region.to_string(), for_ms },
        Harm::Partition(paths, way) => Order::Cut { paths: ways(paths, way), for_ms },
        Harm::SlowLink(paths, way, by) => {
            let by_ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
            Order::Slow { paths: ways(paths, way), by_ms, for_ms }
        }
        Harm::ClockJump(region, by_ms) => {
            Order::Clock { region: region.to_string(), by_ms: *by_ms, for_ms }
        }
        Harm::DiskFull(region) => Order::Fill { region: region.to_string(), for_ms },
        Harm::LyingDisk(_) => unreachable!("drills refuse it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_file_must_fit_the_planet_and_each_other() {
        let regions = ["a", "b", "c"].map(|it| RegionId::try_from(it).unwrap()).into();
        let check = |text: &str, expected: &str| {
            let faults = schedule::parse("f.toml", text).unwrap();
            assert_eq!(of_file("f.toml", faults, &regions).unwrap_err(), expected);
        };
        check("", "f.toml, fault 0: a schedule has 1 to 1000 faults, and this one has 0");
        let kill = "[[fault]]\nat = \"1s\"\nfor = \"1s\"\nkind = \"kill-region\"\nregion = \"x\"";
        let lie = "[[fault]]\nat = \"1s\"\nfor = \"1s\"\nkind = \"lying-disk\"\nregion = \"a\"";
        let only = "f.toml, fault 1: `lying-disk` is for `photon simulate` only, because no \
                    process can make its disk lie: leave it out";
        check(lie, only);
        check(kill, "f.toml, fault 1: the planet has no region `x`; it has: a, b, c");
    }
}
