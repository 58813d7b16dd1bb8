//! Follows a task to its end: prints its result while it is made, and says where it was made.
//! Must not give up while there is hope: a region that dies may return.

use std::io;
use std::time::Duration;

use anyhow::Result;
use photon_edge::v1::types::{
    ArtifactChunk, EventKind, Message, Part, Raw, RequeueReason, Task, TaskEvent, TaskState,
};
use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::client::{Client, ClientError, Events};
use crate::exit::Exit;
use crate::output::{Format, Output, Tone, printable};
use crate::worker::part_bytes;

/// How long a region may be away before following it is given up.
const AWAY_MAX: Duration = Duration::from_secs(600);

/// When to print the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Print {
    /// While it is made.
    AsItComes,
    /// When it is whole.
    AtTheEnd,
}

/// Follows the task from its beginning to its end.
pub(super) async fn follow(
    client: &Client,
    task: &str,
    print: Print,
    output: Output,
) -> Result<Exit> {
    let mut tail = Tail { client, task, after: 0, stream: None, away: Away::default(), output };
    let mut echo = Echo::default();
    while let Some(event) = tail.next().await? {
        match (print, output.format) {
            (_, Format::Table) if event.kind == EventKind::Paused => {
                echo.settle();
                show_question(&event, task, output);
            }
            (Print::AtTheEnd, _) => {}
            (Print::AsItComes, Format::Json) => output.json_line(&event)?,
            (Print::AsItComes, Format::Table) => tell(&event, &mut echo, output)?,
        }
    }
    let task = tail.task().await?;
    match print {
        Print::AtTheEnd => show_result(&task, output)?,
        Print::AsItComes => echo.end(output)?,
    }
    conclude(&task, output);
    Ok(exit(task.state))
}

/// Shows the result of a task: its artifacts, or all of it as JSON.
pub(super) fn show_result(task: &Task, output: Output) -> io::Result<()> {
    if output.format == Format::Json {
        return output.json(task);
    }
    let mut echo = Echo::default();
    let is_of_many = task.options.as_ref().is_some_and(|it| it.fan_out.is_some());
    echo.of_many = is_of_many.then(Vec::new);
    for artifact in task.artifacts.iter().flatten() {
        for part in artifact.parts.parse().unwrap_or_default() {
            echo.part(&part, output)?;
        }
    }
    echo.end(output)
}

/// Returns the exit code that tells how a task stands.
pub(super) fn exit(state: TaskState) -> Exit {
    match state {
        TaskState::Submitted
        | TaskState::Working
        | TaskState::InputRequired
        | TaskState::AuthRequired
        | TaskState::Completed => Exit::Ok,
        TaskState::Failed | TaskState::Rejected => Exit::TaskFailed,
        TaskState::Canceled => Exit::TaskCanceled,
    }
}

/// The events of a task, however often the stream of them breaks off.
struct Tail<'a> {
    client: &'a Client,
    task: &'a str,
    after: u64,
    stream: Option<Events>,
    away: Away,
    output: Output,
}

impl Tail<'_> {
    /// Returns the next event; `None` after the last.
    async fn next(&mut self) -> Result<Option<TaskEvent>, ClientError> {
        loop {
            let heard = match &mut self.stream {
                Some(stream) => stream.next().await,
                None => match self.client.events(self.task, self.after).await {
                    Ok(stream) => {
                        self.stream = Some(stream);
                        continue;
                    }
                    Err(error) => Err(error),
                },
            };
            match heard {
                Ok(Some(event)) if event.generation <= self.after => {}
                Ok(Some(event)) => {
                    self.away = Away::default();
                    self.after = event.generation;
                    return Ok(Some(event));
                }
                Ok(None) => {
                    // A region that stops ends the stream, too: only the state tells.
                    self.stream = None;
                    let task = self.task().await?;
                    if task.state.is_terminal() && task.generation <= self.after {
                        return Ok(None);
                    }
                    self.away.pause().await;
                }
                Err(error) => {
                    self.stream = None;
                    self.away.wait(error, self.output).await?;
                }
            }
        }
    }

    /// Returns the task, however long the region is away.
    async fn task(&mut self) -> Result<Task, ClientError> {
        loop {
            match self.client.task(self.task).await {
                Ok(task) => return Ok(task),
                Err(error) => self.away.wait(error, self.output).await?,
            }
        }
    }
}

