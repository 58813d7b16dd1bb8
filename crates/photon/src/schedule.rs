//! Files of faults, as drills and the simulator read them: `docs/drills.md` explains them.
//! Must not carry faults out; whether they fit together is for the schedule itself to say.

use std::fs;
use std::path::Path;
use std::time::Duration;

use photon_sim::{Harm, Paths, Scheduled, Way};
use photon_state::RegionId;
use serde::Deserialize;

use crate::exit::UsageError;

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

/// Reads the faults of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Scheduled>, UsageError> {
    let shown = path.display();
    let text = fs::read_to_string(path)
        .map_err(|error| UsageError(format!("--schedule `{shown}` cannot be read: {error}")))?;
    parse(&shown.to_string(), &text).map_err(UsageError)
}

/// Reads faults; an error says where it is, and how it should be.
pub(crate) fn parse(file: &str, text: &str) -> Result<Vec<Scheduled>, String> {
    let listed: Listed = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |it| 1 + text[..it.start].matches('\n').count());
        format!("{file}, line {line}: {}", error.message().trim())
    })?;
    let mut faults = Vec::new();
    for (at, line) in listed.fault.iter().enumerate() {
        let fault = line.read().map_err(|what| format!("{file}, fault {}: {what}", at + 1))?;
        faults.push(fault);
    }
    Ok(faults)
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
            "lying-disk" => Ok(Harm::LyingDisk(self.region()?)),
            "clock-jump" => Ok(Harm::ClockJump(self.region()?, self.by_ms()?)),
            "partition" => Ok(Harm::Partition(self.paths()?, way)),
            "slow-link" => {
                let by_ms = u64::try_from(self.by_ms()?);
                let by_ms = by_ms.map_err(|_| "`by` is negative: links can only be slowed")?;
                Ok(Harm::SlowLink(self.paths()?, way, Duration::from_millis(by_ms)))
            }
            other => Err(format!(
                "`kind` is `{other}`: say kill-region, stall-region, partition, slow-link, \
                 clock-jump, disk-full or lying-disk"
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use photon_sim::{Besides, Planned, Profile};

    use super::*;

    fn check(text: &str, expected: &str) {
        let found = match parse("f.toml", text) {
            Ok(faults) => faults.iter().map(|it| format!("{};", it.harm)).collect(),
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
        let expected = "a is killed;cut between a and b, b and c, one way;\
            300 ms more between c and all others;the clock of c is -3600000 ms off;";
        check(text, expected);
    }

    #[test]
    fn errors_name_the_place_the_field_and_the_fix() {
        let line = |rest: &str| format!("[[fault]]\nat = \"1s\"\nfor = \"1s\"\n{rest}");
        let kill = |rest: &str| line(&format!("kind = \"kill-region\"\n{rest}"));
        check(&kill(""), "f.toml, fault 1: `region` is missing: name the region that suffers");
        let by = "f.toml, fault 1: `by` means nothing to `kill-region`: leave it out";
        check(&kill("region = \"a\"\nby = \"1s\""), by);
        let kind = "f.toml, fault 1: `kind` is `kil`: say kill-region, stall-region, partition, \
                    slow-link, clock-jump, disk-full or lying-disk";
        check(&line("kind = \"kil\""), kind);
        let time = "[[fault]]\nat = \"soon\"\nfor = \"1s\"\nkind = \"disk-full\"\nregion = \"a\"";
        check(time, "f.toml, fault 1: `at` is `soon`: write it as 500ms, 30s, 5m or 2h");
        let key = parse("f.toml", &kill("regoin = \"a\"")).unwrap_err();
        assert!(key.starts_with("f.toml, line 5: unknown field `regoin`"), "{key}");
    }
    #[test]
    fn the_schedule_of_the_documents_runs_in_imagined_planets() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/schedules");
        let faults = read(&docs.join("failover.toml")).unwrap();
        let kinds: BTreeSet<_> = faults.iter().map(|it| it.harm.kind()).collect();
        assert_eq!(kinds.len(), 6, "it shows every kind: {kinds:?}");
        let planned = Planned::new(faults, BTreeSet::new(), Besides::Nothing).unwrap();
        let profile = Profile::of(planned);
        for seed in 0..3 {
            let report = photon_sim::run(seed, &profile).unwrap_or_else(|it| panic!("{it}"));
            assert_eq!((report.regions, report.crashes, report.stalls), (5, 1, 1), "{report}");
            assert_eq!(photon_sim::run(seed, &profile), Ok(report));
        }
    }
}
