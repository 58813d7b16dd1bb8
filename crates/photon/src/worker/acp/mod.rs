//! Work that a program does which speaks the Agent Client Protocol: one task is one turn of it.
//! Must not know how the region is talked to.

mod care;
mod host;
mod hosts;
mod outlet;
mod permission;
mod pipe;
mod prompt;
#[cfg(test)]
mod tests;
mod turn;
mod wire;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use photon_edge::v1::types::{Lease, PauseFor};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::Instant;

use self::host::{Host, Purpose};
pub use self::host::{HostError, Launch};
use self::hosts::{Hosts, Pause, Waiting};
use self::outlet::Outlet;
pub use self::permission::Permissions;
use self::turn::{End, Turn};
use super::attempt::{Attempt, Failure, REASON_BYTES_MAX, Then, Verdict};
use super::command::{Begun, UNSENT_MAX, deliver, until};
use super::program::Piece;

/// Bytes of the first line of a failure's reason that are passed on if all of it is too long.
const HEADLINE_BYTES_MAX: usize = 1 << 10;

/// How an agent is worked with.
#[derive(Clone, Debug)]
pub struct AcpOptions {
    /// How its program is started.
    pub launch: Launch,
    /// How long a turn may take.
    pub timeout: Option<Duration>,
    /// What it may do.
    pub permissions: Permissions,
    /// How many tasks it works on at once.
    pub concurrency: u32,
}

/// What a program says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Introduction {
    /// Its name.
    pub name: String,
    /// What people call it, with its version.
    pub title: String,
}

/// A program that is asked for each task.
#[derive(Clone, Debug)]
pub struct AcpJob {
    options: AcpOptions,
    hosts: Arc<Hosts>,
    /// Whether a program did not start, or opened no session, since one did.
    is_doubted: Arc<AtomicBool>,
}

/// Why a turn is cut short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    /// The attempt is over.
    Stopped,
    /// It takes too long.
    Late,
}

impl AcpJob {
    /// Starts the program, to see that it can be worked with, and keeps it for the first task.
    pub async fn start(options: AcpOptions) -> Result<(Self, Option<Introduction>), HostError> {
        let hosts = Arc::new(Hosts::new(options.concurrency as usize));
        let host = Host::start_with_spare(&options.launch, hosts.place()).await?;
        let introduction = host.greeting.agent_info.as_ref().map(|it| {
            let title = it.title.as_ref().unwrap_or(&it.name);
            let title = format!("{title} {}", it.version).trim().to_owned();
            Introduction { name: it.name.clone(), title }
        });
        let job = Self { options, hosts, is_doubted: Arc::default() };
        job.rest(host).await;
        Ok((job, introduction))
    }

    /// Has the program take a turn; returns what came of it.
    pub(super) async fn work(&self, attempt: &Attempt<'_>) -> Verdict {
        let (waiting, stale) = self.answered(attempt.lease);
        let begun = waiting.as_ref().map_or(Begun::Not, |it| it.turn.begun);
        let (pieces, unsent) = mpsc::channel(UNSENT_MAX);
        let taking = Box::pin(self.take_turn(attempt, waiting, pieces));
        let dismissing = Box::pin(attempt.until_killed(self.dismiss(stale)));
        let (verdict, (), _) = tokio::join!(taking, deliver(attempt, unsent, begun), dismissing);
        verdict
    }

    async fn take_turn(
        &self,
        attempt: &Attempt<'_>,
        waiting: Option<Waiting>,
        pieces: mpsc::Sender<Piece>,
    ) -> Verdict {
        let due = self.options.timeout.map(|it| Instant::now() + it);
        let is_anew = waiting.is_none() && !attempt.lease.turns.is_empty();
        let found = match waiting {
            Some(waiting) => self.tell(attempt, waiting).await,
            None => Box::pin(self.begin(attempt, due)).await,
        };
        let (mut host, mut turn) = match found {
            Ok(found) => found,
            Err(verdict) => return verdict,
        };
        let mut outlet = Outlet::new(pieces, turn.begun, attempt.stop.clone());
        if is_anew {
            // What was said before the client was asked is of a turn that is lost.
            outlet.clear().await;
        }
        let followed = tokio::select! {
            end = turn.follow(&mut host, &mut outlet, self.options.permissions) => Ok(end),
            why = cut(attempt, due) => Err(why),
        };
        turn.begun = outlet.begun;
        match followed {
            Ok(Ok(End::Asks)) => self.ask(attempt, host, turn, "").await,
            Ok(Ok(End::Stopped(reason))) => {
                outlet.finish().await;
                let verdict = verdict(&reason);
                if !matches!(verdict, Verdict::Completed(_)) {
                    host.forget(&turn.session);
                }
                self.rest(host).await;
                verdict
            }
            Ok(Err(error)) => {
                outlet.finish().await;
                host.forget(&turn.session);
                self.give_up(host, &error).await
            }
            Err(why) => {
                self.call_off(attempt, host, turn, why).await;
                outlet.finish().await;
                self.cut_short(attempt, why)
            }
        }
    }

