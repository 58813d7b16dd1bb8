//! Carries the links of the planet, writes down every byte that is sent on them, and cuts them.
//! Must not know what the bytes mean.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// What is read at once.
const READ_BYTES: usize = 64 << 10;

/// Two regions, the one that dials first.
pub(crate) type Pair = (&'static str, &'static str);

/// What becomes of the bytes between two regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// They arrive.
    Open,
    /// Connections are closed, and new ones at once.
    Cut,
    /// Nothing arrives, and nobody is told; later it goes on.
    Silent,
}

/// What was sent in one direction of one connection.
#[derive(Clone, Debug)]
pub(crate) struct Tape {
    /// Who sent it.
    pub(crate) from: &'static str,
    /// To whom.
    pub(crate) to: &'static str,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Tape {
    /// Looks at all that was sent.
    pub(crate) fn read<R>(&self, read: impl FnOnce(&[u8]) -> R) -> R {
        read(&self.bytes.lock().expect("nobody panics with it"))
    }

    /// Whether one of the two is among `regions`.
    pub(crate) fn touches(&self, regions: &[&str]) -> bool {
        regions.contains(&self.from) || regions.contains(&self.to)
    }

    fn write(&self, bytes: &[u8]) {
        self.bytes.lock().expect("nobody panics with it").extend_from_slice(bytes);
    }
}

/// The relay of all links.
#[derive(Debug)]
pub(crate) struct Relay {
    routes: BTreeMap<Pair, (SocketAddr, watch::Sender<Mood>)>,
    tapes: Arc<Mutex<Vec<Tape>>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    /// Listens for each pair of regions; `target` says where a region listens for links.
    pub(crate) async fn start(
        pairs: impl IntoIterator<Item = Pair>,
        target: impl Fn(&str) -> SocketAddr,
    ) -> Self {
        let (mut routes, mut tasks) = (BTreeMap::new(), JoinSet::new());
        let tapes = Arc::<Mutex<Vec<Tape>>>::default();
        for pair in pairs {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
            let listener = listener.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let (mood, moods) = watch::channel(Mood::Open);
            tasks.spawn(accept(listener, target(pair.1), pair, moods, Arc::clone(&tapes)));
            routes.insert(pair, (address, mood));
        }
        Self { routes, tapes, _tasks: tasks }
    }

    /// Returns where a region dials each peer.
    pub(crate) fn via(&self, dialer: &str) -> Vec<(&'static str, SocketAddr)> {
        let own = self.routes.iter().filter(|((from, _), _)| *from == dialer);
        own.map(|((_, to), (address, _))| (*to, *address)).collect()
    }

    /// Returns all pairs of regions.
    pub(crate) fn pairs(&self) -> Vec<Pair> {
        self.routes.keys().copied().collect()
    }

    /// Says what becomes of the bytes between two regions from now on.
    pub(crate) fn set(&self, pair: Pair, mood: Mood) {
        self.routes[&pair].1.send_replace(mood);
    }

    /// Returns what was sent so far, connection by connection.
    pub(crate) fn tapes(&self) -> Vec<Tape> {
        self.tapes.lock().expect("nobody panics with it").clone()
    }
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    (from, to): Pair,
    moods: watch::Receiver<Mood>,
    tapes: Arc<Mutex<Vec<Tape>>>,
) {
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok((dialer, _)) = listener.accept().await else { continue };
        if *moods.borrow() == Mood::Cut {
            continue;
        }
        let tape = |from, to| {
            let tape = Tape { from, to, bytes: Arc::default() };
            tapes.lock().expect("nobody panics with it").push(tape.clone());
            tape
        };
        let (there, back) = (tape(from, to), tape(to, from));
        connections.spawn(connect(dialer, target, moods.clone(), there, back));
    }
}

/// Carries one connection until either side closes it or it is cut, and then closes both.
async fn connect(
    dialer: TcpStream,
    target: SocketAddr,
    mut moods: watch::Receiver<Mood>,
    there: Tape,
    back: Tape,
) {
    let Ok(target) = TcpStream::connect(target).await else { return };
    for stream in [&dialer, &target] {
        stream.set_nodelay(true).expect("any socket can do it");
    }
    let (from_dialer, to_dialer) = dialer.into_split();
    let (from_target, to_target) = target.into_split();
    tokio::select! {
        () = carry(from_dialer, to_target, moods.clone(), there) => {}
        () = carry(from_target, to_dialer, moods.clone(), back) => {}
        _ = moods.wait_for(|it| *it == Mood::Cut) => {}
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut moods: watch::Receiver<Mood>,
    tape: Tape,
) {
    let mut bytes = vec![0; READ_BYTES];
    while let Ok(count @ 1..) = from.read(&mut bytes).await {
        tape.write(&bytes[..count]);
        let opened = moods.wait_for(|it| *it == Mood::Open).await.is_ok();
        if !opened || to.write_all(&bytes[..count]).await.is_err() {
            return;
        }
    }
}
