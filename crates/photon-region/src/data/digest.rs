//! What the records of a range amount to, so that regions can be compared without their contents.
//! Must not change anything, nor decide which region is right.

use std::ops::Bound;

use bytes::Bytes;
use photon_state::codec::Writer;
use photon_state::{PlacementId, Seen, StableHash};

use super::declare::reply;
use super::write::check_bound;
use super::{DATA, DataCommand, DataReply, RangeDigest, data_key};
use crate::refusal::Refusal;
use crate::region::Region;
use crate::verdict::Verdict;

impl Region {
    /// Records in one digest.
    const DIGESTED_MAX: usize = 4_096;
    /// Bytes of records in one digest, short of one that is larger.
    const DIGESTED_BYTES_MAX: usize = 8 << 20;

    pub(super) fn digest_records(&self, command: &DataCommand) -> Result<Verdict, Refusal> {
        let DataCommand::Digest { dataset, placement, after, upto, limit } = command else {
            unreachable!("the caller has matched")
        };
        let spec = self.dataset(dataset)?;
        self.check_placement(*placement)?;
        check_bound(after.as_deref())?;
        let name_bytes = data_key(dataset, b"").as_bytes().len();
        let start = data_key(dataset, after.as_deref().unwrap_or(b""));
        let start = if after.is_some() { Bound::Excluded(&start) } else { Bound::Included(&start) };
        let begin = data_key(dataset, b"");
        let shelf = (*placement, DATA, spec.kind.shape());
        let limit = (*limit).clamp(1, Self::DIGESTED_MAX);
        let within = self.store.states(shelf, start).take_while(|it| {
            let own = it.key().strip_prefix(begin.as_bytes());
            own.is_some_and(|it| upto.as_ref().is_none_or(|upto| it <= &upto[..]))
        });
        let (mut hash, mut records, mut last) = (StableHash::default(), 0, None);
        let mut writer = Writer::default();
        let (mut is_cut, mut bytes) = (false, 0);
        for held in within {
            let value = held.value();
            bytes += value.weight();
            if records == limit || (0 < records && Self::DIGESTED_BYTES_MAX < bytes) {
                is_cut = true;
                break;
            }
            writer.clear();
            writer.value(&value);
            hash = hash.bytes(held.key()).bytes(writer.written());
            records += 1;
            last = Some(held);
        }
        let cut_at = last.filter(|_| is_cut);
        let cut_at = cut_at.map(|it| Bytes::copy_from_slice(&it.key()[name_bytes..]));
        let (digest, seen) = (hash.finish(), self.digest_seen(*placement));
        let digest = RangeDigest { records, digest, cut_at, seen };
        Ok(reply(self.appended(), DataReply::Digest(digest)))
    }

    /// Returns what all that was seen of a placement amounts to.
    fn digest_seen(&self, placement: PlacementId) -> u64 {
        let mut known = Seen::default();
        self.covers.all().iter().for_each(|it| known.join(&it.seen));
        known.join(self.store.seen());
        let own = known.iter().filter(|(it, _)| it.placement == placement);
        let hash = own.fold(StableHash::default(), |hash, (stream, seq)| {
            let hash = hash.bytes(stream.origin.as_str().as_bytes());
            hash.number(stream.incarnation).number(seq)
        });
        // What covers stand for is here in part only: such a region is like no other.
        hash.number(self.covers.all().len() as u64).finish()
    }
}
