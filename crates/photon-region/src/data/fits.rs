//! Which reply answers which command: what peers answer is checked by it.
//! Must not look at what a reply says.

use super::{DataCommand, DataReply, Written};

/// What a reply is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReplyKind {
    Dataset,
    Datasets,
    Dropped,
    Moved,
    /// Receipts: one at least, if one was asked for.
    Receipts {
        is_one: bool,
    },
    Compacting,
    Conflicts,
    Digest,
    /// What was written: so many records.
    Written(usize),
    Found,
    Page,
    Changes,
}

impl DataCommand {
    /// Returns what it is answered with.
    pub(crate) fn reply_kind(&self) -> ReplyKind {
        match self {
            Self::Declare(_) | Self::Dataset(_) | Self::MoveMaster { .. } => ReplyKind::Dataset,
            Self::Datasets => ReplyKind::Datasets,
            Self::Drop(_) => ReplyKind::Dropped,
            Self::Move { .. } => ReplyKind::Moved,
            Self::Receipts { id, .. } => ReplyKind::Receipts { is_one: id.is_some() },
            Self::Compact => ReplyKind::Compacting,
            Self::Conflicts(_) => ReplyKind::Conflicts,
            Self::Digest { .. } => ReplyKind::Digest,
            Self::Adopt { .. } => ReplyKind::Written(0),
            Self::Write { writes, .. } => ReplyKind::Written(writes.len()),
            Self::Read { .. } => ReplyKind::Found,
            Self::Scan { .. } => ReplyKind::Page,
            Self::Watch { .. } => ReplyKind::Changes,
        }
    }
}

impl DataReply {
    /// Whether it can be the reply to a command that is answered with this.
    pub(crate) fn is(&self, wanted: ReplyKind) -> bool {
        match self {
            Self::Dataset(_) => wanted == ReplyKind::Dataset,
            Self::Datasets(_) => wanted == ReplyKind::Datasets,
            Self::Dropped => wanted == ReplyKind::Dropped,
            Self::Moved(_) => wanted == ReplyKind::Moved,
            Self::Receipts { receipts, .. } => {
                wanted == (ReplyKind::Receipts { is_one: false })
                    || wanted == (ReplyKind::Receipts { is_one: true }) && !receipts.is_empty()
            }
            Self::Compacting => wanted == ReplyKind::Compacting,
            Self::Conflicts(_) => wanted == ReplyKind::Conflicts,
            Self::Digest(_) => wanted == ReplyKind::Digest,
            Self::Written(Written { records, .. }) => wanted == ReplyKind::Written(records.len()),
            Self::Found(_) => wanted == ReplyKind::Found,
            Self::Page { .. } => wanted == ReplyKind::Page,
            Self::Changes { .. } => wanted == ReplyKind::Changes,
        }
    }
}