/// How long the region has been away.
#[derive(Debug, Default)]
pub(super) struct Away {
    since: Option<Instant>,
    backoff: Backoff,
}

impl Away {
    /// Pauses before the next try of what ended in good order.
    pub(super) async fn pause(&mut self) {
        sleep(self.backoff.next_pause()).await;
    }

    /// Pauses before the next try, or gives up.
    pub(super) async fn wait(
        &mut self,
        error: ClientError,
        output: Output,
    ) -> Result<(), ClientError> {
        let since = *self.since.get_or_insert_with(Instant::now);
        if !error.is_passing() || AWAY_MAX < since.elapsed() {
            return Err(error);
        }
        if self.backoff.failures() == 0 {
            output.remark_as(Tone::Odd, "waiting", &format!("{error}; trying again"));
        }
        sleep(error.retry_after().unwrap_or_default().max(self.backoff.next_pause())).await;
        Ok(())
    }
}

/// Tells people what the agent asks, and how to answer.
fn show_question(event: &TaskEvent, task: &str, output: Output) {
    let text = event.message.as_ref().map(question).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(printable).collect();
    output.remark_as(Tone::Odd, "asked", &lines.join("\n  "));
    let help = format!("photon task answer {task} TEXT --generation {}", event.generation);
    output.remark_as(Tone::Faint, "answer", &help);
}

/// Returns what an agent asks: without data if there is anything else, because programs may find
/// there what is said in words.
fn question(message: &Raw<Message>) -> String {
    let Ok(mut asked) = message.parse() else { return said(message) };
    if asked.parts.iter().any(|it| it.data.is_none()) {
        asked.parts.retain(|it| it.data.is_none());
    }
    words(&asked)
}

/// Tells people of an event: results to standard output, the rest to standard error.
fn tell(event: &TaskEvent, echo: &mut Echo, output: Output) -> io::Result<()> {
    match event.kind {
        EventKind::Submitted | EventKind::Paused | EventKind::Answered | EventKind::Ended => {}
        EventKind::Claimed => {
            echo.begin_attempt();
            if event.worker.as_ref().is_some_and(|it| it.agent == FAN_WORKER) {
                echo.of_many.get_or_insert_default();
            }
            if let (Some(attempt @ 2..), Some(worker)) = (event.attempt, &event.worker) {
                let (agent, region) = (printable(&worker.agent), printable(&worker.region));
                let text = format!("{attempt}, by {agent} in {region}");
                output.remark_as(Tone::Odd, "attempt", &text);
            }
        }
        EventKind::Requeued => {
            let why = match event.reason {
                Some(RequeueReason::Declined) => "nobody took it up",
                Some(RequeueReason::Failed) => "the attempt failed",
                Some(RequeueReason::TimedOut) => "the attempt took too long",
                Some(RequeueReason::Lapsed) | None => "the worker fell silent",
            };
            output.remark_as(Tone::Odd, "waiting", &format!("{why}; the task is offered again"));
        }
        EventKind::Checkpoint => {
            let key = event.checkpoint.as_deref().unwrap_or_default();
            output.remark_as(Tone::Faint, "checkpoint", &printable(key));
        }
        EventKind::Status => {
            let text = event.message.as_ref().map(said).unwrap_or_default();
            output.remark(&output.remark_colour.paint(Tone::Faint, &printable(&text)));
        }
        EventKind::Artifact => {
            let parts = event.artifact.as_ref().map(|it: &ArtifactChunk| it.parts.parse());
            for part in parts.and_then(Result::ok).unwrap_or_default() {
                echo.part(&part, output)?;
            }
        }
    }
    Ok(())
}

