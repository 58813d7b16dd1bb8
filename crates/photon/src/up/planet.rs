//! The regions of a planet as they come and go: each event, and what it leads to.
//! Must not touch files or ports; children, probes and reports do that.

mod harm;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;
use photon_sim::Harm;
use photon_state::RegionId;
use rustix::process::Signal;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::harm::Harms;
use super::Happening;
use super::child::{End, Recipe, Running};
use super::control::{Answer, Asked, Order};
use super::probe::until_ready;
use super::report::{Change, Report};
use crate::client::Client;
use crate::wan::Paths;

/// A region that `up` looks after.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) recipe: Recipe,
    pub(super) client: Client,
    state: State,
    has_been_up: bool,
}

#[derive(Debug)]
enum State {
    /// It does not run.
    Down,
    /// It runs, and is not ready yet.
    Starting {
        running: Running,
        since: Instant,
        waiting: Option<Waiting>,
        probe: CancellationToken,
    },
    /// It is ready.
    Up { running: Running },
    /// It has been told to end.
    Ending { running: Running, change: Change, waiting: Vec<Waiting> },
}

type Waiting = oneshot::Sender<Answer>;

impl Member {
    pub(super) fn new(recipe: Recipe, client: Client) -> Self {
        Self { recipe, client, state: State::Down, has_been_up: false }
    }

    fn running(&self) -> Option<&Running> {
        match &self.state {
            State::Down => None,
            State::Starting { running, .. }
            | State::Up { running }
            | State::Ending { running, .. } => Some(running),
        }
    }

    fn is_up(&self) -> bool {
        match self.state {
            State::Up { .. } => true,
            State::Down | State::Starting { .. } | State::Ending { .. } => false,
        }
    }
}

/// The regions that `up` looks after.
#[derive(Debug)]
pub(super) struct Planet {
    members: BTreeMap<RegionId, Member>,
    harms: Harms,
    happenings: mpsc::Sender<Happening>,
    tasks: TaskTracker,
    stop: CancellationToken,
    report: Report,
}

impl Planet {
    pub(super) fn new(
        members: BTreeMap<RegionId, Member>,
        happenings: mpsc::Sender<Happening>,
        (tasks, stop): (TaskTracker, CancellationToken),
        report: Report,
    ) -> Self {
        let harms = Harms::default();
        Self { members, harms, happenings, tasks, stop, report }
    }

    /// Takes the paths of the links, so that they can fail.
    pub(super) fn with_paths(mut self, paths: Option<Paths>) -> Self {
        self.harms = Harms::new(paths);
        self
    }

    /// Starts every region. Each is ready when it is linked to all others.
    pub(super) fn start_all(&mut self) -> Result<()> {
        let all: BTreeSet<_> = self.members.keys().copied().collect();
        for region in &all {
            let peers = all.iter().copied().filter(|it| it != region).collect();
            self.start(*region, peers, None)?;
        }
        Ok(())
    }

    pub(super) fn is_ready(&self) -> bool {
        self.members.values().all(Member::is_up)
    }

    /// Whether a region does not run.
    pub(super) fn lacks_one(&self) -> bool {
        self.members.values().any(|it| it.running().is_none())
    }

    pub(super) fn is_down(&self) -> bool {
        self.members.values().all(|it| it.running().is_none())
    }

    /// Returns the process of each region that runs.
    pub(super) fn pids(&self) -> BTreeMap<RegionId, u32> {
        let pid = |(region, member): (&RegionId, &Member)| Some((*region, member.running()?.pid));
        self.members.iter().filter_map(pid).collect()
    }

    /// Tells every region that runs to end.
    pub(super) fn end_all(&mut self, signal: Signal) {
        for member in self.members.values_mut() {
            end(member, Change::Stopped, signal, None);
        }
    }

