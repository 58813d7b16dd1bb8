//! What `photon up` tells people, and programs that read JSON.
//! Must not decide what is worth telling.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use photon_state::RegionId;
use serde::Serialize;

use super::plan::Plan;
use crate::config::Site;
use crate::output::{Cell, Format, Output, Table, Tone};

/// What happened to a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Change {
    /// It ended, and nobody had asked for it.
    Died,
    /// It ended because somebody killed it.
    Killed,
    /// It ended because somebody stopped it.
    Stopped,
    /// It was started, and is ready.
    Back,
    /// It was started, and did not become ready.
    Failed,
    /// A fault begins.
    Harmed,
    /// A fault is over.
    Healed,
}

impl Change {
    fn shown(self) -> (Tone, &'static str) {
        match self {
            Self::Died => (Tone::Bad, "died"),
            Self::Killed => (Tone::Bad, "killed"),
            Self::Stopped => (Tone::Odd, "stopped"),
            Self::Back => (Tone::Good, "is back"),
            Self::Failed => (Tone::Bad, "failed"),
            Self::Harmed => (Tone::Odd, "fault"),
            Self::Healed => (Tone::Good, "over"),
        }
    }
}

/// Tells what happens to a planet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Report {
    output: Output,
}

#[derive(Serialize)]
struct Ready<'a> {
    event: &'static str,
    ms: u128,
    data: &'a Path,
    regions: Vec<ReadyRegion>,
}

#[derive(Serialize)]
struct ReadyRegion {
    name: String,
    api: String,
    link: String,
    pid: u32,
}

#[derive(Serialize)]
struct Changed<'a> {
    event: Change,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'a str>,
    at: String,
    text: &'a str,
}

impl Report {
    pub(super) fn new(output: Output) -> Self {
        Self { output }
    }

    /// Tells that the whole planet is ready.
    pub(super) fn ready(
        &self,
        plan: &Plan,
        pids: &[(RegionId, u32)],
        data: &Path,
        took: Duration,
    ) -> io::Result<()> {
        let rows = pids.iter().map(|(region, pid)| (region, plan.site_of(*region), pid));
        if self.output.format == Format::Json {
            let region = |(region, site, pid): (&RegionId, &Site, &u32)| ReadyRegion {
                name: region.to_string(),
                api: format!("http://{}", site.api),
                link: site.link.to_string(),
                pid: *pid,
            };
            let (event, ms, regions) = ("ready", took.as_millis(), rows.map(region).collect());
            return self.output.json_line(&Ready { event, ms, data, regions });
        }
        let mut table = Table::new(&["REGION", "CITY", "API", "LINKS", ">PID"]);
        for (region, site, pid) in rows {
            let city = site.city.clone().unwrap_or_default();
            let api = format!("http://{}", site.api);
            table.row([
                Cell::toned(Tone::Strong, region.as_str()),
                city.into(),
                api.into(),
                site.link.to_string().into(),
                pid.to_string().into(),
            ]);
        }
        self.output.table(&table)?;
        let text = format!("planet ready in {:.2} s", took.as_secs_f64());
        let text = self.output.colour.paint(Tone::Good, &text);
        self.output.line(&format!("{text}; it keeps its state in {}", data.display()))?;
        self.output.line("Ctrl-C stops it. In another terminal:")?;
        self.output.line("  photon agent run --name shout --skill text.upper -- tr a-z A-Z")
    }

    /// Tells what happened to a region.
    pub(super) fn change(&self, region: RegionId, change: Change, text: &str) -> io::Result<()> {
        let at = time_of_day(SystemTime::now());
        if self.output.format == Format::Json {
            let region = Some(region.as_str());
            return self.output.json_line(&Changed { event: change, region, at, text });
        }
        let (tone, word) = change.shown();
        let at = self.output.colour.paint(Tone::Faint, &at);
        let word = self.output.colour.paint(tone, word);
        self.output.line(&format!("{at}  {region} {word}: {text}"))
    }

    /// Tells of a fault that begins or is over. If nobody can read it, the fault is the same.
    pub(super) fn fault(&self, change: Change, text: &str) {
        let at = time_of_day(SystemTime::now());
        if self.output.format == Format::Json {
            let _ = self.output.json_line(&Changed { event: change, region: None, at, text });
            return;
        }
        let (tone, word) = change.shown();
        let at = self.output.colour.paint(Tone::Faint, &at);
        let word = self.output.colour.paint(tone, word);
        let _ = self.output.line(&format!("{at}  {word}: {text}"));
    }

    /// Tells what the planet as a whole is doing.
    pub(super) fn remark(&self, text: &str) {
        self.output.remark(text);
    }

    /// Shows what a region logged last, before it failed.
    pub(super) fn last_words(&self, region: RegionId, lines: &[String]) {
        for line in lines {
            let mark = self.output.remark_colour.paint(Tone::Faint, &format!("{region} |"));
            self.output.remark(&format!("{mark} {}", crate::output::printable(line)));
        }
    }
}

/// Returns the time of the day, in UTC: `14:03:59Z`.
fn time_of_day(at: SystemTime) -> String {
    let secs = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() % 86_400;
    format!("{:02}:{:02}:{:02}Z", secs / 3_600, secs / 60 % 60, secs % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_the_day_is_that_of_utc() {
        let at = UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 14 * 3_600 + 3 * 60 + 59);
        assert_eq!(time_of_day(at), "14:03:59Z");
    }
}
