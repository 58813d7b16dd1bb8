//! Carries the links of a planet on a thread of its own: delays their bytes, counts them, and cuts
//! one region off. Must not know what the bytes mean.

use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::CUT_OFF;
use crate::converge::{REGIONS, ROUND_TRIPS_MS};

/// How many regions there are.
const N: usize = REGIONS.len();
/// What is read at once.
const READ_BYTES: usize = 64 << 10;
/// Pieces that are on their way in one direction of a connection; at it the sender waits.
const PIECES_MAX: usize = 4_096;

/// Something of each ordered pair of regions.
pub(super) type Pairs<T> = [[T; N]; N];

/// The relay of all links. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Relay {
    addresses: Pairs<SocketAddr>,
    is_cut: watch::Sender<bool>,
    bytes: Arc<Pairs<AtomicU64>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the relay does for the links that one region opens to another.
#[derive(Clone, Debug)]
struct Route {
    from: usize,
    to: usize,
    target: SocketAddr,
    /// Whether the pair is cut; no route between two others ever is.
    is_cut: watch::Receiver<bool>,
    bytes: Arc<Pairs<AtomicU64>>,
}

impl Relay {
    /// Listens for each pair of regions; `targets` is where each listens for links.
    pub(super) fn start(targets: [SocketAddr; N]) -> anyhow::Result<Self> {
        let (is_cut, cuts) = watch::channel(false);
        let never = watch::channel(false).1;
        let bytes = Arc::<Pairs<AtomicU64>>::default();
        let (mut addresses, mut routes) = ([[targets[0]; N]; N], Vec::new());
        for (from, to) in (0..N).flat_map(|from| (0..N).map(move |to| (from, to))) {
            let listener = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            listener.set_nonblocking(true)?;
            addresses[from][to] = listener.local_addr()?;
            let is_cut = if [from, to].contains(&CUT_OFF) { &cuts } else { &never }.clone();
            let (target, bytes) = (targets[to], Arc::clone(&bytes));
            routes.push((listener, Route { from, to, target, is_cut, bytes }));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("relay".into()).spawn(move || {
            runtime.block_on(async {
                let mut accepting = JoinSet::new();
                for (listener, route) in routes {
                    let listener = TcpListener::from_std(listener).expect("it does not block");
                    accepting.spawn(accept(listener, route));
                }
                let _ = stopped.await; // Told, or nobody is left who could tell.
            });
        })?;
        let (stop, thread) = (Some(stop), Some(thread));
        Ok(Self { addresses, is_cut, bytes, stop, thread })
    }

    /// Returns where a region dials another one.
    pub(super) fn via(&self, from: usize, to: usize) -> SocketAddr {
        self.addresses[from][to]
    }

    /// Lets nothing through to or from the region that is alone, or everything again.
    pub(super) fn cut(&self, is_cut: bool) {
        self.is_cut.send_replace(is_cut);
    }

    /// Returns how many bytes have arrived from each region at each other.
    pub(super) fn bytes(&self) -> Pairs<u64> {
        std::array::from_fn(|from| {
            std::array::from_fn(|to| self.bytes[from][to].load(Ordering::Relaxed))
        })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join); // It has nothing to tell.
    }
}

async fn accept(listener: TcpListener, route: Route) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        if let Ok((dialer, _)) = listener.accept().await {
            connections.spawn(connect(dialer, route.clone()));
        }
    }
}

/// Carries one connection until either side closes it, and then closes both. Who dials while there
/// is no way gets no answer, and has to dial anew: a network has no memory of him.
async fn connect(mut dialer: TcpStream, mut route: Route) -> anyhow::Result<()> {
    if *route.is_cut.borrow() {
        let mut lost = [0; 1_024];
        let given_up = async { while let Ok(1..) = dialer.read(&mut lost).await {} };
        tokio::select! {
            () = given_up => {}
            _ = route.is_cut.wait_for(|it| !it) => {}
        }
        return Ok(());
    }
    let target = TcpStream::connect(route.target).await?;
    for stream in [&dialer, &target] {
        stream.set_nodelay(true)?;
    }
    let (from_dialer, to_dialer) = dialer.into_split();
    let (from_target, to_target) = target.into_split();
    let back = Route { from: route.to, to: route.from, ..route.clone() };
    tokio::select! {
        ended = carry(from_dialer, to_target, route) => ended,
        ended = carry(from_target, to_dialer, back) => ended,
    }
}

/// Carries one direction of a connection to its end. What is sent while there is no way stays
/// where it is, as in the buffers of TCP.
async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut route: Route,
) -> anyhow::Result<()> {
    let delay = Duration::from_millis(ROUND_TRIPS_MS[route.from][route.to].into()) / 2;
    let (inlet, mut outlet) = mpsc::channel::<(Instant, Bytes)>(PIECES_MAX);
    let read_all = async {
        let mut buffer = BytesMut::new();
        loop {
            buffer.reserve(READ_BYTES);
            if matches!(from.read_buf(&mut buffer).await, Ok(0) | Err(_)) {
                drop(inlet); // The end travels as slowly as the bytes before it.
                return;
            }
            let piece = (Instant::now() + delay, buffer.split().freeze());
            if inlet.send(piece).await.is_err() {
                return;
            }
        }
    };
    let write_all = async {
        while let Some((due, bytes)) = outlet.recv().await {
            sleep_until(due).await;
            route.is_cut.wait_for(|it| !it).await.context("the relay ends")?;
            to.write_all(&bytes).await?;
            let count = &route.bytes[route.from][route.to];
            count.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        }
        Ok(())
    };
    tokio::join!(read_all, write_all).1
}
