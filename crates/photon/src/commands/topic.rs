//! `photon topic`: publish to topics, and read them.
//! Must not give up following while there is hope: a region that dies may return.

use std::io::Read as _;
use std::time::Duration;

use anyhow::{Context as _, Result};
use photon_edge::v1::types::{PostMessage, Raw, Topic, TopicMessage, TopicPut};
use serde_json::Value;

use super::follow::Away;
use super::{show, task_ack};
use crate::cli::{self, TopicKeep, TopicName, TopicPublish, TopicRead};
use crate::client::{Client, ReadQuery};
use crate::exit::Exit;
use crate::output::{Cell, Format, Output, Table, Tone, printable};

/// How many messages are read at once.
const PAGE: u64 = 500;

pub(super) async fn run(command: cli::Topic, client: &Client, output: Output) -> Result<Exit> {
    match command {
        cli::Topic::List => {
            let all = client.topics().await?.topics;
            show(output, &all, |it| output.table(&table(it)))
        }
        cli::Topic::Show(of) => {
            let topic = client.show_topic(&of.name, placement(&of)).await?;
            show(output, &topic, |it| output.table(&table(std::slice::from_ref(it))))
        }
        cli::Topic::Publish(options) => publish(&options, client, output).await,
        cli::Topic::Read(options) => read(&options, Until::Now, client, output).await,
        cli::Topic::Follow(options) => read(&options, Until::Interrupted, client, output).await,
        cli::Topic::Keep(options) => {
            let TopicKeep { of, time, size } = &options;
            let ms = |it: &Duration| u64::try_from(it.as_millis()).unwrap_or(u64::MAX);
            // What is not said stays as it is.
            let held = match client.show_topic(&of.name, placement(of)).await {
                Ok(topic) => Some((topic.retention_ms, topic.retention_bytes)),
                Err(error) if error.is_absent() => None,
                Err(error) => return Err(error.into()),
            };
            let size = size.map(|it| it.as_usize() as u64);
            let put = TopicPut {
                retention_ms: time.as_ref().map(ms).or(held.map(|it| it.0)),
                retention_bytes: size.or(held.map(|it| it.1)),
            };
            let topic = client.keep_topic(&of.name, placement(of), &put).await?;
            show(output, &topic, |it| output.table(&table(std::slice::from_ref(it))))
        }
        cli::Topic::Purge { of, upto } => {
            client.purge_topic(&of.name, placement(&of), upto).await?;
            match output.format {
                Format::Json => output.json(&serde_json::json!({ "purged": of.name }))?,
                Format::Table => output.line(&format!("messages of {} are forgotten", of.name))?,
            }
            Ok(Exit::Ok)
        }
    }
}

fn placement(of: &TopicName) -> Option<&str> {
    of.placement.as_ref().map(photon_state::PlacementId::as_str)
}

fn table(topics: &[Topic]) -> Table {
    let headings = ["TOPIC", "PLACEMENT", "HOME", ">FIRST", ">LAST", ">BYTES", ">KEPT FOR"];
    let mut table = Table::new(&headings);
    for it in topics {
        let kept = Duration::from_millis(it.retention_ms);
        table.row([
            Cell::toned(Tone::Strong, &it.name),
            it.placement.as_str().into(),
            it.home.as_str().into(),
            it.first.to_string().into(),
            it.last.to_string().into(),
            it.bytes.to_string().into(),
            format!("{kept:?}, {} bytes", it.retention_bytes).into(),
        ]);
    }
    table
}

async fn publish(options: &TopicPublish, client: &Client, output: Output) -> Result<Exit> {
    let mut text = options.text.clone();
    if text == "-" {
        text.clear();
        std::io::stdin().read_to_string(&mut text).context("standard input cannot be read")?;
    }
    let json = if options.json {
        serde_json::from_str::<Value>(&text).context("TEXT is not JSON")?;
        text
    } else {
        Value::String(text).to_string()
    };
    let data: Raw<Value> = serde_json::from_str(&json).context("TEXT is not JSON")?;
    let ack = task_ack(options.ack.as_deref());
    // Whatever is tried again is the same message.
    let id = options.id.clone().unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)));
    let message = PostMessage { id: Some(id), key: options.key.clone(), data, ack };
    let published = client.publish(&options.of.name, placement(&options.of), &message).await?;
    show(output, &published, |it| {
        let before = if it.repeated { ", as it was before" } else { "" };
        output.line(&format!("{} is message {}{before}", it.id, it.position))
    })
}

/// Until when messages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    /// All that are there.
    Now,
    /// All that come.
    Interrupted,
}

async fn read(options: &TopicRead, until: Until, client: &Client, output: Output) -> Result<Exit> {
    let (name, placement) = (&options.of.name, placement(&options.of));
    let mut query = ReadQuery {
        from: options.from.clone(),
        after: options.after.clone(),
        since: options.since.clone(),
        key: options.key.clone(),
        limit: None,
        waits: false,
    };
    let (mut left, mut away) = (options.limit.unwrap_or(u64::MAX), Away::default());
    while 0 < left {
        query.limit = Some(left.min(PAGE));
        let page = match client.read_topic(name, placement, &query).await {
            Ok(page) => page,
            Err(error) if until == Until::Interrupted => {
                away.wait(error, output).await?;
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        away = Away::default();
        if page.gap {
            let text = format!("messages before {} are kept no more", page.first);
            output.remark_as(Tone::Odd, "gap", &text);
        }
        for message in &page.messages {
            tell(message, output)?;
        }
        left = left.saturating_sub(page.messages.len() as u64);
        let position = page.next.rsplit('-').next().and_then(|it| it.parse::<u64>().ok());
        let is_all = page.messages.is_empty() && position.is_none_or(|it| page.last <= it);
        let is_none = page.messages.is_empty();
        if is_all && until == Until::Now {
            break;
        }
        // From a time on that is to come nothing is there yet.
        if query.since.is_none() || !is_none {
            query = ReadQuery { after: Some(page.next), from: None, since: None, ..query };
        }
        query.waits = until == Until::Interrupted && is_all;
    }
    Ok(Exit::Ok)
}

fn tell(message: &TopicMessage, output: Output) -> Result<()> {
    if output.format == Format::Json {
        return Ok(output.json_line(message)?);
    }
    let text = match message.data.parse() {
        Ok(Value::String(text)) => text,
        Ok(_) | Err(_) => message.data.as_str().to_owned(),
    };
    let key = message.key.as_ref().map(|it| format!(" {}", printable(it))).unwrap_or_default();
    let head = format!("{} {}{key}", message.cursor, message.at);
    output.line(&format!("{head}  {}", printable(&text)))?;
    Ok(())
}
