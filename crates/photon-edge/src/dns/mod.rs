//! Names for strangers: the sockets on which queries come, and the threads that answer them.
//! Must not decide what is answered: that is said by tables, in `photon-traffic`.

mod datagrams;
mod tally;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use photon_traffic::Shelf;
use photon_traffic::dns::{Responder, Tables};
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio_util::sync::CancellationToken;

use self::datagrams::Desk;
pub use self::tally::Tally;

/// Room for datagrams that have come and were not read, of each socket, in bytes.
const RECEIVE_BYTES: usize = 4 << 20;

/// What a server of names needs.
#[derive(Clone, Debug)]
pub struct DnsConfig {
    /// Where it listens, for datagrams and for streams.
    pub listen: SocketAddr,
    /// How many threads answer datagrams.
    pub threads: usize,
    /// What it calls itself, to who asks (NSID).
    pub identity: Arc<[u8]>,
}

/// The threads that answer datagrams. They stop once their token is cancelled.
#[derive(Debug)]
pub struct DnsThreads {
    threads: Vec<std::thread::JoinHandle<()>>,
    tally: Arc<Tally>,
    at: SocketAddr,
}

/// Opens one socket for each thread, all on one port, and lets the threads answer.
pub fn answer_datagrams(
    config: &DnsConfig,
    tables: &Arc<Shelf<Tables>>,
    stop: &CancellationToken,
) -> io::Result<DnsThreads> {
    let tally = Arc::<Tally>::default();
    let mut at = config.listen;
    let mut threads = Vec::new();
    for index in 0..config.threads.max(1) {
        let socket = bind(at)?;
        // The first one may have chosen the port.
        at = socket.local_addr()?;
        let desk = Desk {
            socket,
            tables: tables.reader(),
            responder: Responder::new(config.identity.clone(), fastrand::u64(..)),
            tally: tally.clone(),
            stop: stop.clone(),
        };
        let thread = std::thread::Builder::new().name(format!("dns-{index}"));
        threads.push(thread.spawn(move || desk.run())?);
    }
    Ok(DnsThreads { threads, tally, at })
}

impl DnsThreads {
    /// Returns where it listens.
    #[must_use]
    pub fn at(&self) -> SocketAddr {
        self.at
    }

    /// Returns what was answered since the start.
    #[must_use]
    pub fn tally(&self) -> &Arc<Tally> {
        &self.tally
    }

    /// Waits until all have stopped.
    pub fn join(self) {
        for thread in self.threads {
            if thread.join().is_err() {
                tracing::error!("a thread that answers queries has panicked");
            }
        }
    }
}

fn bind(at: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(at), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_reuse_port(true)?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    if at.is_ipv6() {
        // Both families have a socket of their own.
        socket.set_only_v6(true)?;
    }
    socket.bind(&SockAddr::from(at))?;
    Ok(socket.into())
}
