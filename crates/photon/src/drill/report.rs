//! The report of a drill, for programs and for people.
//! Must not judge more than: was a promise broken?

use std::collections::BTreeMap;
use std::io;

use serde::Serialize;

use super::audit::Audit;
use super::homes::Moved;
use super::ledger::Evidence;
use super::residency::Residency;
use crate::output::{Cell, Format, Output, Table, Tone};

/// All that a drill has found.
#[derive(Debug, Default, Serialize)]
pub(super) struct Report {
    /// Tells the tasks of this drill from others: their context is `drill-RUN`.
    pub(super) run: String,
    /// When `at_ms` was 0 (RFC 3339).
    pub(super) started_at: String,
    pub(super) took_ms: u64,
    pub(super) regions: Vec<String>,
    pub(super) rate_per_second: u32,
    /// How often regions were asked what they think of each other, and what they decide about: no
    /// detection and no move of homes is told finer.
    pub(super) watched_every_ms: u64,
    pub(super) faults: Vec<FaultReport>,
    pub(super) summary: Vec<Summary>,
    pub(super) work: Work,
    pub(super) audit: Audit,
    pub(super) followers: Followers,
    pub(super) records: Records,
    pub(super) residency: Residency,
    /// Sightings of trouble with regions that no fault had hit.
    pub(super) false_alarms: Evidence,
    /// What the drill could not remove.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) left_behind: Vec<String>,
    /// Each promise that was broken, in words; empty if none was.
    pub(super) broken: Vec<String>,
}

/// What one fault did.
#[derive(Debug, Serialize)]
pub(super) struct FaultReport {
    pub(super) kind: &'static str,
    pub(super) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) region: Option<String>,
    /// When the order was given.
    pub(super) at_ms: u64,
    pub(super) lasts_ms: u64,
    /// When, after the fault began, the planet was whole again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) whole_after_ms: Option<u64>,
    /// Why the fault could not be made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) failed: Option<String>,
    pub(super) detection: Vec<Detection>,
    pub(super) first_success: Vec<FirstSuccess>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rto: Option<Rto>,
    /// When others decided for a region that was silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) homes: Option<Moved>,
}

/// When a region saw that something was wrong.
#[derive(Debug, Serialize)]
pub(super) struct Detection {
    /// Who saw it.
    pub(super) region: String,
    /// With whom.
    pub(super) about: String,
    /// What was seen: `link lost`, or a verdict.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) observed: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ms: Option<u64>,
}

/// When clients of a region were served again.
#[derive(Debug, Serialize)]
pub(super) struct FirstSuccess {
    /// The region of the clients.
    pub(super) region: String,
    /// Whether the fault hit it.
    pub(super) is_hit: bool,
    /// Until a task that was submitted after the fault was accepted, by whatever region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) accepted_ms: Option<u64>,
    /// Until such a task had been done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) completed_ms: Option<u64>,
}

/// How tasks that were open in a home that went down moved on.
#[derive(Debug, Serialize)]
pub(super) struct Rto {
    /// How many were open.
    pub(super) tasks: usize,
    /// Until the first new event of each was seen in another region.
    pub(super) moved_on: Spread,
    /// The same of each.
    #[serde(skip)]
    pub(super) moved_ms: Vec<u64>,
    /// Those of which nothing more was heard.
    pub(super) never: Evidence,
    /// How many have another home in the end.
    pub(super) homes_moved: usize,
}

/// A distribution of milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Spread {
    pub(super) count: usize,
    pub(super) p50_ms: u64,
    pub(super) p99_ms: u64,
    pub(super) max_ms: u64,
}

/// Figures of all faults of one kind together.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    pub(super) kind: &'static str,
    pub(super) faults: usize,
    /// By what was observed.
    pub(super) detection: BTreeMap<String, Spread>,
    pub(super) not_detected: usize,
    /// In regions that the fault did not hit.
    pub(super) first_accepted: Spread,
    pub(super) first_completed: Spread,
    pub(super) never_served: usize,
    pub(super) rto: Spread,
    pub(super) rto_never: u64,
    /// Until all shards of a lost region had homes elsewhere that decide.
    pub(super) homes_moved: Spread,
    pub(super) homes_never: usize,
}

/// How much work there was.
#[derive(Debug, Default, Serialize)]
pub(super) struct Work {
    /// Acknowledged, by level.
    pub(super) accepted: BTreeMap<&'static str, u64>,
    /// Why there were none at `quorum`, if there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) no_quorum: Option<&'static str>,
    /// Submissions that nobody acknowledged until the drill gave up: nothing was promised of them.
    pub(super) given_up: u64,
    /// Submissions that the drill left out, because too many were under way.
    pub(super) left_out: u64,
    /// Tries that failed before another one succeeded, by region and answer.
    pub(super) failed_tries: BTreeMap<String, u64>,
}

