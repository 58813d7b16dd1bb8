//! What waits to be sent to one peer over one connection.
//! Must not send anything.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard};

use photon_region::{Message, Question};
use tokio::sync::Notify;

/// The most bytes that wait; at it messages are dropped, because a message may be lost.
pub(crate) const OUTBOX_BYTES_MAX: usize = 16 << 20;

/// A queue from the driver to the task that writes to a connection.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    messages: VecDeque<Message>,
    bytes: usize,
    is_closed: bool,
}

/// A message was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped;

/// Returns about how many bytes a message takes.
fn weight(message: &Message) -> usize {
    match message {
        Message::Ops(ops) => ops.iter().map(|op| op.weight()).sum(),
        Message::Ask(_, Question::Data(command)) => command.weight(),
        Message::Ask(_, Question::State { key, .. }) => key.len(),
        Message::Ask(_, Question::Task(ask)) => match ask {
            photon_region::AtHome::Note { notes, .. } => notes.iter().map(note_weight).sum(),
            photon_region::AtHome::Finish { message, .. }
            | photon_region::AtHome::Cancel { message, .. } => {
                message.as_ref().map_or(0, |it| it.0.len())
            }
            photon_region::AtHome::Heartbeat(_) | photon_region::AtHome::Decline(_) => 0,
        },
        Message::Seen { seen, .. } => 64 * seen.iter().count(),
        Message::Answer(_, Ok(answer)) => answer.weight(),
        Message::State { part, .. } => part.len(),
        Message::Took { .. } => 0,
        Message::Ack(..) | Message::Answer(_, Err(_)) | Message::Ping(_) | Message::Pong(_) => 0,
    }
    .saturating_add(64)
}

fn note_weight(note: &photon_region::Note) -> usize {
    match note {
        photon_region::Note::Status(json) => json.0.len(),
        photon_region::Note::Artifact(chunk) => 64 + chunk.parts.0.len(),
    }
}

impl Outbox {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no holder of the queue panics")
    }

    /// Puts a message into the queue.
    pub(crate) fn push(&self, message: Message) -> Result<(), Dropped> {
        let weight = weight(&message);
        let mut queue = self.queue();
        if queue.is_closed || OUTBOX_BYTES_MAX < queue.bytes + weight {
            return Err(Dropped);
        }
        queue.bytes += weight;
        queue.messages.push_back(message);
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the next message, if there is one.
    pub(super) fn pop(&self) -> Option<Message> {
        let mut queue = self.queue();
        let message = queue.messages.pop_front()?;
        queue.bytes -= weight(&message);
        Some(message)
    }

    /// Waits until there is a message; returns whether there will ever be one.
    pub(super) async fn filled(&self) -> Result<(), Dropped> {
        loop {
            {
                let queue = self.queue();
                if queue.is_closed {
                    return Err(Dropped);
                }
                if !queue.messages.is_empty() {
                    return Ok(());
                }
            }
            self.filled.notified().await;
        }
    }

    /// Ends the connection: another one has taken its place, or the driver has gone.
    pub(crate) fn close(&self) {
        *self.queue() = Queue { is_closed: true, ..Queue::default() };
        self.filled.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_come_in_order_until_the_bound_and_none_after_the_close() {
        let outbox = Outbox::default();
        let pushed = (0..).take_while(|number| outbox.push(Message::Ping(*number)).is_ok()).count();
        assert_eq!(pushed, OUTBOX_BYTES_MAX / 64);
        assert_eq!(outbox.filled().await, Ok(()));
        assert_eq!(outbox.pop(), Some(Message::Ping(0)));
        assert_eq!(outbox.push(Message::Ping(9)), Ok(()));
        assert_eq!(outbox.push(Message::Ping(9)), Err(Dropped));
        assert_eq!(outbox.pop(), Some(Message::Ping(1)));
        outbox.close();
        assert_eq!(outbox.pop(), None);
        assert_eq!(outbox.filled().await, Err(Dropped));
        assert_eq!(outbox.push(Message::Ping(9)), Err(Dropped));
    }
}
