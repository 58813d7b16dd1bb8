//! Round trips that were measured, read from comma-separated values.
//! Must not know the model that is used without a file.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_state::RegionId;

use crate::nearest::nearest;

/// The longest round trip that a file may give.
const ROUND_TRIP_MS_MAX: f64 = 10_000.0;

/// A file of round trips that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}{}: {problem}", place(*.line, *.column))]
pub struct MatrixError {
    /// The file.
    pub file: String,
    /// The line, counted from 1; 0 stands for the file as a whole.
    pub line: usize,
    /// The field of the line, counted from 1; 0 stands for the line as a whole.
    pub column: usize,
    /// What is wrong there.
    pub problem: MatrixProblem,
}

/// Lists what can be wrong with a file of round trips.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MatrixProblem {
    /// There is no first line.
    #[error("it is empty: begin with `a,b,rtt_ms` or with the names of the regions")]
    Empty,
    /// A line is longer or shorter than the first.
    #[error("the line has {found} fields, but the first line has {expected}")]
    Fields {
        /// How many fields the first line has.
        expected: usize,
        /// How many this line has.
        found: usize,
    },
    /// A field is no number, or out of bounds.
    #[error("`{text}` is no round trip: give milliseconds from 0 to {ROUND_TRIP_MS_MAX}")]
    RoundTrip {
        /// The field.
        text: String,
    },
    /// One pair has two round trips.
    #[error("the round trip from `{from}` to `{to}` was given before")]
    Twice {
        /// The first of the pair.
        from: String,
        /// The second of the pair.
        to: String,
    },
    /// A region of the planet is not in the file.
    #[error("it lacks the region `{region}`{}", did_you_mean(.nearest.as_deref()))]
    NoRegion {
        /// The region.
        region: RegionId,
        /// A region of the file that may be meant.
        nearest: Option<String>,
    },
    /// A pair of regions of the planet is not in the file.
    #[error("it lacks the round trip from `{from}` to `{to}`")]
    NoPair {
        /// The first of the pair.
        from: RegionId,
        /// The second of the pair.
        to: RegionId,
    },
}

fn place(line: usize, column: usize) -> String {
    match (line, column) {
        (0, _) => String::new(),
        (_, 0) => format!(", line {line}"),
        (_, _) => format!(", line {line}, column {column}"),
    }
}

fn did_you_mean(nearest: Option<&str>) -> String {
    nearest.map(|it| format!(", did you mean it by `{it}`?")).unwrap_or_default()
}

/// What a file says, by the names that it uses.
type Given<'a> = BTreeMap<(&'a str, &'a str), Duration>;

/// Reads the round trips between all `regions`, in both directions.
pub(super) fn parse(
    file: &str,
    text: &str,
    regions: &[RegionId],
) -> Result<BTreeMap<(RegionId, RegionId), Duration>, MatrixError> {
    let fail = |(line, column, problem)| MatrixError { file: file.into(), line, column, problem };
    let given = read(text).map_err(fail)?;
    let mut round_trips = BTreeMap::new();
    for (from, to) in regions.iter().flat_map(|a| regions.iter().map(move |b| (*a, *b))) {
        if from == to {
            continue;
        }
        let there = given.get(&(from.as_str(), to.as_str()));
        let back = given.get(&(to.as_str(), from.as_str()));
        let Some(round_trip) = there.or(back) else {
            return Err(fail((0, 0, missing(&given, from, to))));
        };
        round_trips.insert((from, to), *round_trip);
    }
    Ok(round_trips)
}

fn missing(given: &Given<'_>, from: RegionId, to: RegionId) -> MatrixProblem {
    let names: BTreeSet<&str> = given.keys().flat_map(|(a, b)| [*a, *b]).collect();
    match [from, to].into_iter().find(|it| !names.contains(it.as_str())) {
        Some(region) => {
            let nearest = nearest(region.as_str(), names).map(str::to_owned);
            MatrixProblem::NoRegion { region, nearest }
        }
        None => MatrixProblem::NoPair { from, to },
    }
}

/// A line, a column, and what is wrong there.
type Fault = (usize, usize, MatrixProblem);

