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

use crate::faults::Faults;
use crate::handle::{Asked, ReplyTo, Shared};
use crate::links::{Class, LinkEvent, LinkTable};
use crate::log::{FetchRequest, Handed, Log, LogError, LogEvent, ReadRequest};
use crate::node::RunError;
use crate::window::Window;

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
    faults: &'static Faults,
}

impl Clock {
    /// Begins to count. The wall clock is as far off as a drill has it.
    pub(crate) fn start(faults: &'static Faults) -> Self {
        Self { start: Instant::now(), faults }
    }

    /// Reads both clocks.
    pub(crate) fn now(self) -> Now {
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let wall_ms = u64::try_from(wall.as_millis()).unwrap_or(u64::MAX);
        let wall_ms = wall_ms.saturating_add_signed(self.faults.clock_ms());
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
    window: Arc<Window>,
    clock: Clock,
    shared: Arc<Shared>,
    hands: Hands,
    is_dirty: bool,
    published: Duration,
}

/// What carries out what the machine says.
#[derive(Debug)]
struct Hands {
    log: Log,
    links: LinkTable,
    replies: HashMap<Ticket, ReplyTo>,
    pending: Vec<Arc<Op>>,
    pending_bytes: usize,
    /// Requests that the log is too busy to take. The machine has one for each peer and stream.
    fetches: VecDeque<ReadRequest>,
    appended: u64,
    durable: u64,
    halted: Option<WentBack>,
}

impl Driver {
    /// Takes over a machine that has been started.
    pub(crate) fn new(
        window: Arc<Window>,
        clock: Clock,
        log: Log,
        links: LinkTable,
        shared: Arc<Shared>,
    ) -> Self {
        shared.publish(window.look().view());
        let hands = Hands {
            log,
            links,
            replies: HashMap::new(),
            pending: Vec::new(),
            pending_bytes: 0,
            fetches: VecDeque::new(),
            appended: 0,
            durable: 0,
            halted: None,
        };
        Self { window, clock, shared, hands, is_dirty: true, published: Duration::ZERO }
    }

    /// Runs until it is told to stop and everything is durable, or the log fails.
    pub(crate) async fn run(
        mut self,
        mut inlets: Inlets,
        stop: CancellationToken,
    ) -> Result<(), RunError> {
        self.hands.carry_out(&mut self.window.start()); // What the start of the machine asked for.
        self.hands.hand_over();
        let shared = Arc::clone(&self.shared);
        let mut alarm = pin!(sleep_until(self.alarm()));
        loop {
            let at = self.alarm();
            if alarm.deadline() != at {
                alarm.as_mut().reset(at);
            }
            let takes_more = self.hands.pending_bytes < PENDING_BYTES_MAX;
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
                Woken::Log(event) => self.take_log(event.ok_or(LogError::Died)?)?,
                Woken::Link(event) => self.take_link(event),
                Woken::Command(asked) => self.take_command(asked),
                Woken::Abandoned | Woken::Time => {}
            }
            self.take_ready(now, &mut inlets)?;
            if let Some(why) = self.hands.halted {
                return Err(RunError::WentBack(why));
            }
            self.hands.hand_over();
            self.publish(now);
        }
        self.finish(inlets).await
    }

    /// Returns when to wake up at the latest.
    fn alarm(&self) -> Instant {
        let (wakeup, _why) = self.window.look().next_wakeup();
        let view = if self.is_dirty { self.published + VIEW_EVERY } else { Duration::MAX };
        self.clock.start + wakeup.min(view).min(ALARM_MAX)
    }

    /// Takes what is ready, of each kind in turn, so that none starves.
    fn take_ready(&mut self, now: Now, inlets: &mut Inlets) -> Result<(), RunError> {
        for ticket in self.shared.abandoned() {
            if self.hands.replies.remove(&ticket).is_some() {
                self.handle(Input::Abandon(ticket));
            }
        }
        for _ in 0..INPUTS_MAX {
            let Ok(event) = inlets.log.try_recv() else { break };
            self.take_log(event)?;
        }
        for _ in 0..INPUTS_MAX {
            if PENDING_BYTES_MAX <= self.hands.pending_bytes {
                break;
            }
            let Ok(event) = inlets.links.try_recv() else { break };
            self.take_link(event);
        }
        for _ in 0..INPUTS_MAX {
            if PENDING_BYTES_MAX <= self.hands.pending_bytes {
                break;
            }
            let Ok(asked) = inlets.commands.try_recv() else { break };
            self.take_command(asked);
        }
        for _ in 0..BULK_AT_ONCE_MAX {
            if PENDING_BYTES_MAX <= self.hands.pending_bytes {
                break;
            }
            let Ok(event) = inlets.bulk.try_recv() else { break };
            self.take_link(event);
        }
        if self.window.look().next_wakeup().0 <= now.mono {
            self.handle(Input::Tick);
        }
        Ok(())
    }

    fn take_log(&mut self, event: LogEvent) -> Result<(), RunError> {
        let input = match event {
            LogEvent::Durable(count) => {
                assert!(count <= self.hands.appended, "more is durable than was appended");
                self.hands.durable = count;
                Input::Durable(count)
            }
            LogEvent::Disk(disk) => Input::Disk(disk),
            LogEvent::Fetched { stream, from, ops } => Input::Fetched { stream, from, ops },
            LogEvent::Truncated => Input::Truncated,
            LogEvent::Failed(error) => return Err(error.into()),
        };
        self.handle(input);
        Ok(())
    }

    fn take_link(&mut self, event: LinkEvent) {
        for input in self.hands.links.take(event).into_iter().flatten() {
            self.handle(input);
        }
    }

    /// A client that has gone already still gets its write; only the reply is abandoned.
    fn take_command(&mut self, asked: Asked) {
        let Asked { ticket, command, reply } = asked;
        if reply.is_closed() && matches!(command, Command::Acquire { .. }) {
            return; // Leases for nobody would only lapse.
        }
        if reply.is_closed() {
            self.handle(Input::Command(ticket, command));
            return self.handle(Input::Abandon(ticket));
        }
        self.hands.replies.insert(ticket, reply);
        self.handle(Input::Command(ticket, command));
    }

    /// One mutation, then everything that comes of it.
    fn handle(&mut self, input: Input) {
        self.is_dirty = true;
        self.hands.carry_out(&mut self.window.change(input));
    }

    fn publish(&mut self, now: Now) {
        if self.is_dirty && self.published + VIEW_EVERY <= now.mono {
            self.shared.publish(self.window.look().view());
            self.is_dirty = false;
            self.published = now.mono;
        }
    }

    /// Takes no more, waits until all is durable and told, and ends the log.
    async fn finish(mut self, mut inlets: Inlets) -> Result<(), RunError> {
        inlets.commands.close();
        let deadline = Instant::now() + FLUSH_MAX;
        let late = |ops| move |_| RunError::Flush { ops, after: FLUSH_MAX };
        while self.hands.durable < self.hands.appended {
            let left = self.hands.appended - self.hands.durable;
            let event = timeout_at(deadline, inlets.log.recv()).await.map_err(late(left))?;
            self.take_log(event.ok_or(LogError::Died)?)?;
            self.hands.hand_over();
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

impl Hands {
    fn carry_out(&mut self, region: &mut Region) {
        while let Some(output) = region.poll() {
            match output {
                Output::Append(op) => {
                    self.appended += 1;
                    self.pending_bytes += op.weight();
                    self.pending.push(op);
                }
                Output::Send(peer, message) => {
                    let class = Class::of(region, peer, &message);
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
}
