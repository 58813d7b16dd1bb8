//! Named fields, each with the writes that no other write has replaced: the one structure behind
//! registers (one field), sets (fields without content), maps and documents.
//! Must not choose between concurrent writes: that is the reader's policy.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::{Arrival, Met};
use crate::{Dot, Hlc};

/// The name of a field; a register has one, which is empty.
pub type Field = Bytes;

/// A write that is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The op that wrote it.
    pub dot: Dot,
    /// When it was written.
    pub at: Hlc,
    /// What was written.
    pub written: Written,
}

/// What is written to a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The content.
    pub bytes: Bytes,
    /// When it ceases to be, in milliseconds since 1970.
    pub expires_ms: Option<u64>,
}

impl Written {
    /// Whether it has ceased to be.
    #[must_use]
    pub fn is_over(&self, wall_ms: u64) -> bool {
        self.expires_ms.is_some_and(|at| at <= wall_ms)
    }

    /// Returns a copy that keeps nothing else in memory: what came in one message, or lay in one
    /// file, is often a piece of it.
    fn detached(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), ..*self }
    }
}

/// A change of one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The field.
    pub field: Field,
    /// The writes that its author had seen, all of which it ends.
    pub replaces: Vec<Dot>,
    /// What is written, unless the field is removed.
    pub written: Option<Written>,
}

impl FieldChange {
    pub(super) fn weight(&self) -> usize {
        let written = self.written.as_ref().map_or(0, |it| it.bytes.len() + 8);
        self.field.len() + written + 24 * self.replaces.len()
    }
}

/// Fields with their writes. A write that nobody removed survives every removal that had not
/// seen it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    /// By field and dot.
    versions: Vec<(Field, Version)>,
    /// Removed before they arrived; each leaves when it does.
    #[expect(clippy::box_collection, reason = "nearly always absent: a pointer is enough")]
    gone: Option<Box<BTreeSet<(Dot, Field)>>>,
    /// Bytes of the writes in force.
    bytes: usize,
}

/// Returns about how many bytes a write takes in memory.
fn weight(field: &Field, version: &Version) -> usize {
    128 + field.len() + version.written.bytes.len()
}

impl Fields {
    /// Iterates over the writes in force by field and dot.
    #[must_use]
    pub fn versions(&self) -> impl ExactSizeIterator<Item = &(Field, Version)> {
        self.versions.iter()
    }

    /// Returns the writes in force of one field, by dot.
    #[must_use]
    pub fn of(&self, field: &[u8]) -> &[(Field, Version)] {
        let from = self.versions.partition_point(|(it, _)| it[..] < *field);
        let len = self.versions[from..].partition_point(|(it, _)| it[..] == *field);
        &self.versions[from..from + len]
    }

    /// Iterates over the fields, each with its writes in force.
    pub fn iter(&self) -> impl Iterator<Item = (&Field, &[(Field, Version)])> {
        self.versions.chunk_by(|a, b| a.0 == b.0).map(|it| (&it[0].0, it))
    }

    /// Returns how many fields there are, counting one with several writes several times.
    #[must_use]
    pub fn count(&self) -> usize {
        self.versions.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether no write is in force.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.versions.is_empty()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.versions.is_empty() && self.gone.is_none()
    }

    pub(super) fn apply(&mut self, arrival: Arrival<'_>, changes: &[FieldChange]) -> Met {
        let dot = arrival.dot();
        let mut met = Met::Nothing;
        for FieldChange { field, replaces, written } in changes {
            for replaced in replaces {
                let is_here = self.remove(field, *replaced);
                if !is_here && !arrival.has_seen(*replaced) {
                    self.gone
                        .get_or_insert_default()
                        .insert((*replaced, Field::copy_from_slice(field)));
                }
            }
            let Some(written) = written else { continue };
            // Who writes the same contradicts nobody.
            let others = self.of(field).iter().filter(|(_, it)| it.written.bytes != written.bytes);
            if let Some((_, other)) = others.max_by_key(|(_, it)| (it.at, it.dot)) {
                met = Met::Concurrent { other: other.dot, at: other.at };
            }
            if !self.was_removed(field, dot) {
                let version = Version { dot, at: arrival.at, written: written.detached() };
                self.insert(Field::copy_from_slice(field), version);
            }
        }
        self.forget_gone(|(it, _)| *it == dot);
        met
    }

