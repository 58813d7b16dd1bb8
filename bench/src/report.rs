//! What was measured, against what should be: as a table for people, as JSON for programs.
//! Must not measure.

use std::io::Write;

use serde_json::{Value, json};

use crate::machine::Machine;

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At least this.
    AtLeast(f64),
    /// Less than this.
    Under(f64),
    /// Nothing was promised: the figure puts others into context.
    None,
}

impl Target {
    /// Says whether a figure meets the target, and by how much it misses it.
    fn verdict(self, measured: f64) -> String {
        let missed = match self {
            Self::None => return "-".to_owned(),
            Self::AtLeast(least) if least <= measured => return "met".to_owned(),
            Self::Under(bound) if measured < bound => return "met".to_owned(),
            Self::AtLeast(least) => (least - measured) / least,
            Self::Under(bound) => (measured - bound) / bound,
        };
        format!("MISSED by {:.0} %", 100.0 * missed)
    }

    fn show(self) -> String {
        match self {
            Self::AtLeast(least) => format!(">= {}", number(least)),
            Self::Under(bound) => format!("< {}", number(bound)),
            Self::None => "-".to_owned(),
        }
    }

    fn json(self) -> Value {
        match self {
            Self::AtLeast(least) => json!({ "at_least": least }),
            Self::Under(bound) => json!({ "under": bound }),
            Self::None => Value::Null,
        }
    }
}

/// One figure.
#[derive(Clone, Debug)]
struct Row {
    what: String,
    unit: &'static str,
    measured: f64,
    /// The least and the most of what it is the middle of.
    spread: Option<[f64; 2]>,
    target: Target,
}

/// All figures of one run.
#[derive(Debug)]
pub(crate) struct Report {
    command: &'static str,
    machine: Machine,
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    /// Begins a report, and looks at the machine before it has work to do.
    pub(crate) fn begin(command: &'static str) -> Self {
        Self { command, machine: Machine::look(), rows: Vec::new(), notes: Vec::new() }
    }

    /// Adds a figure.
    pub(crate) fn row(
        &mut self,
        what: impl Into<String>,
        (measured, unit): (f64, &'static str),
        target: Target,
    ) {
        self.rows.push(Row { what: what.into(), unit, measured, spread: None, target });
    }

    /// Adds a figure that was measured several times: the median, and how far they lie apart.
    pub(crate) fn spread(
        &mut self,
        what: impl Into<String>,
        (figures, unit): (impl IntoIterator<Item = f64>, &'static str),
        target: Target,
    ) {
        let figures: Vec<f64> = figures.into_iter().collect();
        let least = figures.iter().copied().reduce(f64::min);
        let most = figures.iter().copied().reduce(f64::max);
        let spread = least.zip(most).map(|(least, most)| [least, most]);
        let measured = median(figures);
        self.rows.push(Row { what: what.into(), unit, measured, spread, target });
    }

    /// Adds a sentence about how it was measured.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    pub(crate) fn write_table(&self, out: &mut impl Write) -> std::io::Result<()> {
        writeln!(out, "photon-bench {}, {}\n", self.command, self.machine)?;
        let head = ["what", "measured", "least .. most", "target", "verdict"].map(str::to_owned);
        let line = |row: &Row| {
            let measured = format!("{} {}", number(row.measured), row.unit);
            let show = |it: [f64; 2]| it.map(number).join(" .. ");
            let spread = row.spread.map_or_else(|| "-".to_owned(), show);
            let verdict = row.target.verdict(row.measured);
            [row.what.clone(), measured, spread, row.target.show(), verdict]
        };
        let lines: Vec<[String; 5]> =
            [head].into_iter().chain(self.rows.iter().map(line)).collect();
        let width = |column: usize| {
            let widths = lines.iter().map(|line| line[column].chars().count());
            widths.max().unwrap_or(0)
        };
        let (what, measured, spread, target) = (width(0), width(1), width(2), width(3));
        for [a, b, c, d, e] in &lines {
            writeln!(out, "{a:what$}  {b:>measured$}  {c:>spread$}  {d:>target$}  {e}")?;
        }
        for note in &self.notes {
            writeln!(out, "\n{note}")?;
        }
        Ok(())
    }

    pub(crate) fn write_json(&self, out: &mut impl Write) -> std::io::Result<()> {
        let row = |row: &Row| {
            json!({
                "what": row.what, "unit": row.unit, "measured": row.measured,
                "spread": row.spread, "target": row.target.json(),
                "verdict": row.target.verdict(row.measured),
            })
        };
        let rows: Vec<Value> = self.rows.iter().map(row).collect();
        let report = json!({
            "command": self.command, "machine": self.machine.json(),
            "figures": rows, "notes": self.notes,
        });
        writeln!(out, "{report:#}")
    }
}

/// Shows three digits or more, with separators.
fn number(value: f64) -> String {
    let decimals = match value.abs() {
        it if 100.0 <= it || it == 0.0 => 0,
        it if 10.0 <= it => 1,
        it if 1.0 <= it => 2,
        _ => 3,
    };
    let text = format!("{value:.decimals$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let digits = whole.len();
    let mut shown = String::with_capacity(text.len() + digits / 3);
    for (at, digit) in whole.chars().enumerate() {
        if 0 < at && (digits - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown + rest
}

/// Returns the middle of some figures.
pub(crate) fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        len if len.is_multiple_of(2) => f64::midpoint(figures[len / 2 - 1], figures[len / 2]),
        len => figures[len / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_met_or_missed_by_a_share() {
        let check = |target: Target, measured: f64, expected: &str| {
            assert_eq!(target.verdict(measured), expected);
        };
        check(Target::AtLeast(2.0), 2.0, "met");
        check(Target::AtLeast(2.0), 1.5, "MISSED by 25 %");
        check(Target::Under(50.0), 49.9, "met");
        check(Target::Under(50.0), 50.0, "MISSED by 0 %");
        check(Target::None, 1.0, "-");
    }

    #[test]
    fn numbers_are_short_and_have_separators() {
        let check = |value: f64, expected: &str| assert_eq!(number(value), expected);
        check(1_234_567.8, "1,234,568");
        check(123.4, "123");
        check(12.34, "12.3");
        check(2.0, "2.00");
        check(0.071, "0.071");
        check(0.0, "0");
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median([]), 0.0);
    }
}