/// What followers of tasks saw.
#[derive(Debug, Default, Serialize)]
pub(super) struct Followers {
    pub(super) followed: u64,
    /// How often one went on in another region.
    pub(super) resumed: u64,
    pub(super) out_of_turn: Evidence,
}

/// What became of records.
#[derive(Debug, Default, Serialize)]
pub(super) struct Records {
    /// Acknowledged at `quorum`.
    pub(super) written: u64,
    pub(super) given_up: u64,
    /// Read elsewhere at `quorum` right after.
    pub(super) reads: u64,
    pub(super) reads_failed: u64,
    /// Read, and not there.
    pub(super) unseen: Evidence,
}

impl Spread {
    pub(super) fn of(mut ms: Vec<u64>) -> Self {
        ms.sort_unstable();
        let Some(last) = ms.len().checked_sub(1) else { return Self::default() };
        let at =
            |share: f64| ms[((ms.len() as f64 * share).ceil() as usize).clamp(1, last + 1) - 1];
        Self { count: ms.len(), p50_ms: at(0.5), p99_ms: at(0.99), max_ms: ms[last] }
    }

    fn shown(&self) -> [String; 3] {
        if self.count == 0 {
            return ["-", "-", "-"].map(str::to_owned);
        }
        [self.p50_ms, self.p99_ms, self.max_ms].map(|it| it.to_string())
    }
}

impl Report {
    /// Says which promises were broken.
    pub(super) fn judge(&mut self) {
        let Audit { lost_region, lost_quorum, missing, unfinished, .. } = &self.audit;
        let Audit { ends, generations, disagreements, records_lost, .. } = &self.audit;
        let promises = [
            (lost_region.count, "tasks acknowledged at `region` are known nowhere"),
            (lost_quorum.count, "tasks acknowledged at `quorum` are known nowhere"),
            (missing.count, "acknowledged tasks are missing in a region"),
            (unfinished.count, "acknowledged tasks have not ended"),
            (ends.count, "tasks did not end well, once and last"),
            (generations.count, "tasks have gaps or repeats in their generations"),
            (disagreements.count, "tasks of which regions tell different things"),
            (self.followers.out_of_turn.count, "events were told twice or out of turn"),
            (records_lost.count, "records acknowledged at `quorum` are missing in a region"),
            (self.records.unseen.count, "records at `quorum` were not shown to a later read at it"),
            (self.residency.violations.count, "times something was found outside its placement"),
        ];
        let broken = promises.into_iter().filter(|(count, _)| 0 < *count);
        self.broken = broken.map(|(count, what)| format!("{count} {what}")).collect();
        let silent = self.audit.unanswered.iter();
        self.broken.extend(silent.map(|it| format!("{it} did not answer when all was over")));
        let failed = self.faults.iter().filter_map(|it| it.failed.as_ref());
        self.broken.extend(failed.map(|it| format!("a fault could not be made: {it}")));
    }

    /// Prints it.
    pub(super) fn print(&self, output: Output) -> io::Result<()> {
        if output.format == Format::Json {
            return output.json(self);
        }
        if let [fault] = self.faults.as_slice() {
            output.table(&per_region(fault))?;
        }
        output.table(&summary(&self.summary))?;
        self.print_work(output)?;
        if self.broken.is_empty() {
            let text = output.colour.paint(Tone::Good, "no promise was broken");
            return output.line(&text);
        }
        for broken in &self.broken {
            output.line(&format!("{} {broken}", output.colour.paint(Tone::Bad, "broken:")))?;
        }
        output.line("--output json has the evidence: names of tasks, regions and times")
    }

    fn print_work(&self, output: Output) -> io::Result<()> {
        let Self { work, audit, followers, records, .. } = self;
        let mut table = Table::new(&["WHAT", ">COUNT", ">LOST", "MORE"]);
        for (level, count) in &work.accepted {
            let lost = if *level == "quorum" { &audit.lost_quorum } else { &audit.lost_region };
            let tries: u64 = work.failed_tries.values().sum();
            let more = format!("{tries} tries failed, {} given up", work.given_up);
            let more = if *level == "region" { more } else { String::new() };
            table.row([
                format!("tasks acknowledged at {level}").into(),
                count.to_string().into(),
                lost.count.to_string().into(),
                more.into(),
            ]);
        }
        let mut row = |what: &str, count: u64, lost: String, more: String| {
            table.row([what.into(), count.to_string().into(), lost.into(), more.into()]);
        };
        let lost = audit.records_lost.count.to_string();
        let more = format!("{} of {} reads failed", records.reads_failed, records.reads);
        row("records acknowledged at quorum", records.written, lost, more);
        let more = format!("resumed {} times elsewhere", followers.resumed);
        row("tasks followed", followers.followed, "-".to_owned(), more);
        row("not ended", audit.unfinished.count, "-".to_owned(), String::new());
        let duplicates = audit.ends.count + audit.generations.count + audit.disagreements.count;
        let more = "two ends, gaps or repeats of generations, regions that disagree".to_owned();
        row("duplicates", duplicates, "-".to_owned(), more);
        let more = "a try without an answer, and another one elsewhere: not promised".to_owned();
        row("keys with two tasks", audit.keys_twice.count, "-".to_owned(), more);
        let more = self.residency.text.clone();
        row("outside their placement", self.residency.violations.count, "-".to_owned(), more);
        row("false alarms", self.false_alarms.count, "-".to_owned(), String::new());
        output.table(&table)?;
        if let Some(why) = work.no_quorum {
            output.line(why)?;
        }
        for left in &self.left_behind {
            output.remark_as(Tone::Odd, "left behind:", left);
        }
        Ok(())
    }
}

