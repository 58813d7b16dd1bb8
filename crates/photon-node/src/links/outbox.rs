//! What waits to be sent to one peer over one connection.
//! Must not send anything.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard};

use photon_region::{Message, Question};
use photon_state::Op;
use tokio::sync::Notify;

use super::class::Class;
use crate::lanes::Lanes;

/// The most bytes of a class that wait; at it messages are dropped, because a message may be lost
/// and what matters is said again. One message finds room in an empty queue, however long it is.
fn bytes_max(class: Class) -> usize {
    match class {
        Class::Control | Class::Bulk => 8 << 20,
        Class::Interactive => 16 << 20,
    }
}

/// A queue for each class, from the driver to the task that writes to a connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queues: Mutex<Queues>,
    filled: Notify,
    counters: Arc<Lanes>,
}

#[derive(Debug, Default)]
struct Queues {
    of: [Queue; 3],
    is_closed: bool,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
}

impl Queue {
    /// Whether a message waits already that says all of this one.
    fn has(&self, message: &Message) -> bool {
        if let Message::State { .. } = message {
            return self.messages.contains(message);
        }
        let Some((first, last)) = ends(message) else { return false };
        self.messages.iter().filter_map(ends).any(|(from, until)| {
            from.stream == first.stream && from.seq <= first.seq && last.seq <= until.seq
        })
    }
}

/// Returns the first and the last op of a message, which are of one stream.
fn ends(message: &Message) -> Option<(&Op, &Op)> {
    match message {
        Message::Ops(ops) => Some((ops.first()?, ops.last()?)),
        Message::Seen { .. }
        | Message::Ack(..)
        | Message::Ask(..)
        | Message::Answer(..)
        | Message::State { .. }
        | Message::Took { .. }
        | Message::Compare(_)
        | Message::Beat(_)
        | Message::Agree(_)
        | Message::Ping(_)
        | Message::Pong { .. } => None,
    }
}

/// A message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped;

/// Returns about how many bytes a message takes.
fn weight(message: &Message) -> usize {
    match message {
        Message::Ops(ops) => ops.iter().map(|op| op.weight()).sum(),
        Message::Ask(_, Question::Data(command)) => command.weight(),
        Message::Ask(_, Question::State { key, .. } | Question::Rights { key, .. }) => key.len(),
        Message::Ask(_, Question::Task(ask, _) | Question::Pass(ask, _)) => match ask {
            photon_region::AtHome::Note { notes, .. } => {
                notes.iter().map(|it| 64 + it.weight()).sum()
            }
            photon_region::AtHome::Finish { message, .. }
            | photon_region::AtHome::Fail { message, .. }
            | photon_region::AtHome::Pause { message, .. }
            | photon_region::AtHome::Cancel { message, .. } => {
                message.as_ref().map_or(0, |it| it.0.len())
            }
            photon_region::AtHome::Answer { message, .. } => message.0.len(),
            photon_region::AtHome::SetWebhook { id, target, credentials, .. } => {
                id.len() + target.0.len() + credentials.0.len()
            }
            photon_region::AtHome::RemoveWebhook { id, .. } => id.len(),
            photon_region::AtHome::Topic { ask, .. } => match &**ask {
                photon_region::TopicAsk::Publish { post, .. } => post.weight(),
                photon_region::TopicAsk::Purge { .. } => 0,
            },
            photon_region::AtHome::Submit { spec, .. } => spec.message.0.len(),
            photon_region::AtHome::Heartbeat(_) | photon_region::AtHome::Decline(_) => 0,
        },
        Message::Seen { seen, .. } => 64 * seen.iter().count(),
        Message::Answer(_, Ok(answer)) => answer.weight(),
        Message::State { part, .. } => part.len(),
        Message::Compare(body) | Message::Agree(body) => body.len(),
        Message::Ask(_, Question::Had { .. } | Question::Govern(_))
        | Message::Ask(_, Question::Show(_) | Question::Webhooks(_) | Question::Follow { .. })
        | Message::Took { .. }
        | Message::Beat(_) => 0,
        Message::Ack(..) | Message::Answer(_, Err(_)) | Message::Ping(_) | Message::Pong { .. } => {
            0
        }
    }
    .saturating_add(64)
}

