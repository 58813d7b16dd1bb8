//! A real region on imagined time, which passes only while everybody waits.
//! Must not know what it is asked.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use photon_edge::FrontLimits;
use photon_node::Handle;
use photon_region::{Command, Input, Output, Refusal, Reply, Ticket};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::region::{self, Imagined};

/// Commands that are under way at once; those beyond wait.
const COMMANDS_MAX: usize = 64;
/// The least that passes between two ticks.
const TICK: Duration = Duration::from_millis(1);

type Answer = Result<Reply, Refusal>;
type Asked = (Command, oneshot::Sender<Answer>);

/// Makes the routes of a new region, which lasts as long as they do.
pub fn routes() -> Router {
    let (commands, asked) = mpsc::channel(COMMANDS_MAX);
    tokio::spawn(drive(Imagined::new(), asked));
    let handle = Handle::from_async(move |command| ask(commands.clone(), command));
    photon_edge::router(region::front_of(handle, Vec::new(), FrontLimits::default()))
}

async fn ask(commands: mpsc::Sender<Asked>, command: Command) -> Answer {
    let (reply, answer) = oneshot::channel();
    commands.send((command, reply)).await.expect("the region lasts as long as its handle");
    answer.await.expect("each command is answered")
}

async fn drive(mut imagined: Imagined, mut asked: mpsc::Receiver<Asked>) {
    let (began, first) = (Instant::now(), imagined.now);
    let mut waiting = BTreeMap::new();
    loop {
        let (due, _) = imagined.region.next_wakeup();
        let due = due.max(imagined.now.mono + TICK) - first.mono;
        let input = tokio::select! {
            next = asked.recv() => match next {
                None => return,
                Some((command, reply)) => {
                    imagined.ticket += 1;
                    waiting.insert(imagined.ticket, reply);
                    Input::Command(imagined.ticket, command)
                }
            },
            () = sleep_until(began + due) => Input::Tick,
        };
        let passed = began.elapsed();
        let passed_ms = u64::try_from(passed.as_millis()).expect("it is not that late");
        imagined.now.mono = first.mono + passed;
        imagined.now.wall_ms = first.wall_ms + passed_ms;
        imagined.region.handle(imagined.now, input);
        drain(&mut imagined, &mut waiting);
    }
}

/// Does what the region wants done: what it appends is durable at once, and nobody hears it.
fn drain(imagined: &mut Imagined, waiting: &mut BTreeMap<Ticket, oneshot::Sender<Answer>>) {
    loop {
        let before = imagined.appended;
        while let Some(output) = imagined.region.poll() {
            match output {
                Output::Append(_) => imagined.appended += 1,
                Output::Reply(ticket, answer) => {
                    let reply = waiting.remove(&ticket).expect("it was asked, and once");
                    let _ = reply.send(answer); // Whoever has gone wants none.
                }
                Output::Send(..)
                | Output::Fetch { .. }
                | Output::Truncate { .. }
                | Output::Notice(_)
                | Output::Halt(_) => {}
            }
        }
        if before == imagined.appended {
            return;
        }
        imagined.region.handle(imagined.now, Input::Durable(imagined.appended));
    }
}