/// Says how a task ended, and where it was done.
fn conclude(task: &Task, output: Output) {
    let worker = task.worker.as_ref();
    let by = worker.map(|it| format!(" by {} in {}", it.agent, it.region)).unwrap_or_default();
    let took = took_ms(task).map(|ms| format!(", {ms} ms")).unwrap_or_default();
    let text = format!("{by} (home {}, attempt {}{took})", task.home, task.attempt);
    let text = printable(text.trim_start());
    let said = task.last_message.as_ref().map(said).unwrap_or_default();
    let why = || said.lines().map(|it| format!("\n  {}", printable(it))).collect::<String>();
    match task.state {
        TaskState::Completed => output.remark_as(Tone::Good, "completed", &text),
        TaskState::Failed => output.remark_as(Tone::Bad, "failed", &(text + &why())),
        TaskState::Rejected => output.remark_as(Tone::Bad, "rejected", &(text + &why())),
        TaskState::Canceled => output.remark_as(Tone::Odd, "canceled", &(text + &why())),
        TaskState::Submitted
        | TaskState::Working
        | TaskState::InputRequired
        | TaskState::AuthRequired => {}
    }
}

/// Returns how long the task took, from its acceptance to its last event.
pub(super) fn took_ms(task: &Task) -> Option<i64> {
    let read = |text: &str| chrono::DateTime::parse_from_rfc3339(text).ok();
    let (from, to) = (read(&task.created_at)?, read(&task.changed_at)?);
    Some((to - from).num_milliseconds().max(0))
}

/// Returns the text of a message.
pub(super) fn said(message: &Raw<Message>) -> String {
    let Ok(message) = message.parse() else { return message.as_str().to_owned() };
    words(&message)
}

fn words(message: &Message) -> String {
    let texts =
        message.parts.iter().map(|it| String::from_utf8_lossy(&part_bytes(it)).into_owned());
    texts.collect::<Vec<_>>().join("\n")
}

/// Who works on a task that is asked of many: its home.
const FAN_WORKER: &str = "*";

/// Returns what is printed of one of those that a task is asked of: its name, how it ended, and
/// what it made, or what it said if it made nothing. Nothing if a part is not the last of a result.
fn result_of_one(part: &Part, made: &[u8]) -> Option<String> {
    let data = part.data.as_ref()?;
    let text = |key: &str| data.get(key)?.as_str().map(ToOwned::to_owned);
    let (to, state) = (text("to")?, text("state")?);
    let message = data.get("message").cloned().unwrap_or_default();
    let said = || serde_json::from_value(message).map(|it| words(&it)).unwrap_or_default();
    let made = String::from_utf8_lossy(made).into_owned();
    let made = if made.trim().is_empty() { said() } else { made };
    let made = made.trim_end_matches('\n');
    let between = if made.contains('\n') { '\n' } else { ' ' };
    Some(format!("{} ({}):{between}{made}\n", printable(&to), printable(&state)))
}

/// Prints a result once, even when several attempts make it: what a later attempt repeats is
/// passed over.
#[derive(Debug, Default)]
struct Echo {
    printed: Vec<u8>,
    /// How much of `printed` the attempt under way has made, too.
    repeated: usize,
    /// How much of `printed` was made before the last question: later attempts go on from there.
    settled: usize,
    /// Of a task that is asked of many: what one of those has made so far.
    of_many: Option<Vec<u8>>,
}

