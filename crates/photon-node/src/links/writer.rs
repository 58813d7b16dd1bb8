//! Writes to a connection what waits in its outbox: the most urgent first, fragment by fragment.
//! Must not drop anything but what is too long for a link.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use photon_region::encode_message;
use photon_state::RegionId;
use tokio::io::AsyncWriteExt as _;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::error;

use super::Shared;
use super::bucket::Bucket;
use super::class::Class;
use super::connection::{LinkEnd, SILENCE_MAX};
use super::frame::BODY_BYTES_MAX;
use super::hello::Greeted;
use super::outbox::Outbox;
use super::packing::Packer;
use super::wire::ToWire;
use crate::lanes::Lanes;

/// What is written at once: about as much as a message of control may have to wait for.
const CHUNK_BYTES: usize = 16 << 10;

/// A message that is being sent, and where its next fragment begins.
struct Sending {
    message: Bytes,
    at: usize,
}

/// What is to be done next.
enum Next {
    Write,
    WaitForMessage,
    WaitUntil(Instant),
}

/// The writing half of a link.
pub(super) struct Writer<'a> {
    peer: RegionId,
    outbox: &'a Outbox,
    shared: &'a Shared,
    to: ToWire,
    packer: Packer,
    sending: [Option<Sending>; 3],
    chunk: Vec<u8>,
    lanes: Arc<Lanes>,
    all: Bucket,
    bulk: Bucket,
}

impl<'a> Writer<'a> {
    pub(super) fn new(
        greeted: Greeted,
        outbox: &'a Outbox,
        shared: &'a Shared,
        to: ToWire,
    ) -> Self {
        let Greeted { peer, .. } = greeted; // One version is spoken.
        let now = Instant::now();
        Self {
            peer,
            outbox,
            shared,
            to,
            packer: Packer::new(shared.squeezing),
            sending: [const { None }; 3],
            chunk: Vec::with_capacity(2 * CHUNK_BYTES),
            lanes: shared.counters.peers.of(peer),
            all: Bucket::new(shared.rates.bytes_per_second_max, now),
            bulk: Bucket::new(shared.rates.bulk_bytes_per_second_max, now),
        }
    }

    /// Writes until the connection breaks or its outbox is closed.
    pub(super) async fn write_all(mut self) -> LinkEnd {
        while !self.outbox.is_closed() {
            match self.fill(Instant::now()) {
                Err(error) => return error.into(),
                Ok(Next::WaitForMessage) => self.outbox.filled().await,
                Ok(Next::WaitUntil(at)) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.outbox.filled() => {}
                },
                Ok(Next::Write) => {
                    let write = async {
                        self.to.write_all(&self.chunk).await?;
                        self.to.flush().await
                    };
                    match timeout(SILENCE_MAX, write).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => return error.into(),
                        Err(_) => return LinkEnd::Deaf,
                    }
                    let bytes = self.chunk.len() as u64;
                    self.shared.counters.sent_bytes.fetch_add(bytes, Ordering::Relaxed);
                    // A link that takes all that it is given must not keep others waiting.
                    yield_now().await;
                }
            }
        }
        LinkEnd::Replaced
    }

    /// Fills the chunk with what may be sent now.
    fn fill(&mut self, now: Instant) -> std::io::Result<Next> {
        self.chunk.clear();
        let mut wait_until = None;
        while self.chunk.len() < CHUNK_BYTES {
            wait_until = self.all.wait_until(now);
            if wait_until.is_some() {
                break;
            }
            let bulk_until = self.bulk.wait_until(now);
            let is_open = |class: &Class| *class != Class::Bulk || bulk_until.is_none();
            let ready = Class::ALL.into_iter().filter(is_open).find(|it| self.is_ready(*it));
            let Some(class) = ready else {
                wait_until = bulk_until;
                break;
            };
            self.pack(class, now)?;
        }
        Ok(match wait_until {
            _ if !self.chunk.is_empty() => Next::Write,
            Some(at) => Next::WaitUntil(at),
            None => Next::WaitForMessage,
        })
    }

    /// Whether there is a message of a class to send, or to go on with.
    fn is_ready(&mut self, class: Class) -> bool {
        let sending = &mut self.sending[class.index()];
        while sending.is_none() {
            let Some(message) = self.outbox.pop(class) else { return false };
            let message = encode_message(&message);
            if BODY_BYTES_MAX < message.len() {
                let (peer, bytes) = (self.peer, message.len());
                self.shared.counters.dropped.fetch_add(1, Ordering::Relaxed);
                error!(%peer, bytes, "a message too long for a link is dropped");
                continue;
            }
            self.lanes.of(class).sent.message(message.len());
            *sending = Some(Sending { message, at: 0 });
        }
        true
    }

    /// Packs the next fragment of a class.
    fn pack(&mut self, class: Class, now: Instant) -> std::io::Result<()> {
        let slot = &mut self.sending[class.index()];
        let Sending { message, at } = slot.as_mut().expect("the class is ready");
        let before = self.chunk.len();
        match self.packer.pack(class, message, *at, &mut self.chunk)? {
            Some(next) => *at = next,
            None => *slot = None,
        }
        let bytes = self.chunk.len() - before;
        self.lanes.of(class).sent.fragment(bytes);
        self.all.take(bytes, now);
        if class == Class::Bulk {
            self.bulk.take(bytes, now);
        }
        Ok(())
    }
}
