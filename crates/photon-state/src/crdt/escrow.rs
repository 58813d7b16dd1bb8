//! A bounded counter: a quota that is never overspent although regions spend without asking.
//! Must not know how rights find their way to where they are needed.
//!
//! Whoever adds to the counter gets the right to spend as much; rights can be given to another
//! source; a source spends only what it holds. Only a source itself lowers its rights, and it
//! knows all that it has spent and given, so that no two can spend the same right.

use std::collections::BTreeMap;

use crate::{Dot, Source, StableHash};

/// A change of a bounded counter, made by the source of its op.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EscrowDelta {
    /// Adds to the counter; the source gets the rights.
    Grant(u64),
    /// Takes from the counter.
    Spend(u64),
    /// Gives rights away.
    Give {
        /// To whom.
        to: Source,
        /// How many.
        rights: u64,
    },
}

/// A bounded counter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Escrow(BTreeMap<Source, Row>);

/// What one source did, up to one of its ops. All of it only grows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) seq: u64,
    pub(crate) granted: u128,
    pub(crate) spent: u128,
    pub(crate) given: BTreeMap<Source, u128>,
}

impl Row {
    fn check(&self) -> u64 {
        let wide = |hash: StableHash, it: u128| hash.number(it as u64).number((it >> 64) as u64);
        let hash = wide(wide(StableHash::default(), self.granted), self.spent);
        let given = self.given.iter().fold(hash, |hash, (to, rights)| {
            let hash = hash.bytes(to.origin.as_str().as_bytes()).number(to.incarnation);
            wide(hash, *rights)
        });
        given.finish()
    }
}

impl Escrow {
    /// Returns the value of the counter, as far as is known here.
    #[must_use]
    pub fn value(&self) -> i128 {
        let row = |row: &Row| row.granted as i128 - row.spent as i128;
        self.0.values().map(row).sum()
    }

    /// Returns how much a source may spend, as far as is known here: it may have been given more.
    #[must_use]
    pub fn rights(&self, source: Source) -> u128 {
        let got = self.0.values().filter_map(|row| row.given.get(&source)).sum::<u128>();
        let Some(own) = self.0.get(&source) else { return got };
        let gone = own.spent + own.given.values().sum::<u128>();
        (got + own.granted).saturating_sub(gone)
    }

    /// Iterates over those who hold rights, with how many.
    pub fn holders(&self) -> impl Iterator<Item = (Source, u128)> {
        let own = self.0.keys();
        let given = self.0.values().flat_map(|row| row.given.keys());
        let all: std::collections::BTreeSet<Source> = own.chain(given).copied().collect();
        all.into_iter().map(|source| (source, self.rights(source)))
    }

    pub(super) fn apply(&mut self, dot: Dot, delta: EscrowDelta) {
        let row = self.0.entry(dot.source).or_default();
        if dot.seq <= row.seq {
            return;
        }
        row.seq = dot.seq;
        match delta {
            EscrowDelta::Grant(by) => row.granted += u128::from(by),
            EscrowDelta::Spend(by) => row.spent += u128::from(by),
            EscrowDelta::Give { to, rights } => {
                *row.given.entry(to).or_default() += u128::from(rights);
            }
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (source, theirs) in &other.0 {
            let ours = self.0.entry(*source).or_default();
            if ours.seq < theirs.seq {
                ours.clone_from(theirs);
            }
        }
    }

    /// Takes over what another region holds of ops that are known here, and all that it holds of
    /// itself, about which it cannot be wrong.
    pub(super) fn correct(&mut self, other: &Self, itself: Source, known: &dyn Fn(Dot) -> bool) {
        let known = |source, seq| known(Dot { source, seq });
        for (source, theirs) in other.0.iter().filter(|(it, row)| known(**it, row.seq)) {
            let ours = self.0.entry(*source).or_default();
            if ours.seq < theirs.seq || (ours.seq == theirs.seq && *source == itself) {
                ours.clone_from(theirs);
            }
        }
    }

    /// Iterates over the last op of each source, with what tells its row from others.
    pub(crate) fn checks(&self) -> impl Iterator<Item = (Dot, u64)> {
        self.0.iter().map(|(source, row)| (Dot { source: *source, seq: row.seq }, row.check()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn dots(&self) -> impl Iterator<Item = Dot> {
        self.0.iter().map(|(source, row)| Dot { source: *source, seq: row.seq })
    }

    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = (&Source, &Row)> {
        self.0.iter()
    }

    pub(crate) fn from_rows(rows: impl IntoIterator<Item = (Source, Row)>) -> Self {
        Self(rows.into_iter().collect())
    }
}
