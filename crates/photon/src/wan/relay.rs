//! Carries the links of a planet on one machine, and delays their bytes as distance would.
//! Must not know what the bytes mean; to connect again is the dialer's business.
//!
//! A direction that is cut is a black hole: nothing comes out of it, neither bytes nor the end of a
//! connection, and nobody is told. What is sent meanwhile is kept and comes out once the cut is
//! mended: so do the systems at both ends of a real cut, which send again what nobody has
//! confirmed. A connection therefore outlives a cut, unless one of its ends has lost patience.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::future;
use photon_state::RegionId;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::delay_line::{Inlet, Outlet, delay_line};
use super::paths::{Outlook, Paths};

/// The most bytes under way in one direction of a connection; at it the sender waits.
const IN_FLIGHT_BYTES_MAX: usize = 16 << 20;
/// The least room that a read is given.
const READ_BYTES: usize = 64 << 10;
/// The most connections of one route; at it the next dialer waits to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// How long a target may take to accept; it is on this machine.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The pause after a failure to accept, which is a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Says what the relay does for the links that one region opens to another.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// The region that dials.
    pub from: RegionId,
    /// The region that is dialed.
    pub to: RegionId,
    /// Where the dialed region listens for links.
    pub target: SocketAddr,
    /// The round trip between the two; each direction takes half of it.
    pub round_trip: Duration,
}

/// The relay could not listen for a route.
#[derive(Debug, thiserror::Error)]
#[error("failed to listen for the links from `{from}` to `{to}`")]
pub struct RelayError {
    /// The region that dials.
    pub from: RegionId,
    /// The region that is dialed.
    pub to: RegionId,
    /// What the operating system says.
    pub source: io::Error,
}

/// Listens for every route of a planet until it is told to stop.
#[derive(Debug)]
pub struct Relay {
    addresses: BTreeMap<(RegionId, RegionId), SocketAddr>,
    paths: Paths,
}

/// The two directions of the connections of a route.
#[derive(Clone, Debug)]
struct Both {
    there: Outlook,
    back: Outlook,
}

impl Both {
    /// Waits until neither direction is cut.
    async fn open(&mut self) {
        self.there.open().await;
        self.back.open().await;
    }
}

