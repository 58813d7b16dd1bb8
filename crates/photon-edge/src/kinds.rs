//! What the records of each dataset hold, so that not every request has to ask the region first.
//! Must not be trusted where being wrong would do harm: a dataset may be forgotten and declared
//! anew with another type.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, Instant};

use photon_region::data::{DatasetName, Kind};

/// The types of datasets, each as it was a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Kinds(RwLock<BTreeMap<DatasetName, (Kind, Instant)>>);

impl Kinds {
    /// How long a type is taken for what it was.
    const GOOD_FOR: Duration = Duration::from_secs(1);
    /// Datasets that are remembered; beyond it all are forgotten, and asked for again.
    const NAMES_MAX: usize = 4_096;

    /// Returns the type of a dataset, if it was learned a moment ago.
    pub(crate) fn recent(&self, name: &DatasetName) -> Option<Kind> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let (kind, at) = known.get(name)?;
        (at.elapsed() < Self::GOOD_FOR).then_some(*kind)
    }

    /// Takes in the type of a dataset.
    pub(crate) fn learn(&self, name: DatasetName, kind: Kind) {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if Self::NAMES_MAX <= known.len() {
            known.clear();
        }
        known.insert(name, (kind, Instant::now()));
    }

    /// Forgets the type of a dataset.
    pub(crate) fn forget(&self, name: &DatasetName) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_known_until_it_is_forgotten() {
        let (kinds, name) = (Kinds::default(), DatasetName::try_from("a").unwrap());
        assert_eq!(kinds.recent(&name), None);
        kinds.learn(name.clone(), Kind::Set);
        assert_eq!(kinds.recent(&name), Some(Kind::Set));
        kinds.forget(&name);
        assert_eq!(kinds.recent(&name), None);
    }
}