/// A row for each region, of one fault.
fn per_region(fault: &FaultReport) -> Table {
    let mut table = Table::new(&["REGION", "OBSERVED", ">AFTER MS", ">ACCEPTS MS", ">DOES MS"]);
    let ms = |it: Option<u64>| it.map_or("-".to_owned(), |it| it.to_string());
    for served in &fault.first_success {
        let seen = fault.detection.iter().filter(|it| it.region == served.region);
        let seen = seen.min_by_key(|it| it.ms.unwrap_or(u64::MAX));
        let observed = match seen.map(|it| it.observed.as_deref()) {
            Some(Some(observed)) => observed.to_owned(),
            Some(None) => "nothing".to_owned(),
            None if served.is_hit => "(the fault is here)".to_owned(),
            None => String::new(),
        };
        let tone = if served.is_hit { Tone::Bad } else { Tone::Strong };
        table.row([
            Cell::toned(tone, &served.region),
            observed.into(),
            ms(seen.and_then(|it| it.ms)).into(),
            ms(served.accepted_ms).into(),
            ms(served.completed_ms).into(),
        ]);
    }
    table
}

/// A block of rows for each kind of fault.
fn summary(all: &[Summary]) -> Table {
    let mut table = Table::new(&["FAULT", "MS UNTIL", ">N", ">P50", ">P99", ">MAX", ">NEVER"]);
    for summary in all {
        let mut row = |what: String, spread: &Spread, never: u64| {
            let [p50, p99, max] = spread.shown();
            let count = spread.count.to_string();
            let kind = format!("{} x {}", summary.faults, summary.kind);
            let cells = [kind, what, count, p50, p99, max, never.to_string()];
            table.row(cells.map(Cell::from));
        };
        for (observed, spread) in &summary.detection {
            row(format!("seen elsewhere: {observed}"), spread, 0);
        }
        row("not seen elsewhere".to_owned(), &Spread::default(), summary.not_detected as u64);
        let never = summary.never_served as u64;
        row("new work accepted elsewhere".to_owned(), &summary.first_accepted, never);
        row("new work done, of clients elsewhere".to_owned(), &summary.first_completed, 0);
        if 0 < summary.homes_moved.count || 0 < summary.homes_never {
            let never = summary.homes_never as u64;
            row("homes of its shards moved".to_owned(), &summary.homes_moved, never);
        }
        if 0 < summary.rto.count || 0 < summary.rto_never {
            row("its open tasks move on".to_owned(), &summary.rto, summary.rto_never);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_breaks_a_promise_and_what_was_not_promised_does_not() {
        let check = |audit: Audit, expected: &[&str]| {
            let mut report = Report { audit, ..Report::default() };
            report.judge();
            assert_eq!(report.broken, expected);
        };
        let one = || {
            let mut evidence = Evidence::default();
            evidence.push(serde_json::json!({"task": "t"}));
            evidence
        };
        check(Audit::default(), &[]);
        check(Audit { keys_twice: one(), ..Audit::default() }, &[]);
        let lost = "1 tasks acknowledged at `quorum` are known nowhere";
        check(Audit { lost_quorum: one(), ..Audit::default() }, &[lost]);
        let open = "1 acknowledged tasks have not ended";
        let silent = "a did not answer when all was over";
        let unanswered = vec!["a".to_owned()];
        check(Audit { unfinished: one(), unanswered, ..Audit::default() }, &[open, silent]);
    }

    #[test]
    fn a_spread_takes_the_value_that_so_many_do_not_exceed() {
        let check = |ms: Vec<u64>, expected| {
            let it = Spread::of(ms);
            assert_eq!((it.count, it.p50_ms, it.p99_ms, it.max_ms), expected);
        };
        check(vec![], (0, 0, 0, 0));
        check(vec![7], (1, 7, 7, 7));
        check((1..=200).rev().collect(), (200, 100, 198, 200));
    }
}
