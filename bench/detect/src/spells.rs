//! Spells of trouble that come at random, as far ahead as anyone asks.
//! Must not know what kind of trouble.

use std::collections::VecDeque;

/// How long spells are remembered after their end, in milliseconds.
const KEPT_FOR: u64 = 10_000;

/// How long spells last.
#[derive(Clone, Copy)]
pub(crate) enum Length {
    /// Exponential, with this mean in milliseconds.
    Exponential(f64),
    /// Each order of magnitude between the two, in milliseconds, as often as the others.
    LogUniform(f64, f64),
}

/// Trouble from `start` to before `end`, in milliseconds.
#[derive(Clone, Copy)]
pub(crate) struct Spell {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// A number between 0 and 1, for whatever else is to be drawn.
    pub(crate) lot: f64,
}

/// One source of trouble.
pub(crate) struct Spells {
    rng: fastrand::Rng,
    gap_ms: f64,
    length: Length,
    known: VecDeque<Spell>,
    /// Until when it is known.
    until: f64,
}

impl Spells {
    /// Makes a source whose spells begin `gap_ms` after the end of the last one, on average.
    pub(crate) fn new(seed: u64, gap_ms: f64, length: Length) -> Self {
        let rng = fastrand::Rng::with_seed(seed);
        Self { rng, gap_ms, length, known: VecDeque::new(), until: 0.0 }
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.rng.f64()).ln()
    }

    fn reach(&mut self, at: u64) {
        while self.until <= at as f64 {
            let start = self.until + self.exponential(self.gap_ms);
            let length = match self.length {
                Length::Exponential(mean) => self.exponential(mean),
                Length::LogUniform(least, most) => least * (most / least).powf(self.rng.f64()),
            };
            self.until = start + length;
            let (start, end, lot) = (start as u64, self.until.ceil() as u64, self.rng.f64());
            self.known.push_back(Spell { start, end, lot });
        }
        while self.known.front().is_some_and(|it| it.end.saturating_add(KEPT_FOR) < at) {
            self.known.pop_front();
        }
    }

    /// Returns the spell at a time, if there is one.
    pub(crate) fn at(&mut self, at: u64) -> Option<Spell> {
        self.after(at, 0)
    }

    /// Returns the last spell that lasts until less than `late` before a time.
    pub(crate) fn after(&mut self, at: u64, late: u64) -> Option<Spell> {
        self.reach(at);
        self.known
            .iter()
            .rev()
            .find(|it| it.start <= at && at < it.end.saturating_add(late))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spells_take_their_share_of_the_time_and_can_be_asked_out_of_order() {
        let make = || Spells::new(7, 980.0, Length::Exponential(20.0));
        let mut spells = make();
        let bad = (0..1_000_000).filter(|at| spells.at(*at).is_some()).count();
        assert!((18_000..23_000).contains(&bad), "{bad} of 1,000,000 ms, expected about 2 %");
        let (mut ahead, mut back) = (make(), make());
        let _later = ahead.at(5_000);
        assert!((0..5_000).all(|at| ahead.at(at).is_some() == back.at(at).is_some()));
        let mut never = Spells::new(7, f64::INFINITY, Length::Exponential(20.0));
        assert!(never.after(u64::MAX / 2, 1_000).is_none());
    }
}
