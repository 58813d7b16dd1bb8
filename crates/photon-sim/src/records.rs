//! Records of datasets in the imagined world.
//! Must not know how a region keeps them.

use photon_region::data::DatasetSpec;

use crate::site::Atlas;

/// Returns the datasets of a planet.
pub(crate) fn datasets(_atlas: &Atlas) -> Vec<DatasetSpec> {
    Vec::new()
}
