//! The faults of a drill: from a file, or from the command line.
//! Must not carry them out; whether they fit together is for the schedule itself to say.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::Result;
use photon_sim::{Harm, Paths, Schedule, ScheduleProblem, Scheduled, Way};
use photon_state::RegionId;
use serde::Deserialize;

use crate::cli::{Drill, DrillKind};
use crate::exit::{NotFoundError, UsageError};
use crate::up::control::{Order, Ways};

/// By how much links are slowed, unless the user says otherwise.
const SLOWED_BY_MS: i64 = 300;
/// How far a clock jumps, unless the user says otherwise: beyond what peers bear, and no further,
/// because what is written meanwhile waits until their clocks have come as far.
const JUMPS_BY_MS: i64 = 5_000;

/// A file of faults, as it is written down.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    #[serde(default)]
    fault: Vec<Line>,
}

/// One `[[fault]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Line {
    at: String,
    r#for: String,
    kind: String,
    region: Option<String>,
    paths: Option<Vec<(String, String)>>,
    #[serde(default)]
    one_way: bool,
    by: Option<String>,
}

/// Makes the schedule that the user asked for, for a planet of these regions.
pub(super) fn make(options: &Drill, regions: &BTreeSet<RegionId>) -> Result<Schedule> {
    let Some(path) = &options.schedule else {
        let fault = of_options(options)?;
        let made = Schedule::new(vec![fault], regions);
        return made.map_err(|it| match it.problem {
            ScheduleProblem::UnknownRegion { .. } => NotFoundError(it.problem.to_string()).into(),
            ScheduleProblem::Count { .. }
            | ScheduleProblem::Loop(_)
            | ScheduleProblem::NoPath
            | ScheduleProblem::OutOfBounds { .. }
            | ScheduleProblem::Jump
            | ScheduleProblem::StillDown { .. }
            | ScheduleProblem::NobodyLeft => UsageError(it.problem.to_string()).into(),
        });
    };
    let shown = path.display().to_string();
    let text = fs::read_to_string(path)
        .map_err(|error| UsageError(format!("--schedule `{shown}` cannot be read: {error}")))?;
    parse(&shown, &text, regions).map_err(|text| UsageError(text).into())
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

/// Reads a file of faults; an error says where it is, and how it should be.
fn parse(file: &str, text: &str, regions: &BTreeSet<RegionId>) -> Result<Schedule, String> {
    let listed: Listed = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |it| 1 + text[..it.start].matches('\n').count());
        format!("{file}, line {line}: {}", error.message().trim())
    })?;
    let mut faults = Vec::new();
    for (at, line) in listed.fault.iter().enumerate() {
        let fault = line.read().map_err(|what| format!("{file}, fault {}: {what}", at + 1))?;
        faults.push(fault);
    }
    Schedule::new(faults, regions).map_err(|error| format!("{file}, {error}"))
}

