//! What a writer sends first, and how fast.
//! Must not wait for real time to pass.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use photon_region::{Message, decode_message, encode_message};
use photon_state::{Change, Dataset, Hlc, Key, Op, PlacementId, RegionId, StreamId};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::class::Class;
use super::greet::Greeter;
use super::hello::{Greeted, Identity, PROTOCOLS};
use super::outbox::Outbox;
use super::packing::{Arrived, Unpacker};
use super::squeeze::Squeezing;
use super::table::{LinkEvent, LinkNews};
use super::writer::Writer;
use crate::lanes::Lanes;
use crate::node::LinkRates;
use crate::stats::LinkCounters;

fn region(name: &str) -> RegionId {
    RegionId::try_from(name).unwrap()
}

fn shared(rates: LinkRates) -> Shared {
    let identity = Identity {
        planet: "p".into(),
        region: region("a"),
        secret: None,
        versions: PROTOCOLS,
        regions: BTreeSet::new(),
    };
    Shared {
        greeter: Greeter { identity, tls: None },
        events: mpsc::channel(1).0,
        bulk: mpsc::channel(1).0,
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
        counters: Arc::<LinkCounters>::default(),
        rates,
        squeezing: Squeezing::WhereItPays,
        links: AtomicU64::new(0),
    }
}

fn b() -> Greeted {
    Greeted { peer: region("b"), version: *PROTOCOLS.end() }
}

/// A message of one op of random bytes.
fn ops(seq: u64, bytes: usize) -> Message {
    let stream = StreamId { origin: region("a"), placement: PlacementId::global(), incarnation: 1 };
    let mut rng = fastrand::Rng::with_seed(seq);
    let value: Vec<u8> = (0..bytes).map(|_| rng.u8(..)).collect();
    let change = Change::Put(value.into());
    let (at, key) = (Hlc::default(), Key::new(b"key"));
    Message::Ops(vec![Arc::new(Op { stream, seq, at, dataset: Dataset(1), key, change })])
}

async fn next(unpacker: &mut Unpacker, from: &mut (impl AsyncRead + Unpin)) -> (Class, Message) {
    loop {
        let Arrived { class, message, .. } = unpacker.read(from).await.unwrap();
        if let Some(message) = message {
            return (class, decode_message(message).unwrap());
        }
    }
}

/// Lets a writer work while `read` reads what it has written.
async fn write_while(
    rates: LinkRates,
    outbox: &Outbox,
    to: impl AsyncWrite + Send + Unpin + 'static,
    read: impl Future<Output = ()>,
) {
    let shared = shared(rates);
    let writer = Writer::new(b(), outbox, &shared, Box::new(to));
    tokio::select! {
        end = writer.write_all() => panic!("{end}"),
        () = read => {}
    }
}

#[tokio::test]
async fn what_is_urgent_is_passed_on_although_bulk_waits_for_the_driver() {
    let room = Arc::new(Semaphore::new(9));
    let event = |seq| {
        let permit = Arc::clone(&room).try_acquire_owned().unwrap();
        LinkEvent { peer: region("b"), link: 1, what: LinkNews::Message(ops(seq, 1), permit) }
    };
    let ((events, mut urgent), (bulk, mut waiting)) = (mpsc::channel(1), mpsc::channel(1));
    let shared = Shared { events, bulk, ..shared(LinkRates::default()) };
    shared.pass(Class::Bulk, event(1)).await;
    shared.pass(Class::Interactive, event(2)).await;
    let message = |event: LinkEvent| match event.what {
        LinkNews::Message(message, _) => message,
        LinkNews::Up(_) | LinkNews::Down => panic!("only messages were passed on"),
    };
    assert_eq!(message(urgent.recv().await.unwrap()), ops(2, 1));
    assert_eq!(message(waiting.recv().await.unwrap()), ops(1, 1));
}

