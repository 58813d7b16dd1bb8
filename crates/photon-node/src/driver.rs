//! Owns the machine: brings it inputs, and carries its outputs out.
//! Must not decide anything.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use photon_region::{Command, Input, Output, Region, Ticket, WentBack};
use photon_state::{Now, Op};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::handle::{Asked, ReplyTo, Shared};
use crate::links::{Class, LinkEvent, LinkTable};
use crate::log::{FetchRequest, Handed, Log, LogError, LogEvent, ReadRequest};
use crate::node::RunError;

/// Inputs of each kind that are taken before the log and the readers get their share.
const INPUTS_MAX: usize = 512;
/// Messages in bulk that are taken before what is urgent gets its turn again: about 10 ms of work.
const BULK_AT_ONCE_MAX: usize = 4;
/// Bytes of ops that wait for the log; at it commands and messages wait in their queues.
const PENDING_BYTES_MAX: usize = 32 << 20;
/// How often the view is renewed at most.
const VIEW_EVERY: Duration = Duration::from_millis(250);
/// The latest alarm, as a time since the start: what a timer can surely hold.
const ALARM_MAX: Duration = Duration::from_secs(365 * 24 * 3600);
/// How long the log may take to become durable when the node stops.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Reads the clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// Begins to count.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Reads both clocks.
    pub(crate) fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        Now { mono: self.start.elapsed(), wall_ms }
    }
}

/// What flows into the driver.
#[derive(Debug)]
pub(crate) struct Inlets {
    pub(crate) commands: Receiver<Asked>,
    pub(crate) links: Receiver<LinkEvent>,
    /// Messages of peers that catch up, or that this region catches up with.
    pub(crate) bulk: Receiver<LinkEvent>,
    pub(crate) log: Receiver<LogEvent>,
}

/// What woke the driver. `None` from a channel means that its other side has gone.
enum Woken {
    Log(Option<LogEvent>),
    Command(Asked),
    Link(LinkEvent),
    Abandoned,
    Time,
}

/// The machine and all that it talks to.
#[derive(Debug)]
pub(crate) struct Driver {
    region: Region,
    clock: Clock,
    log: Log,
    links: LinkTable,
    shared: Arc<Shared>,
    replies: HashMap<Ticket, ReplyTo>,
    pending: Vec<Arc<Op>>,
    pending_bytes: usize,
    /// Requests that the log is too busy to take. The machine has one for each peer and stream.
    fetches: VecDeque<ReadRequest>,
    appended: u64,
    durable: u64,
    is_dirty: bool,
    published: Duration,
    halted: Option<WentBack>,
}

impl Driver {
    /// Takes over a machine that has been started.
    pub(crate) fn new(
        region: Region,
        clock: Clock,
        log: Log,
        links: LinkTable,
        shared: Arc<Shared>,
    ) -> Self {
        shared.publish(region.view());
        Self {
            region,
            clock,
            log,
            links,
            shared,
            replies: HashMap::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            fetches: VecDeque::new(),
            appended: 0,
            durable: 0,
            is_dirty: true,
            published: Duration::ZERO,
            halted: None,
        }
    }

