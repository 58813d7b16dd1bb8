//! The classes of messages on a link, and which message is of which.
//! Must not know how they are sent.

use photon_region::{Answer, Message, Question, Region};
use photon_state::RegionId;

/// How urgent a message is; what is more urgent always goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Questions, answers, acknowledgements and pings: small, and somebody waits for them.
    Control,
    /// Ops that have just been made.
    Interactive,
    /// Ops of long ago, or a state that stands for them, which a peer lacks because it was away.
    Bulk,
}

impl Class {
    /// All classes, the most urgent first.
    pub(crate) const ALL: [Self; 3] = [Self::Control, Self::Interactive, Self::Bulk];

    /// Returns the class of a message to a peer. Per class messages keep their order, and a stream
    /// that catches up stays in bulk until all that was sent of it is acknowledged: so its ops
    /// never overtake each other.
    pub(crate) fn of(region: &Region, peer: RegionId, message: &Message) -> Self {
        match message {
            Message::Ops(ops) => match ops.first() {
                Some(op) if region.is_catching_up(peer, &op.stream) => Self::Bulk,
                Some(_) | None => Self::Interactive,
            },
            // What clients write and read elsewhere may be large.
            Message::Ask(
                _,
                Question::Data(_) | Question::State { .. } | Question::Rights { .. },
            )
            | Message::Answer(_, Ok(Answer::Data(_) | Answer::State(..) | Answer::Rights(_))) => {
                Self::Interactive
            }
            Message::State { .. } | Message::Compare(_) => Self::Bulk,
            Message::Seen { .. }
            | Message::Ack(..)
            | Message::Took { .. }
            | Message::Ask(_, Question::Task(_))
            | Message::Answer(_, Ok(Answer::Standing(..)) | Err(_))
            | Message::Ping(_)
            | Message::Pong(_) => Self::Control,
        }
    }

    /// Returns its place in an array of all.
    pub(crate) fn index(self) -> usize {
        self as usize
    }

    /// Returns its name, for metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Interactive => "interactive",
            Self::Bulk => "bulk",
        }
    }
}
