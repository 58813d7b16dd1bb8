//! `photon send`: gives an agent a task.
//! Must not know how the task is done.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use photon_edge::v1::types::{
    FanOut, FanOutTo, FanOutUntil, RetryPolicy, Task, TaskAck, TaskOptions, TaskPost,
};

use super::follow::{Print, follow};
use super::task_ack;
use crate::cli::{FanOver, Send, TaskTerms};
use crate::client::Client;
use crate::exit::{Exit, UsageError};
use crate::output::{Format, Output};

/// The most bytes that are read from standard input; regions take less than that.
const TEXT_BYTES_MAX: u64 = 64 << 20;

pub(super) async fn run(options: Send, client: &Client, output: Output) -> Result<Exit> {
    let text = match options.text.as_str() {
        "-" => read_stdin()?,
        _ => options.text,
    };
    let client = match options.region {
        Some(region) => client.region(region).await?,
        None => client.clone(),
    };
    let post = TaskPost {
        skill: options.skill,
        agent: options.agent,
        text: Some(text),
        placement: options.placement.map(|it| it.to_string()),
        context_id: options.context,
        ack: task_ack(options.ack.as_deref()),
        options: task_options(options.terms),
        ..TaskPost::default()
    };
    let task = match (options.idempotency_key, post.ack) {
        // What a majority did not acknowledge in time may be there.
        (None, Some(TaskAck::Quorum)) => {
            let key = format!("send-{:032x}", fastrand::u128(..));
            let help = || format!("it may be there: send it again with --idempotency-key {key}");
            client.submit(&post, Some(&key)).await.with_context(help)?
        }
        (key, _) => client.submit(&post, key.as_deref()).await?,
    };
    if options.follow {
        return follow(&client, &task.id, Print::AsItComes, output).await;
    }
    if options.wait {
        return follow(&client, &task.id, Print::AtTheEnd, output).await;
    }
    accepted(&task, output)
}

/// Makes of what was typed what a region is told; nothing if nothing was typed.
fn task_options(terms: TaskTerms) -> Option<TaskOptions> {
    let ms =
        |time: Option<Duration>| time.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX));
    let list = |all: Vec<String>| Some(all).filter(|it| !it.is_empty());
    let retries = RetryPolicy {
        initial_interval_ms: ms(terms.retry_after),
        backoff_coefficient: terms.retry_backoff,
        maximum_interval_ms: None,
        maximum_attempts: terms.attempts,
    };
    let options = TaskOptions {
        priority_key: terms.priority,
        fairness_key: terms.fairness_key,
        fairness_weight: terms.fairness_weight,
        start_delay_ms: ms(terms.delay),
        schedule_to_start_timeout_ms: ms(terms.queue_timeout),
        start_to_close_timeout_ms: ms(terms.attempt_timeout),
        schedule_to_close_timeout_ms: ms(terms.timeout),
        heartbeat_timeout_ms: ms(terms.heartbeat_timeout),
        retry_policy: Some(retries).filter(|it| *it != RetryPolicy::default()),
        required_skills: list(terms.wants.require),
        regions: list(terms.wants.agent_regions.iter().map(ToString::to_string).collect()),
        max_cost: terms.wants.max_cost,
        fan_out: terms.fan_out.map(|it| fan_out(it, terms.until.unwrap_or_default())),
    };
    Some(options).filter(|it| *it != TaskOptions::default())
}

fn fan_out(over: FanOver, until: FanOutUntil) -> FanOut {
    let to = match over {
        FanOver::Agents => FanOutTo::Agents,
        FanOver::Regions => FanOutTo::Regions,
    };
    FanOut { to, until }
}

fn accepted(task: &Task, output: Output) -> Result<Exit> {
    match output.format {
        Format::Json => output.json(task)?,
        Format::Table => {
            output.line(&task.id)?;
            output.remark(&format!(
                "accepted in {}; follow it with `photon task follow {}`",
                task.home, task.id
            ));
        }
    }
    Ok(Exit::Ok)
}

fn read_stdin() -> Result<String> {
    let mut bytes = Vec::new();
    let stdin = std::io::stdin().lock();
    stdin.take(TEXT_BYTES_MAX + 1).read_to_end(&mut bytes).context("failed to read the text")?;
    if TEXT_BYTES_MAX < bytes.len() as u64 {
        let text = format!("the text on standard input has more than {TEXT_BYTES_MAX} bytes");
        return Err(UsageError(text).into());
    }
    String::from_utf8(bytes)
        .map_err(|_| UsageError("the text on standard input is not UTF-8".to_owned()).into())
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use serde_json::{Value, json};

    use super::*;
    use crate::cli::{Cli, Command};

    fn options(args: &str) -> Result<Value, String> {
        let args = ["photon", "send", "--skill", "s", "x"].into_iter().chain(args.split(' '));
        let args = args.filter(|it| !it.is_empty());
        let cli = Cli::try_parse_from(args).map_err(|err| err.to_string())?;
        let Command::Send(send) = cli.command else { panic!("it is `photon send`") };
        Ok(serde_json::to_value(task_options(send.terms)).expect("options are JSON"))
    }

    #[test]
    fn what_is_typed_of_queues_times_and_retries_is_what_the_region_is_told() {
        let check = |args: &str, expected: Value| assert_eq!(options(args), Ok(expected), "{args}");
        check("", Value::Null);
        check(
            "--fairness-key acme --fairness-weight 2.5",
            json!({"fairness_key": "acme", "fairness_weight": 2.5}),
        );
        check("--heartbeat-timeout 2m", json!({"heartbeat_timeout_ms": 120_000}));
        check("--attempts 5", json!({"retry_policy": {"maximum_attempts": 5}}));
        check(
            "--retry-after 5s --retry-backoff 1.5",
            json!({"retry_policy": {"initial_interval_ms": 5_000, "backoff_coefficient": 1.5}}),
        );
        for wrong in [
            "--fairness-weight 0",
            "--fairness-weight 1001",
            "--fairness-weight NaN",
            "--retry-backoff 0.9",
            "--retry-backoff x",
            "--heartbeat-timeout 5",
        ] {
            let error = options(wrong).unwrap_err();
            assert!(error.contains("write "), "{wrong}: {error}");
        }
    }
}