impl Relay {
    /// Listens on a free port of the loopback address for each route, and carries what comes.
    ///
    /// All work is spawned on `tasks` and ends when `stop` is cancelled.
    pub async fn start(
        routes: impl IntoIterator<Item = Route>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Result<Self, RelayError> {
        let routes: Vec<Route> = routes.into_iter().collect();
        let directions = |it: &Route| [(it.from, it.to), (it.to, it.from)];
        let paths = Paths::new(routes.iter().flat_map(directions));
        let mut addresses = BTreeMap::new();
        for route in routes {
            let (listener, address) = listen().await.map_err(|source| RelayError {
                from: route.from,
                to: route.to,
                source,
            })?;
            let Route { from, to, .. } = route;
            addresses.insert((from, to), address);
            let both = Both { there: paths.outlook((from, to)), back: paths.outlook((to, from)) };
            tasks.spawn(accept(route, both, listener, (tasks.clone(), stop.clone())));
        }
        Ok(Self { addresses, paths })
    }

    /// Returns the conditions of all directions, for whoever cuts and slows them.
    #[must_use]
    pub fn paths(&self) -> Paths {
        self.paths.clone()
    }

    /// Returns where `from` must dial to reach each other region: its `links.via`.
    #[must_use]
    pub fn via(&self, from: RegionId) -> BTreeMap<RegionId, SocketAddr> {
        let routes = self.addresses.iter().filter(|((dialer, _), _)| *dialer == from);
        routes.map(|((_, to), address)| (*to, *address)).collect()
    }
}

async fn listen() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

async fn accept(
    route: Route,
    both: Both,
    listener: TcpListener,
    (tasks, stop): (TaskTracker, CancellationToken),
) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let accept_all = async {
        loop {
            let permit = Arc::clone(&room).acquire_owned().await;
            let permit = permit.expect("nobody closes the semaphore");
            let dialer = match listener.accept().await {
                Ok((dialer, _)) => dialer,
                Err(error) => {
                    warn!(from = %route.from, to = %route.to, %error, "relay cannot accept");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let (stop, both) = (stop.clone(), both.clone());
            tasks.spawn(async move {
                let connected = stop.run_until_cancelled(connect(route, both, dialer)).await;
                if let Some(Err(error)) = connected {
                    debug!(from = %route.from, to = %route.to, %error, "relayed link ended");
                }
                drop(permit);
            });
        }
    };
    stop.run_until_cancelled(accept_all).await;
}

/// Carries one connection until either side closes it, and then closes both.
async fn connect(route: Route, mut both: Both, dialer: TcpStream) -> io::Result<()> {
    // Nobody is reached over a cut, and who has given up meanwhile was never heard of.
    both.open().await;
    if dialer.ready(Interest::READABLE | Interest::WRITABLE).await?.is_read_closed() {
        return Ok(());
    }
    let target = timeout(CONNECT_TIMEOUT, TcpStream::connect(route.target)).await??;
    dialer.set_nodelay(true)?;
    target.set_nodelay(true)?;
    let delay = route.round_trip / 2;
    let (from_dialer, to_dialer) = dialer.into_split();
    let (from_target, to_target) = target.into_split();
    let Both { there, back } = both.clone();
    let there = std::pin::pin!(carry((from_dialer, to_target), delay, there));
    let back = std::pin::pin!(carry((from_target, to_dialer), delay, back));
    let ended = future::select(there, back).await;
    // That one side has gone is news, which a cut does not let through either.
    both.open().await;
    ended.factor_first().0
}

/// Carries one direction of a connection to its end.
async fn carry(
    (from, to): (OwnedReadHalf, OwnedWriteHalf),
    delay: Duration,
    outlook: Outlook,
) -> io::Result<()> {
    let (inlet, outlet) = delay_line(delay, IN_FLIGHT_BYTES_MAX);
    let reading = read_all(from, inlet, outlook.clone());
    let (_, written) = future::join(reading, write_all(outlet, to, outlook)).await;
    written
}

/// A read that fails ends the stream as a close does: what was read before still arrives.
async fn read_all(mut from: OwnedReadHalf, inlet: Inlet, outlook: Outlook) {
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        let at_end = matches!(from.read_buf(&mut buffer).await, Ok(0) | Err(_));
        if at_end {
            break;
        }
        if inlet.send(buffer.split().freeze(), outlook.extra()).await.is_err() {
            return;
        }
    }
    // An outlet that is gone needs to hear of no end.
    let _ = inlet.finish().await;
}

async fn write_all(
    mut outlet: Outlet,
    mut to: OwnedWriteHalf,
    mut outlook: Outlook,
) -> io::Result<()> {
    while let Some(bytes) = outlet.recv().await {
        outlook.open().await;
        to.write_all(&bytes).await?;
    }
    outlook.open().await;
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::super::paths::Condition;
    use super::*;

    /// One route to a listener of the test, which plays the region that is dialed.
    struct Fixture {
        target: TcpListener,
        address: SocketAddr,
        paths: Paths,
        tasks: TaskTracker,
        stop: CancellationToken,
    }

    impl Fixture {
        async fn start() -> Self {
            let (target, target_address) = listen().await.unwrap();
            let [from, to] = ["here", "there"].map(|it| RegionId::try_from(it).unwrap());
            let round_trip = Duration::from_millis(2);
            let route = Route { from, to, target: target_address, round_trip };
            let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
            let relay = Relay::start([route], &tasks, &stop).await.unwrap();
            assert!(relay.via(to).is_empty());
            Self { target, address: relay.via(from)[&to], paths: relay.paths(), tasks, stop }
        }

        /// Cuts the directions away from these regions, and mends all others.
        fn cut(&self, away_from: &[&str]) {
            let is_cut = |from: RegionId| away_from.contains(&from.as_str());
            self.paths.set(|from, _| Condition { is_cut: is_cut(from), ..Condition::default() });
        }

        async fn connect(&self) -> (TcpStream, TcpStream) {
            let dialer = TcpStream::connect(self.address).await.unwrap();
            (dialer, self.target.accept().await.unwrap().0)
        }

        async fn stop(self) {
            self.stop.cancel();
            self.tasks.close();
            self.tasks.wait().await;
        }
    }

    async fn send_and_close(mut stream: TcpStream, bytes: &[u8]) {
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
    }

    /// Fails if anything comes in a time in which much would come if the way were open.
    async fn hears_nothing(stream: &mut TcpStream) {
        let heard = timeout(Duration::from_millis(100), stream.read_u8()).await;
        assert!(heard.is_err(), "{heard:?}");
    }

    async fn receive(stream: &mut TcpStream) -> Vec<u8> {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn many_bytes_arrive_unchanged_and_then_both_sides_close() {
        let fixture = Fixture::start().await;
        let bytes: Vec<u8> =
            (0..5_000_000_u32).map(|it| it.to_le_bytes()[it as usize % 3]).collect();
        let (dialer, mut target) = fixture.connect().await;
        let ((), received) =
            future::join(send_and_close(dialer, &bytes), receive(&mut target)).await;
        assert!(received == bytes, "the relay changed the bytes");

        let (mut dialer, target) = fixture.connect().await;
        let ((), received) =
            future::join(send_and_close(target, &bytes), receive(&mut dialer)).await;
        assert!(received == bytes, "the relay changed the bytes");
        fixture.stop().await;
    }

    #[tokio::test]
    async fn questions_and_answers_pass_each_other() {
        let fixture = Fixture::start().await;
        let (mut dialer, mut target) = fixture.connect().await;
        for i in 0..20_u8 {
            dialer.write_u8(i).await.unwrap();
            assert_eq!(target.read_u8().await.unwrap(), i);
            target.write_u8(i + 100).await.unwrap();
            assert_eq!(dialer.read_u8().await.unwrap(), i + 100);
        }
        fixture.stop().await;
    }

    #[tokio::test]
    async fn a_dialer_of_a_dead_region_is_hung_up_on() {
        let Fixture { target, address, tasks, stop, .. } = Fixture::start().await;
        drop(target);
        let mut dialer = TcpStream::connect(address).await.unwrap();
        assert!(dialer.read_u8().await.is_err());
        stop.cancel();
        tasks.close();
        tasks.wait().await;
    }

    #[tokio::test]
    async fn a_cut_lets_nothing_through_and_all_of_it_comes_once_it_is_mended() {
        let fixture = Fixture::start().await;
        let (mut dialer, mut target) = fixture.connect().await;
        fixture.cut(&["here"]);
        dialer.write_u8(1).await.unwrap();
        // The other way is open.
        target.write_u8(2).await.unwrap();
        assert_eq!(dialer.read_u8().await.unwrap(), 2);
        hears_nothing(&mut target).await;
        fixture.cut(&[]);
        assert_eq!(target.read_u8().await.unwrap(), 1);
        fixture.stop().await;
    }

    #[tokio::test]
    async fn that_one_side_has_gone_is_not_told_through_a_cut() {
        let fixture = Fixture::start().await;
        let (dialer, mut target) = fixture.connect().await;
        fixture.cut(&["here"]);
        drop(dialer);
        // The machine of the dialer says that it has gone, but that is cut.
        target.write_u8(2).await.unwrap();
        target.write_u8(3).await.unwrap();
        hears_nothing(&mut target).await;
        fixture.cut(&[]);
        assert!(matches!(target.read(&mut [0]).await, Ok(0) | Err(_)));
        fixture.stop().await;
    }

    #[tokio::test]
    async fn nobody_is_reached_over_a_cut() {
        let fixture = Fixture::start().await;
        fixture.cut(&["there"]);
        drop(TcpStream::connect(fixture.address).await.unwrap());
        let mut dialer = TcpStream::connect(fixture.address).await.unwrap();
        hears_nothing(&mut dialer).await;
        fixture.cut(&[]);
        // Who has given up meanwhile is never heard of.
        let (mut target, _) = fixture.target.accept().await.unwrap();
        dialer.write_u8(1).await.unwrap();
        assert_eq!(target.read_u8().await.unwrap(), 1);
        fixture.stop().await;
    }

    #[tokio::test]
    async fn a_relay_that_stops_closes_its_connections() {
        let fixture = Fixture::start().await;
        let (mut dialer, mut target) = fixture.connect().await;
        fixture.stop().await;
        assert!(dialer.read_u8().await.is_err());
        assert!(target.read_u8().await.is_err());
    }
}