impl Line {
    fn read(&self) -> Result<Scheduled, String> {
        let at = if self.at == "0s" { Ok(Duration::ZERO) } else { time("at", &self.at) };
        Ok(Scheduled { at: at?, lasts: time("for", &self.r#for)?, harm: self.harm()? })
    }

    fn harm(&self) -> Result<Harm, String> {
        let is_path = matches!(self.kind.as_str(), "partition" | "slow-link");
        if !is_path && (self.paths.is_some() || self.one_way) {
            let kind = &self.kind;
            return Err(format!("`paths` and `one-way` mean nothing to `{kind}`: name a `region`"));
        }
        if !matches!(self.kind.as_str(), "slow-link" | "clock-jump") && self.by.is_some() {
            return Err(format!("`by` means nothing to `{}`: leave it out", self.kind));
        }
        let way = if self.one_way { Way::OneWay } else { Way::Both };
        match self.kind.as_str() {
            "kill-region" => Ok(Harm::KillRegion(self.region()?)),
            "stall-region" => Ok(Harm::StallRegion(self.region()?)),
            "disk-full" => Ok(Harm::DiskFull(self.region()?)),
            "clock-jump" => Ok(Harm::ClockJump(self.region()?, self.by_ms()?)),
            "partition" => Ok(Harm::Partition(self.paths()?, way)),
            "slow-link" => {
                let by_ms = u64::try_from(self.by_ms()?);
                let by_ms = by_ms.map_err(|_| "`by` is negative: links can only be slowed")?;
                Ok(Harm::SlowLink(self.paths()?, way, Duration::from_millis(by_ms)))
            }
            other => Err(format!(
                "`kind` is `{other}`: say kill-region, stall-region, partition, slow-link, \
                 clock-jump or disk-full"
            )),
        }
    }

    fn region(&self) -> Result<RegionId, String> {
        name(self.region.as_deref().ok_or("`region` is missing: name the region that suffers")?)
    }

    fn paths(&self) -> Result<Paths, String> {
        match (&self.region, &self.paths) {
            (Some(region), None) => Ok(Paths::Of(name(region)?)),
            (None, Some(pairs)) => {
                let pairs = pairs.iter().map(|(a, b)| Ok((name(a)?, name(b)?)));
                Ok(Paths::Between(pairs.collect::<Result<_, String>>()?))
            }
            (Some(_), Some(_)) | (None, None) => Err("give either `region`, for all of its \
                 paths, or `paths`, such as [[\"a\", \"b\"]]"
                .to_owned()),
        }
    }

    fn by_ms(&self) -> Result<i64, String> {
        let text = self.by.as_deref().ok_or("`by` is missing: say how far, such as \"300ms\"")?;
        crate::cli::offset_ms(text).map_err(|fix| format!("`by` is `{text}`: {fix}"))
    }
}

fn name(text: &str) -> Result<RegionId, String> {
    RegionId::try_from(text).map_err(|error| format!("`{text}` is no region: {error}"))
}

fn time(field: &str, text: &str) -> Result<Duration, String> {
    crate::cli::duration(text).map_err(|fix| format!("`{field}` is `{text}`: {fix}"))
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let regions = ["a", "b", "c"].map(|it| RegionId::try_from(it).unwrap()).into();
        let found = match parse("f.toml", text, &regions) {
            Ok(schedule) => schedule.faults().iter().map(|it| format!("{};", it.harm)).collect(),
            Err(error) => error,
        };
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn a_file_names_faults_of_every_kind() {
        let text = r#"
            [[fault]]
            at = "20s"
            for = "3s"
            kind = "kill-region"
            region = "a"
            [[fault]]
            at = "0s"
            for = "3s"
            kind = "partition"
            paths = [["a", "b"], ["b", "c"]]
            one-way = true
            [[fault]]
            at = "5s"
            for = "500ms"
            kind = "slow-link"
            region = "c"
            by = "300ms"
            [[fault]]
            at = "6s"
            for = "1m"
            kind = "clock-jump"
            region = "c"
            by = "-1h"
        "#;
        let expected = "cut between a and b, b and c, one way;\
            300 ms more between c and all others;the clock of c is -3600000 ms off;a is killed;";
        check(text, expected);
    }

    #[test]
    fn errors_name_the_place_the_field_and_the_fix() {
        let line = |rest: &str| format!("[[fault]]\nat = \"1s\"\nfor = \"1s\"\n{rest}");
        let kill = |rest: &str| line(&format!("kind = \"kill-region\"\n{rest}"));
        check("", "f.toml, fault 0: a schedule has 1 to 1000 faults, and this one has 0");
        check(&kill(""), "f.toml, fault 1: `region` is missing: name the region that suffers");
        let unknown = "f.toml, fault 1: the planet has no region `x`; it has: a, b, c";
        check(&kill("region = \"x\""), unknown);
        let by = "f.toml, fault 1: `by` means nothing to `kill-region`: leave it out";
        check(&kill("region = \"a\"\nby = \"1s\""), by);
        let kind = "f.toml, fault 1: `kind` is `kil`: say kill-region, stall-region, partition, \
                    slow-link, clock-jump or disk-full";
        check(&line("kind = \"kil\""), kind);
        let time = "[[fault]]\nat = \"soon\"\nfor = \"1s\"\nkind = \"disk-full\"\nregion = \"a\"";
        check(time, "f.toml, fault 1: `at` is `soon`: write it as 500ms, 30s, 5m or 2h");
        let key = parse("f.toml", &kill("regoin = \"a\""), &BTreeSet::new()).unwrap_err();
        assert!(key.starts_with("f.toml, line 5: unknown field `regoin`"), "{key}");
    }
}
