//! What is asked of regions, by those who ask.
//! Must not ask anything.

use photon_region::TaskId;

use crate::movers::Deed;
use crate::records::Step;
use crate::tellers;
use crate::topics;
use crate::worker::Asking;
use crate::workload::Body;

/// What a command was about.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Submit(u32, Body),
    Look,
    LookAround,
    /// For tasks that failed.
    Dead,
    Redrive(u32),
    Follow(u32),
    List(u32),
    Cancel(TaskId),
    Answer(TaskId, u64, u32),
    Enlist(u32),
    Retire,
    Poll(u32),
    Work(Asking),
    Scribe(u32, Step),
    Mover(u32, Deed),
    Operate,
    Tell(tellers::Deed),
    Topic(topics::Deed),
}

impl Asked {
    /// Whether a reply must come even if nothing happens.
    pub(crate) fn must_be_answered(&self) -> bool {
        match self {
            Self::Poll(_) | Self::Follow(_) => false,
            Self::Tell(tellers::Deed::Take(_)) | Self::Topic(topics::Deed::Read(_)) => false,
            Self::Submit(..)
            | Self::Look
            | Self::LookAround
            | Self::Dead
            | Self::Redrive(_)
            | Self::List(_)
            | Self::Cancel(_)
            | Self::Answer(..)
            | Self::Enlist(_)
            | Self::Retire
            | Self::Operate
            | Self::Tell(_)
            | Self::Topic(_)
            | Self::Work(_)
            | Self::Scribe(..)
            | Self::Mover(..) => true,
        }
    }
}
