//! The classes of messages on a link, and which message is of which.
//! Must not know how they are sent.

use photon_region::AtHome;
use photon_region::data::DataCommand;
use photon_region::{Answer, Message, Question, Region};
use photon_state::RegionId;

/// How urgent a message is; what is more urgent always goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Questions, answers, acknowledgements and pings: small, and somebody waits for them.
    Control,
    /// Ops that have just been made.
    Interactive,
    /// Ops of long ago, or a state that stands for them, which a peer lacks because it was away;
    /// and copies of records that move.
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
            // The copy of a record that moves need not hurry, and there may be many large ones.
            Message::Ask(_, Question::Data(it)) if matches!(**it, DataCommand::Adopt { .. }) => {
                Self::Bulk
            }
            // What is published may be large, too.
            Message::Ask(
                _,
                Question::Task(AtHome::Topic { .. }, _) | Question::Pass(AtHome::Topic { .. }, _),
            ) => Self::Interactive,
            // What clients write and read elsewhere may be large.
            Message::Ask(
                _,
                Question::Data(_)
                | Question::State { .. }
                | Question::Rights { .. }
                | Question::Show(_)
                | Question::Webhooks(_)
                | Question::Follow { .. },
            )
            | Message::Answer(_, Ok(Answer::Data(_) | Answer::State(..) | Answer::Rights(_)))
            | Message::Answer(
                _,
                Ok(Answer::Task(_) | Answer::Webhooks(_) | Answer::Events { .. }),
            ) => Self::Interactive,
            Message::State { .. } | Message::Compare(_) => Self::Bulk,
            Message::Seen { .. }
            | Message::Ack(..)
            | Message::Took { .. }
            | Message::Ask(_, Question::Task(..) | Question::Pass(..))
            | Message::Ask(_, Question::Govern(_) | Question::Had { .. })
            | Message::Beat(_)
            | Message::Agree(_)
            | Message::Answer(
                _,
                Ok(Answer::Standing(..) | Answer::Posted(..) | Answer::Planet(_)) | Err(_),
            )
            | Message::Ping(_)
            | Message::Pong { .. } => Self::Control,
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use photon_region::data::{Adopt, DatasetName, MoveId, Moved, ReadHow};
    use photon_region::{Config, Limits, Place, Topology};
    use photon_state::{PlacementId, Seen};

    use super::*;

    #[test]
    fn the_copy_of_a_record_that_moves_lets_what_clients_ask_pass() {
        let [here, peer] = ["here", "peer"].map(|it| RegionId::try_from(it).unwrap());
        let place = Place { latitude: 0.0, longitude: 0.0 };
        let region = Region::new(Config {
            region: here,
            incarnation: 1,
            regions: BTreeMap::from([(here, place), (peer, place)]),
            placements: BTreeMap::new(),
            datasets: vec![],
            voters: std::collections::BTreeSet::new(),
            topology: Topology::Mesh,
            weights: photon_region::Weights::default(),
            limits: Limits::default(),
            seed: 1,
        });
        let class = |command| {
            let question = Question::Data(Box::new(command));
            Class::of(&region, peer, &Message::Ask(1, question))
        };
        let (dataset, id) = (DatasetName::try_from("notes").unwrap(), MoveId::from_bytes([1; 16]));
        let (to, content, needs) = (PlacementId::global(), Moved::Over, Seen::default());
        let key = bytes::Bytes::from_static(b"k");
        let (of, name) = (dataset.clone(), key.clone());
        let adopt = Box::new(Adopt { id, round: 1, dataset, key, to, content, needs });
        let copy = DataCommand::Adopt { adopt, wait: Duration::ZERO };
        assert_eq!(class(copy), Class::Bulk);
        let read = DataCommand::Read { dataset: of, key: name, how: ReadHow::default() };
        assert_eq!(class(read), Class::Interactive);
    }
}