    /// Takes note of the end of a region; returns whether it had failed to start.
    pub(super) fn ended(&mut self, region: RegionId, pid: u32, how: &End) -> Result<Fate> {
        let member = self.members.get_mut(&region).expect("only members are started");
        if member.running().is_none_or(|it| it.pid != pid) {
            return Ok(Fate::Told);
        }
        let returns = self.returns(region);
        if !returns {
            self.forget_down(region); // It cannot stand still any more.
        }
        let member = self.members.get_mut(&region).expect("found above");
        match std::mem::replace(&mut member.state, State::Down) {
            State::Down => {}
            State::Starting { running, waiting, probe, .. } => {
                probe.cancel();
                self.report.last_words(region, &running.last_words());
                let text = format!("{how} before it was ready");
                self.report.change(region, Change::Failed, &text)?;
                answer(waiting, Answer::Failed(format!("`{region}` failed: {text}")));
                return Ok(Fate::NeverReady);
            }
            State::Up { running } => {
                if let End::Other(_) = how {
                    self.report.last_words(region, &running.last_words());
                }
                let text = format!("{how}; {}", bring_back(region));
                self.report.change(region, Change::Died, &text)?;
            }
            State::Ending { change, waiting, .. } => {
                if !self.stop.is_cancelled() {
                    let back = if returns { "it returns".to_owned() } else { bring_back(region) };
                    let text = format!("{how}; {back}");
                    self.report.change(region, change, &text)?;
                }
                for waiting in waiting {
                    answer(Some(waiting), Answer::Done(format!("`{region}` is down: {how}")));
                }
            }
        }
        Ok(Fate::Told)
    }

    /// Takes note that a process of a region is ready, or that it gave up hope; returns how that
    /// went.
    pub(super) fn probed(
        &mut self,
        region: RegionId,
        pid: u32,
        lack: Option<String>,
    ) -> Result<Fate> {
        let member = self.members.get_mut(&region).expect("only members are started");
        if member.running().is_none_or(|it| it.pid != pid) {
            return Ok(Fate::Told); // It was said of a process that has ended.
        }
        let state = std::mem::replace(&mut member.state, State::Down);
        let State::Starting { running, since, waiting, .. } = state else {
            member.state = state;
            return Ok(Fate::Told);
        };
        member.state = State::Up { running };
        if let Some(lack) = lack {
            let text = format!("`{region}` runs, but {lack}");
            self.report.change(region, Change::Failed, &text)?;
            answer(waiting, Answer::Failed(text));
            return Ok(Fate::NeverReady);
        }
        // That a region is there for the first time is told once all are.
        if std::mem::replace(&mut member.has_been_up, true) || waiting.is_some() {
            let text = format!("ready in {:.2} s", since.elapsed().as_secs_f64());
            self.report.change(region, Change::Back, &text)?;
            answer(waiting, Answer::Done(format!("`{region}` is {text}")));
        }
        Ok(Fate::Told)
    }

    /// Carries out an order, or refuses it.
    pub(super) fn asked(&mut self, asked: Asked) {
        let Asked { order, answer: waiting } = asked;
        let lasting = |ms: Option<u64>| ms.map(Duration::from_millis);
        let (harm, lasts) = match order {
            Order::Stop { region } => return self.with_region(&region, waiting, Self::end_one),
            Order::Start { region } => return self.with_region(&region, waiting, Self::start_one),
            Order::Resume { region } => return self.with_region(&region, waiting, Self::resume),
            Order::Mend => return self.mend(waiting),
            Order::Show => return answer(Some(waiting), Answer::Shown(self.shown())),
            Order::Kill { region, for_ms } => {
                (harm::region(&region).map(Harm::KillRegion), lasting(for_ms))
            }
            Order::Stall { region, for_ms } => {
                (harm::region(&region).map(Harm::StallRegion), lasting(for_ms))
            }
            Order::Cut { paths, for_ms } => {
                let paths = harm::paths(&paths);
                (paths.map(|(paths, way)| Harm::Partition(paths, way)), lasting(for_ms))
            }
            Order::Slow { paths, by_ms, for_ms } => {
                let by = Duration::from_millis(by_ms);
                let paths = harm::paths(&paths);
                (paths.map(|(paths, way)| Harm::SlowLink(paths, way, by)), lasting(for_ms))
            }
            Order::Clock { region, by_ms, for_ms } => {
                let region = harm::region(&region);
                (region.map(|it| Harm::ClockJump(it, by_ms)), lasting(for_ms))
            }
            Order::Fill { region, for_ms } => {
                (harm::region(&region).map(Harm::DiskFull), lasting(for_ms))
            }
        };
        match harm {
            Ok(harm) => self.harm(&harm, lasts, Some(waiting)),
            Err(no) => answer(Some(waiting), no),
        }
    }

