//! One connection to a peer, from its introduction to its end: a reader and a writer.
//! Must not know whether another connection takes its place.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use photon_region::decode_message;
use photon_state::RegionId;
use photon_state::codec::DecodeError;
use tokio::io::BufReader;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tracing::info;

use super::Shared;
use super::frame::FrameError;
use super::hello::Greeted;
use super::outbox::Outbox;
use super::packing::{Arrived, Unpacker};
use super::table::{LinkEvent, LinkId, LinkNews};
use super::wire::{FromWire, Wire};
use super::writer::Writer;

/// How long a peer may be silent, or not listen; the machine pings each second.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(10);
/// The most bytes of messages that were read and that the driver has not taken; at it the reader
/// waits.
const INBOX_BYTES_MAX: usize = 16 << 20;
/// What is read at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum LinkEnd {
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    #[error("the peer sent a message with a {0}")]
    Malformed(#[from] DecodeError),
    #[error("the peer was silent for {} s", SILENCE_MAX.as_secs())]
    Silent,
    #[error("the peer did not listen for {} s", SILENCE_MAX.as_secs())]
    Deaf,
    #[error("a newer connection took its place, or the node stops")]
    Replaced,
}

/// Carries messages until the connection ends, and tells the driver of both.
pub(super) async fn live(shared: &Arc<Shared>, greeted: Greeted, wire: Wire) {
    let Greeted { peer, version } = greeted;
    let link = shared.next_link();
    let outbox = Arc::new(Outbox::new(shared.counters.peers.of(peer)));
    let Wire { from, to } = wire;
    // The driver hears of the link before any message on it, and of its end after the last that is
    // not in bulk; what it has not taken by then is passed over, and sent again.
    shared.tell(LinkEvent { peer, link, what: LinkNews::Up(Arc::clone(&outbox)) }).await;
    shared.counters.linked.fetch_add(1, Ordering::Relaxed);
    shared.counters.troubles.clear(peer);
    info!(%peer, version, "link up");

    let over = shared.stop.child_token();
    let reader = {
        let (shared, over) = (Arc::clone(shared), over.clone());
        async move {
            let _guard = over.clone().drop_guard();
            over.run_until_cancelled(read_all(&shared, peer, link, from)).await
        }
    };
    let writer = {
        let (shared, over, outbox) = (Arc::clone(shared), over.clone(), Arc::clone(&outbox));
        async move {
            let _guard = over.clone().drop_guard();
            let writer = Writer::new(greeted, &outbox, &shared, to);
            over.run_until_cancelled(writer.write_all()).await
        }
    };
    let (reader, writer) = (shared.tasks.spawn(reader), shared.tasks.spawn(writer));
    let ends = [reader.await, writer.await].map(|end| end.ok().flatten());
    outbox.close();
    // Whichever ended first is the reason; the other was cancelled and has none.
    let reason = ends.into_iter().flatten().next().unwrap_or(LinkEnd::Replaced);
    info!(%peer, %reason, "link down");
    shared.tell(LinkEvent { peer, link, what: LinkNews::Down }).await;
}

async fn read_all(shared: &Shared, peer: RegionId, link: LinkId, from: FromWire) -> LinkEnd {
    match try_read_all(shared, peer, link, from).await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

async fn try_read_all(
    shared: &Shared,
    peer: RegionId,
    link: LinkId,
    from: FromWire,
) -> Result<std::convert::Infallible, LinkEnd> {
    let mut from = BufReader::with_capacity(BUFFER_BYTES, from);
    let window = Arc::new(Semaphore::new(INBOX_BYTES_MAX));
    let (mut unpacker, counters) = (Unpacker::new(), shared.counters.peers.of(peer));
    loop {
        let fragment = timeout(SILENCE_MAX, unpacker.read(&mut from)).await;
        let Arrived { class, wire_bytes, message } = fragment.map_err(|_| LinkEnd::Silent)??;
        shared.counters.received_bytes.fetch_add(wire_bytes as u64, Ordering::Relaxed);
        let counters = &counters.of(class).received;
        counters.fragment(wire_bytes);
        let Some(message) = message else { continue };
        counters.message(message.len());
        let permits = u32::try_from(message.len()).expect("at most BODY_BYTES_MAX");
        let message = decode_message(message)?;
        let permit = Arc::clone(&window).acquire_many_owned(permits).await;
        let permit = permit.expect("nobody closes the semaphore");
        let what = LinkNews::Message(message, permit);
        shared.pass(class, LinkEvent { peer, link, what }).await;
    }
}