    fn position(&self, field: &[u8], dot: Dot) -> Result<usize, usize> {
        self.versions.binary_search_by(|(it, version)| (&it[..], version.dot).cmp(&(field, dot)))
    }

    /// Whether a write is in force.
    pub(super) fn holds(&self, field: &[u8], dot: Dot) -> bool {
        self.position(field, dot).is_ok()
    }

    pub(super) fn insert(&mut self, field: Field, version: Version) {
        if let Err(at) = self.position(&field, version.dot) {
            self.bytes += weight(&field, &version);
            self.versions.reserve_exact(usize::from(self.versions.is_empty()));
            self.versions.insert(at, (field, version));
        }
    }

    fn remove(&mut self, field: &[u8], dot: Dot) -> bool {
        let found = self.position(field, dot);
        if let Ok(at) = found {
            let (field, version) = self.versions.remove(at);
            self.bytes -= weight(&field, &version);
        }
        found.is_ok()
    }

    pub(super) fn was_removed(&self, field: &Field, dot: Dot) -> bool {
        self.gone.as_ref().is_some_and(|gone| gone.contains(&(dot, field.clone())))
    }

    fn forget_gone(&mut self, is_over: impl Fn(&(Dot, Field)) -> bool) {
        if let Some(gone) = &mut self.gone {
            gone.retain(|it| !is_over(it));
            self.gone.take_if(|gone| gone.is_empty());
        }
    }

    pub(super) fn merge(
        &mut self,
        ours: &dyn Fn(Dot) -> bool,
        other: &Self,
        theirs: &dyn Fn(Dot) -> bool,
    ) {
        // What the other side has seen and does not hold was removed, and so on this side.
        let is_dead_there = |field: &Field, dot| theirs(dot) && other.position(field, dot).is_err();
        let gone_there = |field: &Field, dot| other.was_removed(field, dot);
        self.versions
            .retain(|(field, it)| !is_dead_there(field, it.dot) && !gone_there(field, it.dot));
        self.bytes = self.versions.iter().map(|(field, it)| weight(field, it)).sum();
        for (field, version) in &other.versions {
            if !ours(version.dot) && !self.was_removed(field, version.dot) {
                self.insert(field.clone(), version.clone());
            }
        }
        if let Some(gone) = &other.gone {
            self.gone.get_or_insert_default().extend(gone.iter().cloned());
        }
        self.forget_gone(|(dot, _)| ours(*dot) || theirs(*dot));
    }

    /// Copies all contents, so that they keep nothing else in memory.
    pub(super) fn detach(&mut self) {
        for (field, version) in &mut self.versions {
            *field = Field::copy_from_slice(field);
            version.written = version.written.detached();
        }
    }

    /// Waits no longer for a write that was removed before it came, in whatever field.
    pub(crate) fn await_no_more(&mut self, dot: Dot) {
        if let Some(gone) = &mut self.gone {
            gone.retain(|(it, _)| *it != dot);
        }
        self.gone.take_if(|it| it.is_empty());
    }

    pub(crate) fn gone(&self) -> impl Iterator<Item = &(Dot, Field)> {
        self.gone.iter().flat_map(|gone| gone.iter())
    }

    /// Puts the structure together from its parts, or says that they do not fit.
    pub(crate) fn from_parts(
        versions: Vec<(Field, Version)>,
        gone: BTreeSet<(Dot, Field)>,
    ) -> Option<Self> {
        let is_before = |(a, x): &(Field, Version), (b, y): &(Field, Version)| {
            a.cmp(b).then_with(|| x.dot.cmp(&y.dot)).is_lt()
        };
        let is_sorted = versions.is_sorted_by(is_before);
        let gone = (!gone.is_empty()).then(|| Box::new(gone));
        let bytes = versions.iter().map(|(field, it)| weight(field, it)).sum();
        is_sorted.then_some(Self { versions, gone, bytes })
    }
}