    /// Does something with a region of this planet; another one is not found.
    fn with_region(
        &mut self,
        name: &str,
        waiting: Waiting,
        act: impl FnOnce(&mut Self, RegionId, Waiting),
    ) {
        let region = RegionId::try_from(name).ok();
        let Some(region) = region.filter(|it| self.members.contains_key(it)) else {
            let known: Vec<_> = self.members.keys().map(RegionId::as_str).collect();
            let known = known.join(", ");
            let text = format!("the planet has no region `{name}`; it has: {known}");
            return answer(Some(waiting), Answer::NotFound(text));
        };
        act(self, region, waiting);
    }

    fn end_one(&mut self, region: RegionId, waiting: Waiting) {
        if self.members[&region].running().is_none() {
            let text = format!("`{region}` is down already");
            return answer(Some(waiting), Answer::Refused(text));
        }
        self.forget_down(region);
        let member = self.members.get_mut(&region).expect("the caller has found it");
        end(member, Change::Stopped, Signal::TERM, Some(waiting));
    }

    fn start_one(&mut self, region: RegionId, waiting: Waiting) {
        if self.members[&region].running().is_some() {
            let text = format!("`{region}` runs already");
            return answer(Some(waiting), Answer::Refused(text));
        }
        self.forget_down(region);
        self.start_alone(region, Some(waiting));
    }

    /// Starts a region that is down, among those that are up.
    fn start_alone(&mut self, region: RegionId, waiting: Option<Waiting>) {
        if self.members[&region].running().is_some() {
            return answer(waiting, Answer::Refused(format!("`{region}` runs already")));
        }
        let up = self.members.iter().filter(|(_, it)| it.is_up());
        let peers = up.map(|(name, _)| *name).collect();
        if let Err(error) = self.start(region, peers, waiting) {
            self.report.remark(&format!("{error:#}"));
        }
    }

    fn start(
        &mut self,
        region: RegionId,
        peers: BTreeSet<RegionId>,
        waiting: Option<Waiting>,
    ) -> Result<()> {
        let member = self.members.get_mut(&region).expect("the caller has found it");
        let running = match member.recipe.start(&self.tasks, self.happenings.clone()) {
            Ok(running) => running,
            Err(error) => {
                answer(waiting, Answer::Failed(format!("{error:#}")));
                return Err(error);
            }
        };
        let probe = self.stop.child_token();
        let (since, pid) = (Instant::now(), running.pid);
        member.state = State::Starting { running, since, waiting, probe: probe.clone() };
        let (client, happenings) = (member.client.clone(), self.happenings.clone());
        self.tasks.spawn(async move {
            let probing = probe.run_until_cancelled(until_ready(&client, &peers)).await;
            if let Some(found) = probing {
                let lack = found.err().map(|it| format!("{:#}", anyhow::Error::from(it)));
                // Nobody listens only when `up` itself is ending.
                let _ = happenings.send(Happening::Probed { region, pid, lack }).await;
            }
        });
        Ok(())
    }
}

/// Whether a region has come to what was hoped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// All that is to be said has been said.
    Told,
    /// It did not become ready.
    NeverReady,
}

/// Tells a region that runs to end, and remembers who waits for it.
fn end(member: &mut Member, change: Change, signal: Signal, waiting: Option<Waiting>) {
    let (running, mut all) = match std::mem::replace(&mut member.state, State::Down) {
        State::Down => return,
        State::Starting { running, waiting: starter, probe, .. } => {
            probe.cancel();
            answer(starter, Answer::Failed("it was stopped before it was ready".to_owned()));
            (running, Vec::new())
        }
        State::Up { running } => (running, Vec::new()),
        State::Ending { running, waiting, .. } => (running, waiting),
    };
    running.signal(signal);
    all.extend(waiting);
    member.state = State::Ending { running, change, waiting: all };
}

fn answer(waiting: Option<Waiting>, text: Answer) {
    if let Some(waiting) = waiting {
        // Who has hung up needs no answer.
        let _ = waiting.send(text);
    }
}

fn bring_back(region: RegionId) -> String {
    format!("bring it back with `photon region start {region}`")
}