    /// Tells a program that waits what its client has answered.
    async fn tell(&self, attempt: &Attempt<'_>, waiting: Waiting) -> Result<(Host, Turn), Verdict> {
        let Waiting { mut host, mut turn, .. } = waiting;
        let answer = attempt.lease.turns.last().and_then(|it| it.parse().ok());
        match answer.map_or(Ok(false), |it| turn.tell(&mut host, &it)) {
            Ok(true) => Ok((host, turn)),
            Ok(false) => {
                let before = "That is none of the choices.\n";
                Err(self.ask(attempt, host, turn, before).await)
            }
            Err(broken) => Err(self.give_up(host, &broken.into()).await),
        }
    }

    /// Finds a program that can be asked, and asks it.
    async fn begin(
        &self,
        attempt: &Attempt<'_>,
        due: Option<Instant>,
    ) -> Result<(Host, Turn), Verdict> {
        let (launch, lease) = (&self.options.launch, attempt.lease);
        let purpose = purpose(lease);
        let mut found = self.hosts.take(&purpose);
        loop {
            let has_rested = found.is_some();
            let mut host = match found.take() {
                Some(host) => host,
                None => self.start_one(attempt, due).await?,
            };
            // The program is others', too: whatever happens to this attempt, it is kept.
            let opened = tokio::select! {
                opened = host.session(launch, &purpose) => opened,
                why = cut(attempt, due) => {
                    self.rest(host).await;
                    return Err(self.cut_short(attempt, why));
                }
            };
            let session = match opened {
                Ok(session) => session,
                // It has ended while it rested, and was asked nothing yet.
                Err(HostError::Broken(why)) if has_rested => {
                    tracing::debug!(why, "a program has ended between two tasks");
                    host.pipe.end().await;
                    found = self.hosts.take(&purpose);
                    continue;
                }
                Err(error) => {
                    self.doubt();
                    return Err(self.give_up(host, &error).await);
                }
            };
            self.trust();
            let takes = host.greeting.agent_capabilities.prompt_capabilities;
            let prompt = match prompt::prompt(lease, takes) {
                Ok(prompt) => prompt,
                Err(error) => {
                    self.rest(host).await;
                    return Err(failed(&error, Then::Settle));
                }
            };
            return match Turn::begin(&mut host, session, &prompt, &meta(lease)) {
                Ok(turn) => Ok((host, turn)),
                Err(broken) => Err(self.give_up(host, &broken.into()).await),
            };
        }
    }

    async fn start_one(
        &self,
        attempt: &Attempt<'_>,
        due: Option<Instant>,
    ) -> Result<Host, Verdict> {
        let started = Host::start(&self.options.launch, self.hosts.place());
        let mut host = started.map_err(|error| {
            self.doubt();
            failed(&error, Then::TryAgain)
        })?;
        let greeted = tokio::select! {
            greeted = host.greet() => greeted,
            why = cut(attempt, due) => {
                host.pipe.end().await;
                return Err(self.cut_short(attempt, why));
            }
        };
        if let Err(error) = greeted {
            self.doubt();
            host.pipe.end().await;
            return Err(failed(&error, Then::TryAgain));
        }
        Ok(host)
    }

