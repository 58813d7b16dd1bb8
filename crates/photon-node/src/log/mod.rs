//! The embedded log of a region: every op, in the order of its appending, in checksummed segments.
//! Must not know what an op means.
//!
//! Two threads serve it: one commits groups, one reads back. What happens at a failure:
//! a torn tail is cut off at the start; a full disk turns writes away before the log is stuck; and
//! anything else stops the node, because a log that cannot be trusted must not acknowledge.

mod ahead;
mod append;
mod error;
mod folder;
mod format;
mod index;
pub(crate) mod probe;
mod read;
mod recover;
mod segment;
#[cfg(test)]
mod tests;

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use photon_region::Disk;
use photon_state::{Op, StreamId};
use tokio::sync::mpsc;
use tracing::{info, warn};

use append::Appender;
use index::Index;
use read::LogReader;

pub(crate) use error::{At, names};
pub use error::{Corrupt, DiskFailed, LogError};
pub(crate) use folder::{Folder, FolderOptions, mark_halted};
pub use recover::{Recovered, Torn};

use crate::stats::LogCounters;

/// Batches that wait for the thread that commits; at it the driver keeps collecting the next one.
const BATCHES_MAX: usize = 2;
/// Requests that wait for the thread that reads; at it the driver keeps the rest.
const FETCHES_MAX: usize = 64;
/// Ops that are taken together from the batches that wait.
const TAKEN_MAX: usize = 64 << 10;
/// How often a full disk is asked for room again.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// What the log tells the driver.
#[derive(Debug)]
pub(crate) enum LogEvent {
    /// So many appends since the start are on disk.
    Durable(u64),
    /// The disk ran out of room, or has room again.
    Disk(Disk),
    /// What was asked for.
    Fetched { stream: StreamId, from: u64, ops: Vec<Arc<Op>> },
    /// All that was no longer needed was let go of.
    Truncated,
    /// The log can go on no more.
    Failed(LogError),
}

/// Asks for ops of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FetchRequest {
    pub stream: StreamId,
    pub from: u64,
    pub bytes_max: usize,
}

/// What the thread that reads is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ReadRequest {
    /// Read ops back.
    Fetch(FetchRequest),
    /// Let go of the segments before the one that holds an op.
    Truncate { stream: StreamId, seq: u64 },
}

/// The driver's end of a log that runs. Its threads end when it is dropped and all is written.
#[derive(Debug)]
pub(crate) struct Log {
    batches: SyncSender<Vec<Arc<Op>>>,
    fetches: SyncSender<ReadRequest>,
}

/// A log that was read, and does not run yet.
#[derive(Debug)]
pub(crate) struct ReadLog {
    folder: Folder,
    tail: recover::Tail,
    counters: Arc<LogCounters>,
}

impl ReadLog {
    /// Reads the log of a folder and gives each op to `replay`.
    pub(crate) fn open<T: From<Arc<Op>> + Send>(
        folder: Folder,
        counters: Arc<LogCounters>,
        replay: impl FnMut(T),
    ) -> Result<(Self, Recovered), LogError> {
        let (tail, recovered) = ahead::recover(&folder, replay)?;
        counters.recovered(&recovered);
        Ok((Self { folder, tail, counters }, recovered))
    }

    /// Starts the threads. What they report goes to `events`, the last sender of which is theirs.
    pub(crate) fn run(self, events: mpsc::Sender<LogEvent>) -> io::Result<Log> {
        let Self { folder, tail, counters } = self;
        let (batches, batches_rx) = sync_channel(BATCHES_MAX);
        let (fetches, fetches_rx) = sync_channel(FETCHES_MAX);
        let (appender, index) = tail.into_appender(&folder);
        let index = Arc::new(Mutex::new(index));
        let reader = LogReader::new(folder.log.clone(), folder.owner, Arc::clone(&index));
        let (reader_events, until_unlocked) = (events.clone(), events.clone());
        let writer = Writer { appender, index, counters, events, durable: 0, disk: Disk::Ready };
        thread::Builder::new().name("photon-log".into()).spawn(move || {
            writer.run(&batches_rx);
            drop(folder); // The lock is held until the last write,
            drop(until_unlocked); // and who waits for the end may open the folder again.
        })?;
        thread::Builder::new()
            .name("photon-fetch".into())
            .spawn(move || run_reader(&reader, &fetches_rx, &reader_events))?;
        Ok(Log { batches, fetches })
    }
}

/// What became of something that was handed to the log.
#[derive(Debug)]
pub(crate) enum Handed<T> {
    /// The log has it.
    Taken,
    /// The log is busy; here it is again.
    Busy(T),
    /// The log is dead, and says why as an event.
    Dead,
}