impl Outbox {
    /// Makes an empty outbox that counts.
    pub(crate) fn new(counters: Arc<Lanes>) -> Self {
        Self { counters, ..Self::default() }
    }

    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().expect("no holder of the queues panics")
    }

    /// Puts a message into the queue of its class.
    pub(crate) fn push(&self, class: Class, message: Message) -> Result<(), Dropped> {
        let weight = weight(&message);
        let mut queues = self.queues();
        let is_closed = queues.is_closed;
        let queue = &mut queues.of[class.index()];
        let is_full = 0 < queue.bytes && bytes_max(class) < queue.bytes + weight;
        if is_closed || is_full {
            return Err(Dropped);
        }
        // A region that waits in vain for a slow link to take its bulk says it again and again.
        if class == Class::Bulk && queue.has(&message) {
            return Ok(());
        }
        queue.bytes += weight;
        queue.messages.push_back(message);
        self.counters.of(class).queue_bytes.fetch_add(weight as u64, Ordering::Relaxed);
        drop(queues);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the next message of a class, if there is one.
    pub(super) fn pop(&self, class: Class) -> Option<Message> {
        let mut queues = self.queues();
        let queue = &mut queues.of[class.index()];
        let message = queue.messages.pop_front()?;
        let weight = weight(&message);
        queue.bytes -= weight;
        self.counters.of(class).queue_bytes.fetch_sub(weight as u64, Ordering::Relaxed);
        Some(message)
    }

    /// Waits until a message was put in, perhaps before the call.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Whether there will never be a message again.
    pub(super) fn is_closed(&self) -> bool {
        self.queues().is_closed
    }

    /// Ends the connection: another one has taken its place, or the driver has gone.
    pub(crate) fn close(&self) {
        let mut queues = self.queues();
        let old = std::mem::replace(&mut *queues, Queues { is_closed: true, ..Queues::default() });
        for class in Class::ALL {
            let bytes = old.of[class.index()].bytes as u64;
            self.counters.of(class).queue_bytes.fetch_sub(bytes, Ordering::Relaxed);
        }
        drop(queues);
        self.filled.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use photon_state::{Change, Dataset, Hlc, Key, PlacementId, RegionId, StreamId};

    use super::*;

    #[test]
    fn messages_of_a_class_come_in_order_until_its_bound_and_none_after_the_close() {
        let outbox = Outbox::default();
        let push = |class, number| outbox.push(class, Message::Ping(number));
        let pushed = (0..).take_while(|number| push(Class::Control, *number).is_ok()).count();
        assert_eq!(pushed, bytes_max(Class::Control) / 64);
        assert_eq!(push(Class::Bulk, 1), Ok(()));
        assert_eq!(outbox.pop(Class::Control), Some(Message::Ping(0)));
        assert_eq!(push(Class::Control, 9), Ok(()));
        assert_eq!(push(Class::Control, 9), Err(Dropped));
        assert_eq!(outbox.pop(Class::Control), Some(Message::Ping(1)));
        assert_eq!(outbox.pop(Class::Bulk), Some(Message::Ping(1)));
        assert_eq!(outbox.pop(Class::Bulk), None);
        outbox.close();
        assert_eq!(outbox.pop(Class::Control), None);
        assert!(outbox.is_closed());
        assert_eq!(push(Class::Control, 9), Err(Dropped));
        assert_eq!(outbox.counters.of(Class::Control).queue_bytes.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn bulk_that_waits_already_is_not_queued_twice() {
        let ops = |seqs: std::ops::RangeInclusive<u64>| {
            Message::Ops(seqs.map(|seq| Arc::new(op(seq))).collect())
        };
        let outbox = Outbox::default();
        for seqs in [1..=4, 5..=8, 1..=4, 6..=7, 7..=9] {
            outbox.push(Class::Bulk, ops(seqs)).unwrap();
        }
        let queued: Vec<_> = std::iter::from_fn(|| outbox.pop(Class::Bulk)).collect();
        assert_eq!(queued, [ops(1..=4), ops(5..=8), ops(7..=9)]);
    }

    fn op(seq: u64) -> Op {
        let origin = RegionId::try_from("a").unwrap();
        let stream = StreamId { origin, placement: PlacementId::global(), incarnation: 1 };
        let (key, change) = (Key::new(b"key"), Change::Delete);
        Op { stream, seq, at: Hlc::default(), dataset: Dataset(1), key, change }
    }
}