    /// Lets the program wait, and asks the client what it may do.
    async fn ask(
        &self,
        attempt: &Attempt<'_>,
        host: Host,
        mut turn: Turn,
        before: &str,
    ) -> Verdict {
        let Lease { task, token, .. } = attempt.lease;
        let (task, token, since) = (task.clone(), token.clone(), Instant::now());
        let asked = turn.question(&format!("{task}-{token}"), before);
        let asked = asked.expect("the turn waits for a wish");
        let (question, pause, elsewhere) = (asked.message_id.clone(), Pause::Asked, 0);
        let waiting = Waiting { task, token, question, since, pause, elsewhere, host, turn };
        match self.hosts.wait(waiting) {
            None => Verdict::Asked(PauseFor::Input, Some(Box::new(asked))),
            Some(waiting) => {
                attempt.until_killed(self.dismiss(vec![waiting])).await;
                Verdict::failed("too many tasks of the agent wait for their clients")
            }
        }
    }

    /// Calls a turn off, and keeps its program if that has ended it.
    async fn call_off(&self, attempt: &Attempt<'_>, mut host: Host, mut turn: Turn, why: Cut) {
        if attempt.until_killed(turn.call_off(&mut host)).await != Some(true) {
            host.pipe.end().await;
            return;
        }
        // The conversation goes on from here only if nobody begins the task anew.
        if why == Cut::Late || attempt.until_killed(attempt.is_task_over()).await != Some(true) {
            host.forget(&turn.session);
        }
        self.rest(host).await;
    }

    /// Says that a turn was cut short.
    fn cut_short(&self, attempt: &Attempt<'_>, why: Cut) -> Verdict {
        let stopped = || Verdict::Abandoned("it was stopped".to_owned());
        match why {
            Cut::Stopped if attempt.is_killed() => {
                Verdict::Abandoned("the worker was stopped".to_owned())
            }
            Cut::Stopped => stopped(),
            Cut::Late => self
                .options
                .timeout
                .map_or_else(stopped, |it| Verdict::failed(format!("it took longer than {it:?}"))),
        }
    }
}

/// Waits until a turn is to be cut short.
async fn cut(attempt: &Attempt<'_>, due: Option<Instant>) -> Cut {
    tokio::select! {
        () = attempt.stop.cancelled() => Cut::Stopped,
        () = until(due) => Cut::Late,
    }
}

/// Returns what a session for a task is for.
fn purpose(lease: &Lease) -> Purpose {
    let Lease { placement, context_id, task, .. } = lease;
    let (placement, context) = (placement.clone(), context_id.clone());
    Purpose { placement, context, work: task.clone() }
}

/// Says of which task a prompt is; programs that know nothing of Photon pass it over.
fn meta(lease: &Lease) -> Value {
    json!({
        "photon/task": lease.task,
        "photon/attempt": lease.attempt,
        "photon/context": lease.context_id,
        "photon/skill": lease.skill,
    })
}

/// Returns what came of a turn, by the reason for which the agent has ended it.
fn verdict(reason: &str) -> Verdict {
    let failed = |reason: &str, then| Verdict::Failed(Failure { reason: reason.to_owned(), then });
    match reason {
        "end_turn" => Verdict::Completed(None),
        "max_tokens" => failed("the agent has reached its limit of tokens", Then::TryAgain),
        "max_turn_requests" => {
            failed("the agent has reached its limit of requests in a turn", Then::TryAgain)
        }
        "refusal" => failed("the agent refuses to go on", Then::Refuse),
        "cancelled" => failed("the agent gave it up", Then::Settle),
        other => failed(&format!("the agent stopped: {}", wire::cut(other, 128)), Then::TryAgain),
    }
}

fn failed(error: &impl std::error::Error, then: Then) -> Verdict {
    Verdict::Failed(Failure { reason: shortened(error.to_string()), then })
}

/// Returns as much of a reason as is passed on: its first line, and the last of what follows.
fn shortened(reason: String) -> String {
    if reason.len() <= REASON_BYTES_MAX {
        return reason;
    }
    let (headline, rest) = reason.split_once('\n').unwrap_or((&reason, ""));
    let headline = wire::cut(headline, HEADLINE_BYTES_MAX);
    let room = REASON_BYTES_MAX - 1 - headline.len();
    let from = rest.ceil_char_boundary(rest.len().saturating_sub(room));
    format!("{headline}\n{}", &rest[from..])
}