/// What to print.
#[derive(Debug, PartialEq, Eq)]
enum Step<'a> {
    /// Only this: the rest is there.
    More(&'a [u8]),
    /// All of it anew: the attempt has come to another result.
    Anew(&'a [u8]),
}

impl Echo {
    fn begin_attempt(&mut self) {
        self.repeated = self.settled;
    }

    /// Keeps what the attempt has made.
    fn settle(&mut self) {
        self.printed.truncate(self.repeated);
        self.settled = self.repeated;
    }

    fn take(&mut self, bytes: &[u8]) -> Step<'_> {
        let known = &self.printed[self.repeated..];
        let overlap = known.len().min(bytes.len());
        let is_repeated = known[..overlap] == bytes[..overlap];
        let shown = self.printed.len();
        self.printed.truncate(if is_repeated { shown } else { self.repeated });
        self.printed.extend_from_slice(if is_repeated { &bytes[overlap..] } else { bytes });
        self.repeated += bytes.len();
        if is_repeated { Step::More(&self.printed[shown..]) } else { Step::Anew(&self.printed) }
    }

    /// Prints a part of a result; of many results each once it is whole.
    fn part(&mut self, part: &Part, output: Output) -> io::Result<()> {
        let Some(made) = &mut self.of_many else { return self.bytes(&part_bytes(part), output) };
        let Some(text) = result_of_one(part, made) else {
            made.extend(part_bytes(part));
            return Ok(());
        };
        made.clear();
        self.bytes(text.as_bytes(), output)
    }

    fn bytes(&mut self, bytes: &[u8], output: Output) -> io::Result<()> {
        match self.take(bytes) {
            Step::More(bytes) => output.raw(bytes),
            Step::Anew(bytes) => {
                output.remark_as(Tone::Odd, "anew", "the attempt came to another result");
                output.raw(bytes)
            }
        }
    }

    /// Ends the line, for people.
    fn end(&self, output: Output) -> io::Result<()> {
        let is_open = self.printed.last().is_some_and(|it| *it != b'\n');
        if is_open && output.is_terminal() { output.raw(b"\n") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_attempt_repeats_is_printed_once() {
        let mut echo = Echo::default();
        assert_eq!(echo.take(b"one "), Step::More(b"one "));
        assert_eq!(echo.take(b"two"), Step::More(b"two"));
        echo.begin_attempt();
        assert_eq!(echo.take(b"on"), Step::More(b""));
        assert_eq!(echo.take(b"e two three"), Step::More(b" three"));
        echo.begin_attempt();
        assert_eq!(echo.take(b"one "), Step::More(b""));
        assert_eq!(echo.take(b"zwei"), Step::Anew(b"one zwei"));
        assert_eq!(echo.take(b"!"), Step::More(b"!"));
    }

    #[test]
    fn a_question_is_told_in_words_if_it_has_any() {
        let check = |parts: &str, expected: &str| {
            let head = r#"{"messageId":"m","role":"ROLE_AGENT","parts":"#;
            let message = serde_json::from_str(&format!("{head}{parts}}}")).unwrap();
            assert_eq!(question(&message), expected);
        };
        check(r#"[{"text":"may I?"},{"data":{"a":1}}]"#, "may I?");
        check(r#"[{"data":{"a":1}}]"#, r#"{"a":1}"#);
        let login = r#"[{"text":"log in:"},{"url":"https://a.b/c"},{"raw":"aGk="}]"#;
        check(login, "log in:\nhttps://a.b/c\nhi");
    }

    #[test]
    fn results_of_many_are_told_apart() {
        let check = |data: &str, made: &str, expected: Option<&str>| {
            let part: Part = serde_json::from_str(&format!("{{\"data\":{data}}}")).unwrap();
            assert_eq!(result_of_one(&part, made.as_bytes()).as_deref(), expected);
        };
        let end = |state| format!("{{\"state\":\"{state}\",\"to\":\"a\",\"message\":null}}");
        check(&end("completed"), "yes\n", Some("a (completed): yes\n"));
        check(&end("completed"), "yes\nand no", Some("a (completed):\nyes\nand no\n"));
        check(&end("failed"), "", Some("a (failed): \n"));
        check("{\"state\":\"completed\"}", "yes", None);
        let said =
            "{\"messageId\":\"m\",\"role\":\"ROLE_AGENT\",\"parts\":[{\"text\":\"no room\"}]}";
        let data = format!("{{\"state\":\"rejected\",\"to\":\"a\",\"message\":{said}}}");
        check(&data, "", Some("a (rejected): no room\n"));
    }

    #[test]
    fn what_was_made_before_a_question_is_not_made_again() {
        let mut echo = Echo::default();
        assert_eq!(echo.take(b"one two"), Step::More(b"one two"));
        echo.begin_attempt();
        assert_eq!(echo.take(b"one "), Step::More(b""));
        echo.settle();
        for _ in 0..2 {
            echo.begin_attempt();
        }
        assert_eq!(echo.take(b"three "), Step::More(b"three "));
        echo.begin_attempt();
        assert_eq!(echo.take(b"three four"), Step::More(b"four"));
    }
}
