//! A queue whose chunks come out in order, each a fixed time after it went in.
//! Must not know of sockets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep_until};

/// The most chunks in a line; at it the sender waits, as at its limit of bytes.
const CHUNKS_MAX: usize = 16_384;

/// Takes chunks into a delay line.
#[derive(Debug)]
pub(super) struct Inlet {
    delay: Duration,
    room: Arc<Semaphore>,
    queue: mpsc::Sender<Held>,
}

/// Gives the chunks of a delay line out again.
#[derive(Debug)]
pub(super) struct Outlet {
    queue: mpsc::Receiver<Held>,
}

/// A chunk on its way; without bytes it marks the end of the stream.
#[derive(Debug)]
struct Held {
    due: Instant,
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// The outlet is gone: nobody waits for more bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the far end of the line is closed")]
pub(super) struct LineClosed;

/// Makes a line that holds each chunk for `delay`, and at most `bytes_max` bytes at a time.
pub(super) fn delay_line(delay: Duration, bytes_max: usize) -> (Inlet, Outlet) {
    let (sender, receiver) = mpsc::channel(CHUNKS_MAX);
    let room = Arc::new(Semaphore::new(bytes_max));
    (Inlet { delay, room, queue: sender }, Outlet { queue: receiver })
}

impl Inlet {
    /// Puts bytes in, after waiting for room; there must be some, and no more than the line holds.
    /// They take `extra` longer than others, and hold up those behind them.
    pub(super) async fn send(&self, bytes: Bytes, extra: Duration) -> Result<(), LineClosed> {
        assert!(!bytes.is_empty(), "an empty chunk would end the stream");
        self.put(bytes, extra).await
    }

    /// Lets the end of the stream travel as slowly as the bytes before it.
    pub(super) async fn finish(self) -> Result<(), LineClosed> {
        self.put(Bytes::new(), Duration::ZERO).await
    }

    async fn put(&self, bytes: Bytes, extra: Duration) -> Result<(), LineClosed> {
        let len = u32::try_from(bytes.len()).expect("a chunk is far smaller than 4 GiB");
        let room = Arc::clone(&self.room).acquire_many_owned(len).await;
        let room = room.expect("nobody closes the semaphore");
        let slot = self.queue.reserve().await.map_err(|_| LineClosed)?;
        slot.send(Held { due: Instant::now() + self.delay + extra, bytes, _room: room });
        Ok(())
    }
}

impl Outlet {
    /// Waits for the next bytes; `None` is the end of the stream.
    pub(super) async fn recv(&mut self) -> Option<Bytes> {
        let held = self.queue.recv().await?;
        sleep_until(held.due).await;
        (!held.bytes.is_empty()).then_some(held.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELAY: Duration = Duration::from_millis(80);

    #[tokio::test(start_paused = true)]
    async fn chunks_come_out_in_order_each_after_the_delay() {
        let (inlet, mut outlet) = delay_line(DELAY, 1_024);
        let start = Instant::now();
        inlet.send(Bytes::from_static(b"first"), Duration::ZERO).await.unwrap();
        tokio::time::advance(Duration::from_millis(30)).await;
        inlet.send(Bytes::from_static(b"second"), Duration::ZERO).await.unwrap();
        assert_eq!(outlet.recv().await.unwrap(), "first");
        assert_eq!(start.elapsed(), DELAY);
        assert_eq!(outlet.recv().await.unwrap(), "second");
        assert_eq!(start.elapsed(), DELAY + Duration::from_millis(30));
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_that_takes_longer_holds_up_those_behind_it() {
        let (inlet, mut outlet) = delay_line(DELAY, 1_024);
        let start = Instant::now();
        inlet.send(Bytes::from_static(b"slow"), 2 * DELAY).await.unwrap();
        inlet.send(Bytes::from_static(b"next"), Duration::ZERO).await.unwrap();
        assert_eq!(outlet.recv().await.unwrap(), "slow");
        assert_eq!(start.elapsed(), 3 * DELAY);
        assert_eq!(outlet.recv().await.unwrap(), "next");
        assert_eq!(start.elapsed(), 3 * DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_thousand_chunks_travel_at_the_same_time() {
        let (inlet, mut outlet) = delay_line(DELAY, 1 << 20);
        let start = Instant::now();
        for _ in 0..1_000 {
            inlet.send(Bytes::from_static(b"chunk"), Duration::ZERO).await.unwrap();
        }
        for _ in 0..1_000 {
            assert_eq!(outlet.recv().await.unwrap(), "chunk");
        }
        assert_eq!(start.elapsed(), DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_line_makes_the_sender_wait() {
        let (inlet, mut outlet) = delay_line(DELAY, 8);
        inlet.send(Bytes::from_static(b"12345678"), Duration::ZERO).await.unwrap();
        let one_more = inlet.send(Bytes::from_static(b"9"), Duration::ZERO);
        let patience = tokio::time::timeout(10 * DELAY, one_more).await;
        assert!(patience.is_err(), "the line held more than its limit");
        assert_eq!(outlet.recv().await.unwrap(), "12345678");
        inlet.send(Bytes::from_static(b"9"), Duration::ZERO).await.unwrap();
        assert_eq!(outlet.recv().await.unwrap(), "9");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_travels_as_slowly_as_the_bytes() {
        let (inlet, mut outlet) = delay_line(DELAY, 8);
        let start = Instant::now();
        inlet.finish().await.unwrap();
        assert_eq!(outlet.recv().await, None);
        assert_eq!(start.elapsed(), DELAY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_without_a_far_end_refuses_bytes() {
        let (inlet, outlet) = delay_line(DELAY, 8);
        drop(outlet);
        assert_eq!(inlet.send(Bytes::from_static(b"1"), Duration::ZERO).await, Err(LineClosed));
    }
}