    /// Runs until it is told to stop and everything is durable, or the log fails.
    pub(crate) async fn run(
        mut self,
        mut inlets: Inlets,
        stop: CancellationToken,
    ) -> Result<(), RunError> {
        self.carry_out(); // What the start of the machine asked for.
        self.hand_over();
        let shared = Arc::clone(&self.shared);
        let mut alarm = pin!(sleep_until(self.alarm()));
        loop {
            let at = self.alarm();
            if alarm.deadline() != at {
                alarm.as_mut().reset(at);
            }
            let takes_more = self.pending_bytes < PENDING_BYTES_MAX;
            let woken = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                event = inlets.log.recv() => Woken::Log(event),
                Some(event) = inlets.links.recv(), if takes_more => Woken::Link(event),
                Some(asked) = inlets.commands.recv(), if takes_more => Woken::Command(asked),
                Some(event) = inlets.bulk.recv(), if takes_more => Woken::Link(event),
                () = shared.on_abandoned.notified() => Woken::Abandoned,
                () = alarm.as_mut() => Woken::Time,
            };
            let now = self.clock.now();
            match woken {
                Woken::Log(event) => self.take_log(now, event.ok_or(LogError::Died)?)?,
                Woken::Link(event) => self.take_link(now, event),
                Woken::Command(asked) => self.take_command(now, asked),
                Woken::Abandoned | Woken::Time => {}
            }
            self.take_ready(now, &mut inlets)?;
            if let Some(why) = self.halted {
                return Err(RunError::WentBack(why));
            }
            self.hand_over();
            self.publish(now);
        }
        self.finish(inlets).await
    }

    /// Returns when to wake up at the latest.
    fn alarm(&self) -> Instant {
        let (wakeup, _why) = self.region.next_wakeup();
        let view = if self.is_dirty { self.published + VIEW_EVERY } else { Duration::MAX };
        self.clock.start + wakeup.min(view).min(ALARM_MAX)
    }

    /// Takes what is ready, of each kind in turn, so that none starves.
    fn take_ready(&mut self, now: Now, inlets: &mut Inlets) -> Result<(), RunError> {
        for ticket in self.shared.abandoned() {
            if self.replies.remove(&ticket).is_some() {
                self.handle(now, Input::Abandon(ticket));
            }
        }
        for _ in 0..INPUTS_MAX {
            let Ok(event) = inlets.log.try_recv() else { break };
            self.take_log(now, event)?;
        }
        for _ in 0..INPUTS_MAX {
            if PENDING_BYTES_MAX <= self.pending_bytes {
                break;
            }
            let Ok(event) = inlets.links.try_recv() else { break };
            self.take_link(now, event);
        }
        for _ in 0..INPUTS_MAX {
            if PENDING_BYTES_MAX <= self.pending_bytes {
                break;
            }
            let Ok(asked) = inlets.commands.try_recv() else { break };
            self.take_command(now, asked);
        }
        for _ in 0..BULK_AT_ONCE_MAX {
            if PENDING_BYTES_MAX <= self.pending_bytes {
                break;
            }
            let Ok(event) = inlets.bulk.try_recv() else { break };
            self.take_link(now, event);
        }
        if self.region.next_wakeup().0 <= now.mono {
            self.handle(now, Input::Tick);
        }
        Ok(())
    }

    fn take_log(&mut self, now: Now, event: LogEvent) -> Result<(), RunError> {
        let input = match event {
            LogEvent::Durable(count) => {
                assert!(count <= self.appended, "more is durable than was appended");
                self.durable = count;
                Input::Durable(count)
            }
            LogEvent::Disk(disk) => Input::Disk(disk),
            LogEvent::Fetched { stream, from, ops } => Input::Fetched { stream, from, ops },
            LogEvent::Truncated => Input::Truncated,
            LogEvent::Failed(error) => return Err(error.into()),
        };
        self.handle(now, input);
        Ok(())
    }

    fn take_link(&mut self, now: Now, event: LinkEvent) {
        for input in self.links.take(event).into_iter().flatten() {
            self.handle(now, input);
        }
    }

    /// A client that has gone already still gets its write; only the reply is abandoned.
    fn take_command(&mut self, now: Now, asked: Asked) {
        let Asked { ticket, command, reply } = asked;
        if reply.is_closed() && matches!(command, Command::Acquire { .. }) {
            return; // Leases for nobody would only lapse.
        }
        if reply.is_closed() {
            self.handle(now, Input::Command(ticket, command));
            return self.handle(now, Input::Abandon(ticket));
        }
        self.replies.insert(ticket, reply);
        self.handle(now, Input::Command(ticket, command));
    }

    /// One mutation, then everything that comes of it.
    fn handle(&mut self, now: Now, input: Input) {
        self.is_dirty = true;
        self.region.handle(now, input);
        self.carry_out();
    }

    fn carry_out(&mut self) {
        while let Some(output) = self.region.poll() {
            match output {
                Output::Append(op) => {
                    self.appended += 1;
                    self.pending_bytes += op.weight();
                    self.pending.push(op);
                }
                Output::Send(peer, message) => {
                    let class = Class::of(&self.region, peer, &message);
                    self.links.send(peer, class, message);
                }
                Output::Reply(ticket, reply) => {
                    if let Some(to) = self.replies.remove(&ticket) {
                        let _ = to.send(reply); // The client may go at any moment.
                    }
                }
                Output::Fetch { stream, from, bytes_max } => {
                    let request = FetchRequest { stream, from, bytes_max };
                    self.fetches.push_back(ReadRequest::Fetch(request));
                }
                Output::Truncate { stream, seq } => {
                    self.fetches.push_back(ReadRequest::Truncate { stream, seq });
                }
                Output::Notice(notice) => crate::notice::tell(&notice),
                Output::Halt(why) => self.halted = Some(why),
            }
        }
    }

    /// Hands to the log what it can take; the rest waits for its next event.
    fn hand_over(&mut self) {
        if !self.pending.is_empty() {
            match self.log.append(std::mem::take(&mut self.pending)) {
                Handed::Taken => self.pending_bytes = 0,
                Handed::Busy(ops) => self.pending = ops,
                Handed::Dead => {} // The log says why in an event, or ends its channel.
            }
        }
        while let Some(request) = self.fetches.pop_front() {
            match self.log.read(request) {
                Handed::Taken => {}
                Handed::Busy(request) => return self.fetches.push_front(request),
                Handed::Dead => return,
            }
        }
    }

    fn publish(&mut self, now: Now) {
        if self.is_dirty && self.published + VIEW_EVERY <= now.mono {
            self.shared.publish(self.region.view());
            self.is_dirty = false;
            self.published = now.mono;
        }
    }

    /// Takes no more, waits until all is durable and told, and ends the log.
    async fn finish(mut self, mut inlets: Inlets) -> Result<(), RunError> {
        inlets.commands.close();
        let deadline = Instant::now() + FLUSH_MAX;
        let late = |ops| move |_| RunError::Flush { ops, after: FLUSH_MAX };
        while self.durable < self.appended {
            let left = self.appended - self.durable;
            let event = timeout_at(deadline, inlets.log.recv()).await.map_err(late(left))?;
            self.take_log(self.clock.now(), event.ok_or(LogError::Died)?)?;
            self.hand_over();
        }
        drop(self);
        // The threads end when their queues do, and the channel when both have ended.
        while let Some(event) = timeout_at(deadline, inlets.log.recv()).await.map_err(late(0))? {
            if let LogEvent::Failed(error) = event {
                return Err(error.into());
            }
        }
        Ok(())
    }
}
