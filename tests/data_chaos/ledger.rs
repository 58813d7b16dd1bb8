//! What was written, and how sure it is: the only memory of the clients.
//! Must not read anything back: the verdict compares.

use std::collections::BTreeMap;

/// A dataset and a key.
pub(crate) type Spot = (String, String);

/// What has to be true of a thing at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It was acknowledged, and nobody tried to remove it.
    There,
    /// Nobody was told what became of it.
    Maybe,
    /// Its removal was acknowledged, after it was.
    Gone,
}

/// A value that was put in place of others.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    /// Who put it; each writer puts one after the other.
    pub(crate) by: String,
    /// Its number among those of the writer.
    pub(crate) number: u64,
    /// Whether it was acknowledged.
    pub(crate) is_sure: bool,
}

/// What was added to a sum and taken from it: at least, and at most.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    /// Additions that were acknowledged.
    pub(crate) sure_in: i64,
    /// All additions.
    pub(crate) tried_in: i64,
    /// What was taken with an acknowledgement.
    pub(crate) sure_out: i64,
    /// All that was to be taken, but for what was refused.
    pub(crate) tried_out: i64,
}

/// How a request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was acknowledged, or it was said that it stays.
    Stays,
    /// It was said that nothing was done.
    NotDone,
    /// It may have been done, and may be done later.
    Unknown,
}

/// What a writer remembers.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Records of their own, elements and members, by what they look like.
    pub(crate) things: BTreeMap<Spot, BTreeMap<String, Fate>>,
    /// Values that were put in place of others.
    pub(crate) puts: BTreeMap<Spot, Vec<Put>>,
    /// Sums.
    pub(crate) sums: BTreeMap<Spot, Sum>,
    /// How many requests went how.
    pub(crate) outcomes: BTreeMap<String, u32>,
    /// What no fault explains.
    pub(crate) odd: Vec<String>,
}

impl Ledger {
    /// Notes what became of a thing that is new.
    pub(crate) fn add(&mut self, spot: Spot, thing: String, outcome: Outcome) {
        let fate = match outcome {
            Outcome::Stays => Fate::There,
            Outcome::Unknown => Fate::Maybe,
            Outcome::NotDone => return,
        };
        self.things.entry(spot).or_default().insert(thing, fate);
    }

    /// Notes what became of a thing that was there.
    pub(crate) fn remove(&mut self, spot: Spot, thing: String, outcome: Outcome) {
        let fate = match outcome {
            Outcome::Stays => Fate::Gone,
            Outcome::Unknown => Fate::Maybe,
            Outcome::NotDone => return,
        };
        self.things.entry(spot).or_default().insert(thing, fate);
    }

    /// Notes a value that was put in place of others.
    pub(crate) fn put(&mut self, spot: Spot, by: &str, number: u64, outcome: Outcome) {
        if outcome != Outcome::NotDone {
            let put = Put { by: by.to_owned(), number, is_sure: outcome == Outcome::Stays };
            self.puts.entry(spot).or_default().push(put);
        }
    }

    /// Notes what was added, or, if it is negative, taken.
    pub(crate) fn count(&mut self, spot: Spot, by: i64, outcome: Outcome) {
        if outcome == Outcome::NotDone {
            return;
        }
        let sum = self.sums.entry(spot).or_default();
        let (sure, tried) = if by < 0 {
            (&mut sum.sure_out, &mut sum.tried_out)
        } else {
            (&mut sum.sure_in, &mut sum.tried_in)
        };
        *tried += by.abs();
        if outcome == Outcome::Stays {
            *sure += by.abs();
        }
    }

    /// Takes in what another writer remembers.
    pub(crate) fn merge(&mut self, other: Self) {
        for (spot, things) in other.things {
            self.things.entry(spot).or_default().extend(things);
        }
        for (spot, puts) in other.puts {
            self.puts.entry(spot).or_default().extend(puts);
        }
        for (spot, sum) in other.sums {
            let ours = self.sums.entry(spot).or_default();
            ours.sure_in += sum.sure_in;
            ours.tried_in += sum.tried_in;
            ours.sure_out += sum.sure_out;
            ours.tried_out += sum.tried_out;
        }
        for (outcome, count) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += count;
        }
        self.odd.extend(other.odd);
    }
}