#[tokio::test]
async fn control_overtakes_bulk_that_has_begun_and_bulk_loses_nothing() {
    let outbox = Outbox::new(Arc::<Lanes>::default());
    let (near, mut far) = tokio::io::duplex(1);
    for seq in 1..=3 {
        outbox.push(Class::Bulk, ops(seq, 1 << 20)).unwrap();
    }
    let read = async {
        let mut unpacker = Unpacker::new();
        unpacker.read(&mut far).await.unwrap();
        outbox.push(Class::Control, Message::Ping(1)).unwrap();
        outbox.push(Class::Interactive, ops(9, 10)).unwrap();
        // One more fragment of bulk was on its way at most.
        let second = unpacker.read(&mut far).await.unwrap();
        if second.class == Class::Bulk {
            assert!(second.message.is_none());
            let first = next(&mut unpacker, &mut far).await;
            assert_eq!(first, (Class::Control, Message::Ping(1)));
        }
        assert_eq!(next(&mut unpacker, &mut far).await, (Class::Interactive, ops(9, 10)));
        for seq in 1..=3 {
            assert_eq!(next(&mut unpacker, &mut far).await, (Class::Bulk, ops(seq, 1 << 20)));
        }
    };
    write_while(LinkRates::default(), &outbox, near, read).await;
}

#[tokio::test(start_paused = true)]
async fn bulk_waits_for_its_rate_and_what_is_urgent_does_not() {
    let outbox = Outbox::new(Arc::<Lanes>::default());
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let rates = LinkRates { bulk_bytes_per_second_max: Some(1 << 20), ..LinkRates::default() };
    for seq in 1..=4 {
        outbox.push(Class::Bulk, ops(seq, 1 << 20)).unwrap();
    }
    let read = async {
        let (mut unpacker, start) = (Unpacker::new(), Instant::now());
        for seq in 1..=4 {
            assert_eq!(next(&mut unpacker, &mut far).await, (Class::Bulk, ops(seq, 1 << 20)));
            let asked = Instant::now();
            outbox.push(Class::Control, Message::Ping(seq)).unwrap();
            let urgent = next(&mut unpacker, &mut far).await;
            assert_eq!(urgent, (Class::Control, Message::Ping(seq)));
            assert!(asked.elapsed() < Duration::from_millis(20), "{:?}", asked.elapsed());
        }
        let took = start.elapsed();
        assert!((Duration::from_millis(3_900)..Duration::from_millis(4_200)).contains(&took));
    };
    write_while(rates, &outbox, near, read).await;
}

#[tokio::test]
async fn what_is_too_long_for_a_link_is_dropped_and_the_rest_goes_on() {
    let outbox = Outbox::new(Arc::<Lanes>::default());
    let (near, mut far) = tokio::io::duplex(1 << 16);
    outbox.push(Class::Interactive, ops(1, 9 << 20)).unwrap();
    outbox.push(Class::Interactive, ops(2, 10)).unwrap();
    let read = async {
        let found = next(&mut Unpacker::new(), &mut far).await;
        assert_eq!(found, (Class::Interactive, ops(2, 10)));
    };
    write_while(LinkRates::default(), &outbox, near, read).await;
}

#[tokio::test]
async fn what_a_class_carries_is_counted() {
    let lanes = Arc::<Lanes>::default();
    let outbox = Outbox::new(Arc::clone(&lanes));
    outbox.push(Class::Control, Message::Ping(1)).unwrap();
    assert_eq!(lanes.of(Class::Control).queue_bytes.load(Ordering::Relaxed), 64);
    let shared = shared(LinkRates::default());
    shared.counters.peers.set([region("b")].into_iter());
    let (near, mut far) = tokio::io::duplex(1 << 16);
    let writer = Writer::new(b(), &outbox, &shared, Box::new(near));
    tokio::select! {
        end = writer.write_all() => panic!("{end}"),
        _ = async { next(&mut Unpacker::new(), &mut far).await } => {}
    }
    let stats = shared.counters.peers.read();
    let control = stats.iter().find(|it| it.class == "control").unwrap();
    let raw_bytes = encode_message(&Message::Ping(1)).len() as u64;
    assert_eq!((control.sent.messages, control.sent.raw_bytes), (1, raw_bytes));
    assert_eq!(control.sent.wire_bytes, raw_bytes + 7);
    assert_eq!(lanes.of(Class::Control).queue_bytes.load(Ordering::Relaxed), 0);
}
