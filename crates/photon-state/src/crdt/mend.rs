//! Damage: what one region must mend when another one lacks what both have seen.
//! Must not know how regions find out that they differ.
//!
//! A region holds a write, or does not, according to the ops that it has seen. So a write that is
//! held by one region, which has seen all that another one has, and that the other one has seen
//! and does not hold, was lost there, or its removal was lost here. No op tells which: the write is
//! kept, beside a later one that both regions hold, because to lose what was acknowledged is worse
//! than to bring back what was removed. Only where each region holds what the other lacks, the
//! earlier write gives way: most likely the later one had replaced it.

use std::collections::BTreeMap;

use super::{Field, FieldChange, Fields, Value, Version};
use crate::{Dot, Hlc, Source};

/// Which writes are in force in a record, without what they wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outline {
    /// Those of named fields, with their times: by field and dot.
    Fields(Vec<(Field, Dot, Hlc)>),
    /// The last op of each source that is in a sum, with what tells its part from others: by
    /// source.
    Sums(Vec<(Dot, u64)>),
}

/// What to do about a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mending {
    /// Write these changes, as of a time: the time of the writes that they restore.
    Write(Vec<(Hlc, Vec<FieldChange>)>),
    /// Send the value: sums are merged.
    Send,
    /// Nothing.
    Nothing,
}

impl Outline {
    /// Whether it is in order, and says nothing twice.
    #[must_use]
    pub fn is_sorted(&self) -> bool {
        match self {
            Self::Fields(all) => all.is_sorted_by(|(a, x, _), (b, y, _)| (a, x) < (b, y)),
            Self::Sums(all) => all.is_sorted_by(|(a, _), (b, _)| a.source < b.source),
        }
    }
}

impl Value {
    /// Returns which writes are in force.
    #[must_use]
    pub fn outline(&self) -> Outline {
        match self {
            Self::Fields(fields) => {
                let version = |(field, it): &(Field, Version)| (field.clone(), it.dot, it.at);
                Outline::Fields(fields.versions().map(version).collect())
            }
            Self::Counter(counter) => Outline::Sums(counter.checks().collect()),
            Self::Escrow(escrow) => Outline::Sums(escrow.checks().collect()),
        }
    }

    /// Takes over what another region, which cannot be wrong about itself, holds of ops that are
    /// `known` here, where it is missing here. Of others nothing is taken: they will come.
    pub fn correct(&mut self, other: &Self, itself: Source, known: &dyn Fn(Dot) -> bool) {
        match (self, other) {
            (Self::Counter(here), Self::Counter(there)) => here.correct(there, itself, known),
            (Self::Escrow(here), Self::Escrow(there)) => here.correct(there, itself, known),
            (Self::Fields(_) | Self::Counter(_) | Self::Escrow(_), _) => {}
        }
    }

    /// Returns what to do about a record whose outline in another region is known, where all that
    /// the other one has seen is seen here. `theirs` tells what it has seen, `here` who asks.
    #[must_use]
    pub fn mend(&self, other: &Outline, theirs: &dyn Fn(Dot) -> bool, here: Source) -> Mending {
        match (self, other) {
            (Self::Fields(fields), Outline::Fields(there)) => fields.mend(there, theirs),
            (Self::Counter(counter), Outline::Sums(there)) => {
                send_if(lacks(counter.checks(), there, theirs, here))
            }
            (Self::Escrow(escrow), Outline::Sums(there)) => {
                send_if(lacks(escrow.checks(), there, theirs, here))
            }
            (Self::Fields(_) | Self::Counter(_) | Self::Escrow(_), _) => Mending::Nothing,
        }
    }
}

fn send_if(is_lacking: bool) -> Mending {
    if is_lacking { Mending::Send } else { Mending::Nothing }
}

/// Whether a sum lacks ops that were seen where it is, or may be wrong about those of `here`: while
/// more are on their way to it, what is there cannot be told from damage.
fn lacks(
    mut parts: impl Iterator<Item = (Dot, u64)>,
    there: &[(Dot, u64)],
    theirs: &dyn Fn(Dot) -> bool,
    here: Source,
) -> bool {
    parts.any(|(dot, check)| {
        let at = there.binary_search_by_key(&dot.source, |(it, _)| it.source);
        let known = at.ok().map(|at| there[at]);
        let is_behind = known.is_none_or(|(it, _)| it.seq < dot.seq);
        let is_wrong = known.is_none_or(|(it, other)| (it.seq, other) != (dot.seq, check));
        let is_later = known.is_some_and(|(it, _)| dot.seq < it.seq);
        (theirs(dot) && is_behind) || (dot.source == here && is_wrong && !is_later)
    })
}

impl Fields {
    fn mend(&self, there: &[(Field, Dot, Hlc)], theirs: &dyn Fn(Dot) -> bool) -> Mending {
        let mut changes: BTreeMap<Hlc, Vec<FieldChange>> = BTreeMap::new();
        let mut rest = there;
        for (field, version) in self.versions() {
            // Both are in the order of their fields.
            rest = &rest[rest.partition_point(|(it, ..)| it < field)..];
            let same = rest.partition_point(|(it, ..)| it == field);
            let of_field = || rest[..same].iter();
            if !theirs(version.dot) || of_field().any(|(_, dot, _)| *dot == version.dot) {
                continue;
            }
            let holds = |dot: &Dot| self.of(field).iter().any(|(_, it)| it.dot == *dot);
            let is_later =
                |(_, dot, at): &&(Field, Dot, Hlc)| (version.at, version.dot) < (*at, *dot);
            let (later, older): (Vec<_>, Vec<_>) = of_field().partition(is_later);
            if later.iter().any(|(_, dot, _)| !holds(dot)) {
                continue; // The other region restores what is later, which most likely replaced it.
            }
            let lost = older.iter().map(|(_, dot, _)| *dot).filter(|dot| !holds(dot));
            let change = FieldChange {
                field: field.clone(),
                replaces: std::iter::once(version.dot).chain(lost).collect(),
                written: Some(version.written.clone()),
            };
            changes.entry(version.at).or_default().push(change);
        }
        if changes.is_empty() {
            return Mending::Nothing;
        }
        Mending::Write(changes.into_iter().collect())
    }
}
