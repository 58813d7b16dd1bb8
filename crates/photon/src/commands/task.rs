//! `photon task`: what has become of tasks.
//! Must not know how they are done.

use anyhow::Result;
use photon_edge::v1::types::{AnswerPost, CancelPost, Task, TaskState};
use serde::Serialize;

use super::follow::{Print, exit, follow, said, show_result, took_ms};
use super::show;
use crate::cli;
use crate::client::{Client, TaskQuery};
use crate::exit::Exit;
use crate::output::{Cell, Format, Output, Table, Tone};

/// The longest beginning of a message that is shown in a list.
const SAID_CHARS_MAX: usize = 40;

pub(super) async fn run(command: cli::Task, client: &Client, output: Output) -> Result<Exit> {
    match command {
        cli::Task::Ls { state, agent, context, limit } => {
            let query = TaskQuery { state, agent, context };
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let tasks = client.tasks(&query, limit).await?;
            show(output, &tasks, |it| output.table(&table(it)))
        }
        cli::Task::Get { id } => {
            let task = client.task(&id).await?;
            show(output, &task, |it| {
                output.table(&details(it))?;
                show_result(it, output)
            })
        }
        cli::Task::Follow { id } => follow(client, &id, Print::AsItComes, output).await,
        cli::Task::Answer { id, text, generation } => {
            let answer = AnswerPost { text: Some(text), generation, ..AnswerPost::default() };
            // The same answer to a later question is another one.
            let key = format!("{:032x}", fastrand::u128(..));
            let standing = client.answer(&id, &answer, &key).await?;
            show(output, &standing, |it| output.line(&format!("{id} is {}", name(it.state))))?;
            Ok(exit(standing.state))
        }
        cli::Task::Cancel { id, reason } => {
            let standing = client.cancel(&id, &CancelPost { reason }).await?;
            show(output, &standing, |it| output.line(&format!("{id} is {}", name(it.state))))?;
            let is_canceled = standing.state == TaskState::Canceled;
            Ok(if is_canceled { Exit::Ok } else { exit(standing.state) })
        }
        cli::Task::DeadLetters { skill, agent, limit } => {
            let limit = usize::try_from(limit).unwrap_or(usize::MAX);
            let tasks = client.dead_letters(skill.as_deref(), agent.as_deref(), limit).await?;
            show(output, &tasks, |it| output.table(&table(it)))
        }
        cli::Task::Redrive { ids, all, skill, agent } => {
            let ids = if all { dead(client, skill, agent).await? } else { ids };
            redrive(client, ids, output).await
        }
    }
}

/// Finds all dead letters.
async fn dead(
    client: &Client,
    skill: Option<String>,
    agent: Option<String>,
) -> Result<Vec<String>> {
    let all = client.dead_letters(skill.as_deref(), agent.as_deref(), usize::MAX).await?;
    Ok(all.into_iter().map(|it| it.id).collect())
}

/// Asks again for what tasks asked for, each by itself; to begin again repeats nothing.
async fn redrive(client: &Client, ids: Vec<String>, output: Output) -> Result<Exit> {
    let (mut redriven, mut failed) = (Vec::new(), None);
    for dead_letter in ids {
        let (task, error) = match client.redrive(&dead_letter).await {
            Ok(task) => (Some(task.id), None),
            Err(err) => (None, Some(err)),
        };
        if output.format == Format::Table {
            match (&task, &error) {
                (Some(task), _) => output.line(task)?,
                (None, Some(err)) => output.remark(&format!("{dead_letter}: {err}")),
                (None, None) => {}
            }
        }
        redriven.push(Redriven {
            dead_letter,
            task,
            error: error.as_ref().map(ToString::to_string),
        });
        failed = error.or(failed);
    }
    let done = redriven.iter().filter(|it| it.task.is_some()).count();
    show(output, &redriven, |it| {
        output.remark(&format!("{done} of {} dead letters redriven", it.len()));
        Ok(())
    })?;
    // The last error says how it ended.
    failed.map_or(Ok(Exit::Ok), |err| Err(err.into()))
}

/// A task that was asked for again, or could not be.
#[derive(Debug, Serialize)]
struct Redriven {
    dead_letter: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

fn table(tasks: &[Task]) -> Table {
    let headings = ["TASK", "STATE", "TARGET", "HOME", "WORKER", ">TRY", ">MS", "MESSAGE"];
    let mut table = Table::new(&headings);
    for task in tasks {
        let worker = task.worker.as_ref();
        let worker = worker.map_or("-".to_owned(), |it| format!("{}@{}", it.agent, it.region));
        table.row([
            task.id.as_str().into(),
            state(task.state),
            target(task).into(),
            task.home.as_str().into(),
            worker.into(),
            task.attempt.to_string().into(),
            took(task).into(),
            beginning(&said(&task.message)).into(),
        ]);
    }
    table
}

fn details(task: &Task) -> Table {
    let worker = task.worker.as_ref();
    let worker = worker.map_or("-".to_owned(), |it| format!("{} in {}", it.agent, it.region));
    let mut table = Table::new(&["TASK", ""]);
    let mut row = |key, value: Cell| table.row([Cell::toned(Tone::Faint, key), value]);
    row("id", task.id.as_str().into());
    row("state", state(task.state));
    row("target", target(task).into());
    row("home", task.home.as_str().into());
    row("worker", worker.into());
    row("attempt", task.attempt.to_string().into());
    row("generation", task.generation.to_string().into());
    row("placement", task.placement.as_str().into());
    row("context", task.context_id.as_str().into());
    row("created", task.created_at.as_str().into());
    row("changed", task.changed_at.as_str().into());
    row("asked", beginning(&said(&task.message)).into());
    if let Some(message) = &task.last_message {
        row("said", said(message).into());
    }
    table
}

fn target(task: &Task) -> String {
    match (&task.skill, &task.agent) {
        (Some(skill), _) => skill.clone(),
        (None, Some(agent)) => format!("@{agent}"),
        (None, None) => "-".to_owned(),
    }
}

/// How long the task took; nothing while it goes on.
fn took(task: &Task) -> String {
    let took = took_ms(task).filter(|_| task.state.is_terminal());
    took.map_or("-".to_owned(), |ms| ms.to_string())
}

fn beginning(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let beginning: String = line.chars().take(SAID_CHARS_MAX).collect();
    if beginning.len() < text.trim_end().len() { beginning + ".." } else { beginning }
}

fn name(state: TaskState) -> &'static str {
    photon_region::TaskState::from(state).as_str()
}

fn state(state: TaskState) -> Cell {
    let tone = match state {
        TaskState::Submitted => Tone::Faint,
        TaskState::Working | TaskState::InputRequired | TaskState::AuthRequired => Tone::Odd,
        TaskState::Completed => Tone::Good,
        TaskState::Failed | TaskState::Rejected => Tone::Bad,
        TaskState::Canceled => Tone::Odd,
    };
    Cell::toned(tone, name(state))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_shows_only_the_beginning_of_a_message() {
        let check = |text: &str, expected: &str| assert_eq!(beginning(text), expected);
        check("hello", "hello");
        check("hello\n", "hello");
        check("hello\nworld", "hello..");
        check(&"é".repeat(41), &("é".repeat(40) + ".."));
    }
}
