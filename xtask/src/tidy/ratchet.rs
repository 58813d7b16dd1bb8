//! What is too long and may stay so for a while: a list that may only shrink.
//! Must not know how length is measured.

use std::collections::BTreeMap;

use super::Complaint;
use super::source::Excess;

/// Where the list lies.
pub(super) const PATH: &str = "xtask/ratchet.txt";

/// Compares what is too long with the list, whose lines are `LINES WHAT`.
pub(super) fn check(list: &str, excesses: &[Excess]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut allowed = BTreeMap::new();
    let is_entry = |line: &str| !line.is_empty() && !line.starts_with('#');
    for (i, line) in list.lines().enumerate().filter(|(_, line)| is_entry(line)) {
        let entry =
            line.split_once(' ').and_then(|(n, what)| Some((n.parse::<usize>().ok()?, what)));
        match entry {
            Some((lines, what)) => {
                allowed.insert(what, (lines, i + 1));
            }
            None => complaints.push(Complaint::new(PATH, i + 1, "write `LINES WHAT`")),
        }
    }
    for excess in excesses {
        let (lines, line) = allowed.remove(excess.what.as_str()).unwrap_or((excess.lines_max, 0));
        if lines < excess.lines {
            let text = format!("`{}` has {} lines, more than {lines}", excess.what, excess.lines);
            complaints.push(Complaint::new(&excess.path, excess.line, text));
        } else if excess.lines < lines {
            let text = format!("well done: write {} for `{}`", excess.lines, excess.what);
            complaints.push(Complaint::new(PATH, line, text));
        }
    }
    for (what, (_, line)) in allowed {
        let text = format!("well done: `{what}` needs no exception, remove it");
        complaints.push(Complaint::new(PATH, line, text));
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn complaints(list: &str, lines: usize, expected: &[&str]) {
        let excess = Excess {
            path: "a.rs".to_owned(),
            line: 7,
            what: "a.rs fn long".to_owned(),
            lines,
            lines_max: 70,
        };
        let found = check(list, &[excess]);
        let found: Vec<_> = found.iter().map(Complaint::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn an_exception_allows_exactly_its_length() {
        complaints("# a comment\n\n80 a.rs fn long\n", 80, &[]);
        complaints("80 a.rs fn long", 81, &["a.rs:7: `a.rs fn long` has 81 lines, more than 80"]);
        complaints("", 71, &["a.rs:7: `a.rs fn long` has 71 lines, more than 70"]);
    }

    #[test]
    fn the_list_only_shrinks() {
        let shrink = "xtask/ratchet.txt:1: well done: write 75 for `a.rs fn long`";
        complaints("80 a.rs fn long", 75, &[shrink]);
        let remove = "xtask/ratchet.txt:2: well done: `b.rs` needs no exception, remove it";
        complaints("80 a.rs fn long\n600 b.rs", 80, &[remove]);
        complaints("80 a.rs fn long\nmany b.rs", 80, &["xtask/ratchet.txt:2: write `LINES WHAT`"]);
    }
}
