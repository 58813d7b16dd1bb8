//! Work that a program does which speaks the Agent Client Protocol: one task is one turn of it.
//! Must not know how the region is talked to.

mod host;
mod hosts;
mod outlet;
mod permission;
mod pipe;
mod prompt;
mod turn;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use photon_edge::v1::types::{Lease, PauseFor};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use self::host::Host;
pub use self::host::{HostError, Launch};
use self::hosts::{Hosts, Waiting};
use self::outlet::Outlet;
pub use self::permission::Permissions;
use self::turn::{End, Turn};
use super::attachment::Attachment;
use super::attempt::{Attempt, Failure, REASON_BYTES_MAX, Then, Verdict};
use super::command::{Begun, UNSENT_MAX, deliver, until};
use super::program::Piece;

/// How often it is looked after programs that wait for a client.
const TEND_EVERY: Duration = Duration::from_secs(5);

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
        let mut host = Host::start(&options.launch).await?;
        if let Err(error) = host.open_spare(&options.launch).await {
            host.pipe.end().await;
            return Err(error);
        }
        let introduction = host.greeting.agent_info.as_ref().map(|it| {
            let title = it.title.as_ref().unwrap_or(&it.name);
            let title = format!("{title} {}", it.version).trim().to_owned();
            Introduction { name: it.name.clone(), title }
        });
        let hosts = Arc::new(Hosts::new(options.concurrency as usize));
        let job = Self { options, hosts };
        job.rest(host).await;
        Ok((job, introduction))
    }

    /// Has the program take a turn; returns what came of it.
    pub(super) async fn work(&self, attempt: &Attempt<'_>) -> Verdict {
        let waiting = self.hosts.answered(attempt.lease);
        let begun = waiting.as_ref().map_or(Begun::Not, |it| it.turn.begun);
        let (pieces, unsent) = mpsc::channel(UNSENT_MAX);
        let taking = Box::pin(self.take_turn(attempt, waiting, pieces));
        let (verdict, ()) = tokio::join!(taking, deliver(attempt, unsent, begun));
        verdict
    }

    async fn take_turn(
        &self,
        attempt: &Attempt<'_>,
        waiting: Option<Waiting>,
        pieces: mpsc::Sender<Piece>,
    ) -> Verdict {
        let (mut host, mut turn) = match waiting {
            Some(Waiting { mut host, mut turn, .. }) => {
                let answer = attempt.lease.turns.last().and_then(|it| it.parse().ok());
                let told = answer.map_or(Ok(false), |it| turn.tell(&mut host, &it));
                match told {
                    Ok(true) => (host, turn),
                    Ok(false) => {
                        let before = "That is none of the choices.\n";
                        return self.ask(attempt.lease, host, turn, before).await;
                    }
                    Err(broken) => return self.give_up(host, &broken.into()).await,
                }
            }
            None => {
                let beginning = Box::pin(self.begin(attempt.lease));
                match attempt.stop.run_until_cancelled(beginning).await {
                    Some(Ok(begun)) => begun,
                    Some(Err(verdict)) => return verdict,
                    None => return Verdict::Abandoned("it was stopped".to_owned()),
                }
            }
        };
        let mut outlet = Outlet::new(pieces, turn.begun, attempt.stop.clone());
        let due = self.options.timeout.map(|it| Instant::now() + it);
        let cut = async {
            tokio::select! {
                () = attempt.stop.cancelled() => Cut::Stopped,
                () = until(due) => Cut::Late,
            }
        };
        let permissions = self.options.permissions;
        let end = turn.follow(&mut host, &mut outlet, permissions, cut).await;
        turn.begun = outlet.begun;
        match end {
            Ok(End::Asks) => {
                outlet.flush().await;
                turn.begun = outlet.begun;
                self.ask(attempt.lease, host, turn, "").await
            }
            Ok(End::Stopped(reason)) => {
                outlet.finish().await;
                let verdict = verdict(&reason);
                if !matches!(verdict, Verdict::Completed(_)) {
                    host.forget(&turn.session);
                }
                self.rest(host).await;
                verdict
            }
            Ok(End::Cut(why)) => {
                outlet.finish().await;
                self.call_off(attempt, host, turn, why).await
            }
            Err(error) => {
                outlet.finish().await;
                host.forget(&turn.session);
                self.give_up(host, &error).await
            }
        }
    }

    /// Finds a program that can be asked, and asks it.
    async fn begin(&self, lease: &Lease) -> Result<(Host, Turn), Verdict> {
        let launch = &self.options.launch;
        let mut found = self.hosts.take(&lease.context_id);
        loop {
            let has_rested = found.is_some();
            let mut host = match found.take() {
                Some(host) => host,
                None => {
                    Host::start(launch).await.map_err(|error| failed(&error, Then::TryAgain))?
                }
            };
            let session = match host.session(launch, &lease.context_id).await {
                Ok(session) => session,
                // It has ended while it rested, and was asked nothing yet.
                Err(HostError::Broken(why)) if has_rested => {
                    tracing::debug!(why, "a program has ended between two tasks");
                    host.pipe.end().await;
                    found = self.hosts.take(&lease.context_id);
                    continue;
                }
                Err(error) => return Err(self.give_up(host, &error).await),
            };
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

    /// Lets the program wait, and asks the client what it may do.
    async fn ask(&self, lease: &Lease, host: Host, mut turn: Turn, before: &str) -> Verdict {
        let prefix = format!("{}-{}", lease.task, lease.token);
        let question = turn.question(&prefix, before).expect("the turn waits for a wish");
        let (task, since) = (lease.task.clone(), Instant::now());
        let waiting = Waiting { task, question: question.message_id.clone(), since, host, turn };
        if let Some(eldest) = self.hosts.wait(waiting) {
            self.dismiss(eldest).await;
        }
        Verdict::Asked(PauseFor::Input, Some(Box::new(question)))
    }

    async fn call_off(
        &self,
        attempt: &Attempt<'_>,
        mut host: Host,
        mut turn: Turn,
        why: Cut,
    ) -> Verdict {
        if attempt.is_killed() {
            host.pipe.end().await;
            return Verdict::Abandoned("the worker was stopped".to_owned());
        }
        if turn.call_off(&mut host).await {
            // The conversation goes on from here only if nobody begins the task anew.
            if why == Cut::Late || !attempt.is_task_over().await {
                host.forget(&turn.session);
            }
            self.rest(host).await;
        } else {
            host.pipe.end().await;
        }
        match (why, self.options.timeout) {
            (Cut::Late, Some(timeout)) => {
                Verdict::failed(format!("it took longer than {timeout:?}"))
            }
            (Cut::Late, None) | (Cut::Stopped, _) => {
                Verdict::Abandoned("it was stopped".to_owned())
            }
        }
    }

    /// Says why nothing came of the attempt.
    async fn give_up(&self, mut host: Host, error: &HostError) -> Verdict {
        if error.leaves_it_usable() {
            self.rest(host).await;
        } else {
            host.pipe.end().await;
        }
        failed(error, Then::TryAgain)
    }

    /// Keeps a program for the next task.
    async fn rest(&self, host: Host) {
        if let Some(mut worn) = self.hosts.put(host) {
            worn.pipe.end().await;
        }
    }

    /// Calls off a turn that waits for a client, and keeps its program if that has ended it.
    async fn dismiss(&self, waiting: Waiting) {
        let Waiting { mut host, mut turn, .. } = waiting;
        host.forget(&turn.session);
        if turn.call_off(&mut host).await {
            self.rest(host).await;
        } else {
            host.pipe.end().await;
        }
    }

    /// Looks after programs that wait for clients, for ever: ends the turns of tasks that are over,
    /// and those that have waited for too long.
    pub(super) async fn tend(&self, attachment: &Attachment) {
        loop {
            sleep(TEND_EVERY).await;
            for task in self.hosts.tasks() {
                let found = attachment.current().client.task(&task).await;
                if found.is_ok_and(|it| it.state.is_terminal())
                    && let Some(waiting) = self.hosts.called_off(&task)
                {
                    self.dismiss(waiting).await;
                }
            }
            while let Some(waiting) = self.hosts.late() {
                self.dismiss(waiting).await;
            }
        }
    }

    /// Ends all programs that nobody talks to.
    pub(super) async fn close(&self) {
        let ending = self.hosts.take_all().into_iter().map(|mut host| async move {
            host.pipe.end().await;
        });
        futures_util::future::join_all(ending).await;
    }
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
    let mut reason = error.to_string();
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    Verdict::Failed(Failure { reason, then })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_to_stop_has_its_verdict() {
        let check = |reason: &str, expected: Option<Then>| match (verdict(reason), expected) {
            (Verdict::Completed(None), None) => {}
            (Verdict::Failed(failure), Some(then)) => {
                assert_eq!(failure.then, then, "{reason}");
                assert!(failure.reason.starts_with("the agent "), "{}", failure.reason);
            }
            (other, _) => panic!("{reason}: {other:?}"),
        };
        check("end_turn", None);
        check("max_tokens", Some(Then::TryAgain));
        check("max_turn_requests", Some(Then::TryAgain));
        check("refusal", Some(Then::Refuse));
        check("cancelled", Some(Then::Settle));
        check("something_new", Some(Then::TryAgain));
    }
}
