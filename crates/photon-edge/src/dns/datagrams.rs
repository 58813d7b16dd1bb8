//! Answers datagrams: one thread for each socket, many messages with each call of the system.
//! Must not know what an answer says.

use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{
    MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg, sendmmsg,
};
use photon_traffic::Reader;
use photon_traffic::dns::{Responder, Tables, UDP_BYTES_MAX, Via};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::Tally;

/// How many messages are taken with one call at most.
const BATCH: usize = 64;
/// The longest query that is read; what is longer is cut, and so no query.
const QUERY_BYTES_MAX: usize = 1_536;
/// How long a call waits at most, so that the thread sees when it shall stop.
const WAIT_MAX: Duration = Duration::from_millis(100);
/// How long to wait after a failure that the next call may meet as well.
const PAUSE: Duration = Duration::from_millis(10);

/// What a thread answers with.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) socket: UdpSocket,
    pub(super) tables: Reader<Tables>,
    pub(super) responder: Responder,
    pub(super) tally: Arc<Tally>,
    pub(super) stop: CancellationToken,
}

/// An address of a socket of one family.
pub(super) trait Peer: SockaddrLike + Copy {
    fn ip(&self) -> IpAddr;
    fn port(&self) -> u16;
}

impl Peer for SockaddrIn {
    fn ip(&self) -> IpAddr {
        IpAddr::V4(Self::ip(self))
    }
    fn port(&self) -> u16 {
        Self::port(self)
    }
}

impl Peer for SockaddrIn6 {
    fn ip(&self) -> IpAddr {
        let wide = Self::ip(self);
        wide.to_ipv4_mapped().map_or(IpAddr::V6(wide), IpAddr::V4)
    }
    fn port(&self) -> u16 {
        Self::port(self)
    }
}

impl Desk {
    /// Answers until it shall stop.
    pub(super) fn run(self) {
        match self.socket.local_addr() {
            Ok(at) if at.is_ipv4() => self.serve::<SockaddrIn>(),
            Ok(_) => self.serve::<SockaddrIn6>(),
            Err(err) => debug!(%err, "a socket has no address"),
        }
    }

    fn serve<P: Peer>(mut self) {
        if let Err(err) = self.socket.set_read_timeout(Some(WAIT_MAX)) {
            debug!(%err, "a socket takes no timeout");
        }
        let mut queries = vec![[0; QUERY_BYTES_MAX]; BATCH];
        let mut answers = vec![[0; UDP_BYTES_MAX]; BATCH];
        let mut heads = MultiHeaders::<P>::preallocate(BATCH, None);
        let mut outgoing = MultiHeaders::<P>::preallocate(BATCH, None);
        let mut lengths = Vec::with_capacity(BATCH);
        let mut to = Vec::with_capacity(BATCH);
        while !self.stop.is_cancelled() {
            lengths.clear();
            to.clear();
            match self.take(&mut heads, &mut queries, &mut answers, (&mut lengths, &mut to)) {
                Ok(()) => {}
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(err) => {
                    debug!(%err, "no datagram can be read");
                    std::thread::sleep(PAUSE);
                    continue;
                }
            }
            self.send(&mut outgoing, &answers, &lengths, &to);
            self.tally.add(self.responder.take_counts());
        }
    }

    /// Reads what has come, and makes the answers.
    fn take<P: Peer>(
        &mut self,
        heads: &mut MultiHeaders<P>,
        queries: &mut [[u8; QUERY_BYTES_MAX]],
        answers: &mut [[u8; UDP_BYTES_MAX]],
        (lengths, to): (&mut Vec<usize>, &mut Vec<Option<P>>),
    ) -> Result<(), Errno> {
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] = {
            let mut queries = queries.iter_mut();
            std::array::from_fn(|_| [IoSliceMut::new(queries.next().expect("there are so many"))])
        };
        let fd = self.socket.as_raw_fd();
        let received = recvmmsg(fd, heads, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None)?;
        let tables = self.tables.tables();
        for message in received {
            let Some(peer) = message.address else { continue };
            let Some(query) = message.iovs().next() else { continue };
            // Nobody asks from port 0: an answer to it would reach nobody.
            if peer.port() == 0 {
                continue;
            }
            let out = &mut answers[lengths.len()];
            let len = self.responder.answer(tables, query, peer.ip(), Via::Datagram, out);
            if let Some(len) = len {
                lengths.push(len);
                to.push(Some(peer));
            }
        }
        Ok(())
    }

    /// Sends the answers. One that the system does not take is lost, as datagrams may be.
    fn send<P: Peer>(
        &self,
        outgoing: &mut MultiHeaders<P>,
        answers: &[[u8; UDP_BYTES_MAX]],
        lengths: &[usize],
        to: &[Option<P>],
    ) {
        let fd = self.socket.as_raw_fd();
        let mut sent = 0;
        while sent < lengths.len() {
            let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|index| {
                let len = lengths.get(sent + index).copied().unwrap_or(0);
                [IoSlice::new(&answers[(sent + index) % BATCH][..len])]
            });
            let slices = &slices[..lengths.len() - sent];
            match sendmmsg(fd, outgoing, slices, &to[sent..], [], MsgFlags::empty()) {
                Ok(results) => sent += results.count().max(1),
                Err(Errno::EINTR) => {}
                Err(err) => {
                    debug!(%err, "an answer cannot be sent");
                    sent += 1;
                }
            }
        }
    }
}
