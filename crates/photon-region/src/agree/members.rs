//! Whether the regions that are configured are those that the planet of this log was founded with.
//! Must not change who is a member.

use std::collections::BTreeSet;

use photon_state::RegionId;

use crate::charter::Charter;
use crate::region::Region;

/// The regions that are configured are not those of the planet that the log belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherRegions {
    /// The regions of the planet.
    pub agreed: BTreeSet<RegionId>,
    /// Those that are configured.
    pub configured: BTreeSet<RegionId>,
}

impl Region {
    /// Returns how the configuration contradicts what the regions of this log's planet have agreed
    /// on; nothing for a log that has not become part of a planet. Only before [`Region::start`].
    #[must_use]
    pub fn was_founded_otherwise(&self) -> Option<OtherRegions> {
        self.agree.kept().id?;
        let charter = Charter::decode(&self.agree.kept().snapshot.data).ok()?;
        let agreed: BTreeSet<RegionId> = charter.members().map(|(region, _)| region).collect();
        let configured: BTreeSet<RegionId> = self.config.regions.keys().copied().collect();
        (agreed != configured).then_some(OtherRegions { agreed, configured })
    }

    /// Whether the regions that agree know this one: before they have met, or if they were founded
    /// without it, nobody would ever decide about a task that it accepts.
    pub(crate) fn is_admitted(&self) -> bool {
        self.agree.group.is_some() && self.charter.member(self.config.region).is_some()
    }
}