fn read(text: &str) -> Result<Given<'_>, Fault> {
    let mut lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| (i + 1, line.split(',').map(str::trim).collect::<Vec<_>>()));
    let (_, head) = lines.next().ok_or((0, 0, MatrixProblem::Empty))?;
    let is_pairs = head.len() >= 3 && head[..3] == ["a", "b", "rtt_ms"];
    let mut given = Given::new();
    for (line, fields) in lines {
        let (expected, found) = (head.len(), fields.len());
        if expected != found {
            return Err((line, 0, MatrixProblem::Fields { expected, found }));
        }
        // Both forms come down to cells: (from, to, where the round trip stands).
        let cells: Vec<_> = if is_pairs {
            vec![(fields[0], fields[1], 2)]
        } else {
            (1..found).map(|column| (fields[0], head[column], column)).collect()
        };
        for (from, to, column) in cells {
            let cell = fields[column];
            if cell.is_empty() || from == to {
                continue;
            }
            let round_trip = round_trip(cell).map_err(|problem| (line, column + 1, problem))?;
            if given.insert((from, to), round_trip).is_some() {
                let (from, to) = (from.to_owned(), to.to_owned());
                return Err((line, column + 1, MatrixProblem::Twice { from, to }));
            }
        }
    }
    Ok(given)
}

fn round_trip(text: &str) -> Result<Duration, MatrixProblem> {
    match text.parse::<f64>() {
        Ok(ms) if (0.0..=ROUND_TRIP_MS_MAX).contains(&ms) => {
            Ok(Duration::from_secs_f64(ms / 1_000.0))
        }
        Ok(_) | Err(_) => Err(MatrixProblem::RoundTrip { text: text.to_owned() }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Renders what is read for the regions `one` and `two`, or the error.
    fn check(text: &str, expected: &str) {
        let regions = ["one", "two"].map(|it| RegionId::try_from(it).unwrap());
        let actual = match parse("rtt.csv", text, &regions) {
            Ok(given) => given.iter().map(|((a, b), ms)| format!("{a} {b} {ms:?};")).collect(),
            Err(error) => error.to_string(),
        };
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn pairs_hold_in_both_directions_unless_both_are_given() {
        check("a,b,rtt_ms\none,two,8", "one two 8ms;two one 8ms;");
        check("a,b,rtt_ms,basis\ntwo,one,8.5,guess\n", "one two 8.5ms;two one 8.5ms;");
        check("a,b,rtt_ms\none,two,8\ntwo,one,9", "one two 8ms;two one 9ms;");
    }

    #[test]
    fn a_square_gives_each_direction_and_may_know_other_regions() {
        check(",one,two\none,,3\ntwo,4,\n", "one two 3ms;two one 4ms;");
        let three = "from,one,three,two\none,0,1,3\nthree,1,0,2\ntwo,4,2,0";
        check(three, "one two 3ms;two one 4ms;");
    }

    #[test]
    fn errors_name_the_line_the_column_and_the_fix() {
        check("", "rtt.csv: it is empty: begin with `a,b,rtt_ms` or with the names of the regions");
        let fields = "rtt.csv, line 2: the line has 2 fields, but the first line has 3";
        check("a,b,rtt_ms\none,two", fields);
        let bad = |place: &str, text: &str| {
            format!(
                "rtt.csv, {place}: `{text}` is no round trip: give milliseconds from 0 to 10000"
            )
        };
        check("a,b,rtt_ms\n\none,two,fast", &bad("line 3, column 3", "fast"));
        check(",one,two\none,,-1", &bad("line 2, column 3", "-1"));
        check(",one,two\none,,NaN", &bad("line 2, column 3", "NaN"));
        let twice =
            "rtt.csv, line 3, column 3: the round trip from `one` to `two` was given before";
        check("a,b,rtt_ms\none,two,8\none,two,9", twice);
    }

    #[test]
    fn what_is_missing_is_named() {
        let typo = "rtt.csv: it lacks the region `two`, did you mean it by `twoo`?";
        check("a,b,rtt_ms\none,twoo,8", typo);
        let pair = "rtt.csv: it lacks the round trip from `one` to `two`";
        check("a,b,rtt_ms\none,six,8\ntwo,six,8", pair);
    }
}
