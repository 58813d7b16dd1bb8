//! Several sides that do the same works turn by turn, and how they compare.
//! Must not know who they are, nor what they do.

use std::collections::BTreeMap;

use crate::load::Round;
use crate::report::{Report, Target};

/// A side, or a work: something with a name.
pub(crate) trait Named: Copy + Ord {
    /// Returns the name that people read.
    fn show(self) -> &'static str;
}

/// All rounds by what was done, and who did it.
#[derive(Debug)]
pub(crate) struct Rounds<W, S> {
    all: BTreeMap<(W, S), Vec<Round>>,
    /// How many things each act of a work is about.
    each: fn(W) -> usize,
}

impl<W: Named, S: Named> Rounds<W, S> {
    /// Makes an empty one.
    pub(crate) fn new(each: fn(W) -> usize) -> Self {
        Self { all: BTreeMap::new(), each }
    }

    /// Adds a round.
    pub(crate) fn keep(&mut self, work: W, side: S, round: Round) {
        self.all.entry((work, side)).or_default().push(round);
    }

    /// Adds how many times as fast one side is as another, round by round, if both take part.
    pub(crate) fn ratio(&self, report: &mut Report, work: W, (a, b): (S, S), target: Target) {
        let (Some(ours), Some(theirs)) = (self.all.get(&(work, a)), self.all.get(&(work, b)))
        else {
            return;
        };
        let each = ours.iter().zip(theirs).map(|(a, b)| a.per_second() / b.per_second());
        let what = format!("{}: {} beside {}", work.show(), a.show(), b.show());
        report.spread(what, (each, "x"), target);
    }

    /// Adds what was measured, of each work and side.
    pub(crate) fn describe(&self, report: &mut Report, promised: fn(W, S) -> Target) {
        for ((work, side), rounds) in &self.all {
            let each = (self.each)(*work) as f64;
            let mut row = |what: &str, figure: &dyn Fn(&Round) -> f64, unit, target| {
                let what = format!("{}: {}, {what}", work.show(), side.show());
                report.spread(what, (rounds.iter().map(figure), unit), target);
            };
            row("rate", &|it| it.per_second() * each, "/s", promised(*work, *side));
            row("p50", &|it| it.percentile_ms(0.5), "ms", Target::None);
            row("p99", &|it| it.percentile_ms(0.99), "ms", Target::None);
            row("server's time each", &|it| it.us_each(it.server) / each, "us", Target::None);
            row("clients' time each", &|it| it.us_each(it.clients) / each, "us", Target::None);
        }
    }

    /// Adds the rate of each round.
    pub(crate) fn note(&self, report: &mut Report) {
        let mut text = "Each round, a second:".to_owned();
        for ((work, side), rounds) in &self.all {
            let each = (self.each)(*work) as f64;
            let rates = rounds.iter().map(|it| format!("{:.0}", it.per_second() * each));
            let rates: Vec<String> = rates.collect();
            text += &format!("\n  {}, {}: {}", work.show(), side.show(), rates.join(", "));
        }
        report.note(text);
    }
}