fn hand<T>(to: &SyncSender<T>, what: T) -> Handed<T> {
    match to.try_send(what) {
        Ok(()) => Handed::Taken,
        Err(TrySendError::Full(what)) => Handed::Busy(what),
        Err(TrySendError::Disconnected(_)) => Handed::Dead,
    }
}

impl Log {
    /// Hands over ops to be committed, in order.
    pub(crate) fn append(&self, ops: Vec<Arc<Op>>) -> Handed<Vec<Arc<Op>>> {
        hand(&self.batches, ops)
    }

    /// Asks for ops, or for room.
    pub(crate) fn read(&self, request: ReadRequest) -> Handed<ReadRequest> {
        hand(&self.fetches, request)
    }
}

/// The driver has gone, so that there is nobody to work for.
struct DriverGone;

/// The thread that commits.
struct Writer {
    appender: Appender,
    index: Arc<Mutex<Index>>,
    counters: Arc<LogCounters>,
    events: mpsc::Sender<LogEvent>,
    durable: u64,
    disk: Disk,
}

impl Writer {
    fn run(mut self, batches: &Receiver<Vec<Arc<Op>>>) {
        if self.reserve().is_err() {
            return;
        }
        loop {
            let batch = match self.disk {
                Disk::Ready => batches.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Disk::Full => batches.recv_timeout(RETRY_EVERY),
            };
            let served = match batch {
                Ok(batch) => self.commit(batch, batches).and_then(|()| self.reserve()),
                Err(RecvTimeoutError::Timeout) => self.reserve(),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if served.is_err() {
                return;
            }
        }
    }

    fn tell(&self, event: LogEvent) -> Result<(), DriverGone> {
        self.events.blocking_send(event).map_err(|_| DriverGone)
    }

    fn fail<T>(&self, error: LogError) -> Result<T, DriverGone> {
        self.tell(LogEvent::Failed(error))?;
        Err(DriverGone)
    }

    /// Commits a batch, and whatever else waits by then.
    fn commit(
        &mut self,
        mut ops: Vec<Arc<Op>>,
        more: &Receiver<Vec<Arc<Op>>>,
    ) -> Result<(), DriverGone> {
        while ops.len() < TAKEN_MAX
            && let Ok(next) = more.try_recv()
        {
            ops.extend(next);
        }
        let mut rest = &ops[..];
        while !rest.is_empty() {
            let group = match self.appender.commit(rest) {
                Ok(group) => group,
                Err(LogError::NoRoom { .. }) => {
                    // Nothing was written: the same ops are tried again until there is room.
                    self.show(Disk::Full)?;
                    if self.events.is_closed() {
                        return Err(DriverGone);
                    }
                    thread::sleep(RETRY_EVERY);
                    continue;
                }
                Err(error) => return self.fail(error),
            };
            let (done, left) = rest.split_at(group.ops);
            {
                let mut index = self.index.lock().expect("no holder of the index panics");
                done.iter().for_each(|op| index.note(op.stream, op.seq, group.at));
                index.advance(group.end);
            }
            self.counters.committed(group.ops, group.end.offset - group.at.offset, group.sync);
            self.durable += done.len() as u64;
            self.tell(LogEvent::Durable(self.durable))?;
            rest = left;
        }
        Ok(())
    }

    /// Keeps a reserve, and tells when there is none or there is one again.
    fn reserve(&mut self) -> Result<(), DriverGone> {
        let disk = match self.appender.reserve() {
            Ok(disk) => disk,
            Err(error) => return self.fail(error),
        };
        self.show(disk)
    }

    /// Tells whether the log can take more, if that is news.
    fn show(&mut self, disk: Disk) -> Result<(), DriverGone> {
        if disk == self.disk {
            return Ok(());
        }
        match disk {
            Disk::Full => warn!("the disk is full: writes are refused until there is room"),
            Disk::Ready => info!("the disk has room again: writes are accepted"),
        }
        self.disk = disk;
        self.tell(LogEvent::Disk(disk))
    }
}

fn run_reader(
    reader: &LogReader,
    requests: &Receiver<ReadRequest>,
    events: &mpsc::Sender<LogEvent>,
) {
    while let Ok(request) = requests.recv() {
        let event = match request {
            ReadRequest::Fetch(FetchRequest { stream, from, bytes_max }) => {
                match reader.fetch(stream, from, bytes_max) {
                    Ok(ops) => LogEvent::Fetched { stream, from, ops },
                    Err(error) => LogEvent::Failed(error),
                }
            }
            ReadRequest::Truncate { stream, seq } => match reader.truncate(&stream, seq) {
                Ok(removed) => {
                    info!(removed, "segments of the log are no longer needed and were removed");
                    if !reader.begins_with(&stream, seq) {
                        continue; // There was no room to begin one with the state.
                    }
                    LogEvent::Truncated
                }
                Err(error) => LogEvent::Failed(error),
            },
        };
        if events.blocking_send(event).is_err() {
            return;
        }
    }
}
