//! `photon data`: the records of datasets.
//! Must not know what a record means to its region.

use std::io::Read as _;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use photon_edge::v1::types::MovePost;
use photon_state::RegionId;
use serde_json::{Value, json};

use super::dataset::plain;
use super::follow::Away;
use super::show;
use crate::cli::{self, ReadOptions, RecordName, WriteOptions};
use crate::client::{Client, ClientError, RecordAsk, ScanQuery, WatchQuery};
use crate::exit::{Exit, UsageError};
use crate::output::{Cell, Format, Output, Table, Tone};

/// The most bytes that are read from standard input; regions take less than that.
const VALUE_BYTES_MAX: u64 = 64 << 20;

/// The longest beginning of a value that is shown in a list.
const VALUE_CHARS_MAX: usize = 60;

pub(super) async fn run(command: cli::Data, client: &Client, output: Output) -> Result<Exit> {
    match command {
        cli::Data::Get { record, how } => {
            let client = at(client, how.region).await?;
            let shown = client.record(record.parts(), &how.into()).await?;
            show(output, &shown, |it| tell(it, output))
        }
        cli::Data::Put { record, value, media_type, how } => {
            let client = at(client, how.region).await?;
            let value = put_body(&value, media_type.as_deref())?;
            let media_type = media_type.as_deref().unwrap_or("application/json");
            let written =
                client.put_record(record.parts(), (media_type, value), &how.into()).await?;
            wrote(&written, output)
        }
        cli::Data::Incr { record, by, how } => {
            patch(client, &record, &json!({ "add": by }), how, output).await
        }
        cli::Data::Add { record, elements, how } => {
            patch(client, &record, &json!({ "add": values(&elements) }), how, output).await
        }
        cli::Data::Rm { record, elements, how } if elements.is_empty() => {
            let client = at(client, how.region).await?;
            let removed = client.remove_record(record.parts(), &how.into()).await?;
            wrote(&removed, output)
        }
        cli::Data::Rm { record, elements, how } => {
            patch(client, &record, &json!({ "remove": values(&elements) }), how, output).await
        }
        cli::Data::Patch { record, patch: text, how } => {
            let json = serde_json::from_str(&text)
                .map_err(|error| UsageError(format!("the patch is not JSON: {error}")))?;
            patch(client, &record, &json, how, output).await
        }
        cli::Data::Move { record, to, from, wait, region } => {
            let client = at(client, region).await?;
            let post = MovePost { key: record.key, to, from };
            let receipt = client.move_record(&record.dataset, &post, wait).await?;
            show(output, &receipt, |it| output.table(&super::moves::details(it)))
        }
        cli::Data::Receipts { dataset, id: Some(id), region, .. } => {
            let receipt = at(client, region).await?.receipt(&dataset, &id).await?;
            show(output, &receipt, |it| output.table(&super::moves::details(it)))
        }
        cli::Data::Receipts { dataset, id: None, limit, region } => {
            let receipts = at(client, region).await?.receipts(&dataset, limit).await?;
            show(output, &receipts["moves"], |it| output.table(&super::moves::table(it)))
        }
        cli::Data::Compact { region } => {
            at(client, region).await?.compact().await?;
            let said = json!({ "compacting": true });
            show(output, &said, |_| output.line("the log is bounded as soon as may be"))
        }
        cli::Data::Scan { dataset, prefix, limit, how } => {
            let client = at(client, how.region).await?;
            let records_max = usize::try_from(limit).unwrap_or(usize::MAX);
            let query = ScanQuery { prefix, records_max };
            let records = client.records(&dataset, &query, &how.into()).await?;
            show(output, &records, |it| output.table(&table(it)))
        }
        cli::Data::Verify { dataset } => super::verify::run(&dataset, client, output).await,
        cli::Data::Watch { dataset, prefix, residency, position, region } => {
            let client = at(client, region).await?;
            let query = WatchQuery { prefix, residency };
            watch(&client, (&dataset, &query), position, output).await
        }
    }
}

impl RecordName {
    fn parts(&self) -> (&str, &str) {
        (&self.dataset, &self.key)
    }
}

impl From<ReadOptions> for RecordAsk {
    fn from(how: ReadOptions) -> Self {
        let ReadOptions { consistency, session, max_staleness, residency, region: _ } = how;
        let staleness_max = max_staleness;
        Self { consistency, session, staleness_max, residency, ..Self::default() }
    }
}

impl From<WriteOptions> for RecordAsk {
    fn from(how: WriteOptions) -> Self {
        let WriteOptions { consistency, session, if_match, if_absent, ttl, residency, .. } = how;
        Self { consistency, session, if_match, if_absent, ttl, residency, staleness_max: None }
    }
}

async fn at(client: &Client, region: Option<RegionId>) -> Result<Client> {
    match region {
        Some(region) => client.region(region).await,
        None => Ok(client.clone()),
    }
}

async fn patch(
    client: &Client,
    record: &RecordName,
    patch: &Value,
    how: WriteOptions,
    output: Output,
) -> Result<Exit> {
    let client = at(client, how.region).await?;
    let written = client.patch_record(record.parts(), patch, &how.into()).await?;
    wrote(&written, output)
}

/// Reads what was typed as JSON, or else takes it for text.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::from(text))
}

fn values(texts: &[String]) -> Vec<Value> {
    texts.iter().map(|it| value(it)).collect()
}

fn put_body(text: &str, media_type: Option<&str>) -> Result<Bytes> {
    let bytes = match text {
        "-" => read_stdin()?,
        text => text.as_bytes().to_vec(),
    };
    if media_type.is_some() || serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {
        return Ok(bytes.into());
    }
    let text = String::from_utf8(bytes).map_err(|_| {
        UsageError("the value is not UTF-8: say what it is with --media-type".to_owned())
    })?;
    Ok(serde_json::to_vec(&text).context("failed to write text as json")?.into())
}

fn read_stdin() -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let stdin = std::io::stdin().lock();
    stdin.take(VALUE_BYTES_MAX + 1).read_to_end(&mut bytes).context("failed to read the value")?;
    if VALUE_BYTES_MAX < bytes.len() as u64 {
        let text = format!("the value on standard input has more than {VALUE_BYTES_MAX} bytes");
        return Err(UsageError(text).into());
    }
    Ok(bytes)
}

/// Returns what a record holds, without what belongs to it.
fn held(record: &Value) -> &Value {
    let members = ["value", "values", "value_base64", "elements", "fields", "document"];
    members.iter().find_map(|it| record.get(it)).unwrap_or(&Value::Null)
}

/// Shows people what a record holds; bytes as they are.
fn tell(record: &Value, output: Output) -> std::io::Result<()> {
    let bytes = record["value_base64"].as_str().and_then(|it| STANDARD.decode(it).ok());
    match bytes {
        Some(bytes) => output.raw(&bytes)?,
        None => output.line(&held(record).to_string())?,
    }
    if let Some(places) = record["also_in"].as_array() {
        let places: Vec<String> = places.iter().map(plain).collect();
        let text = format!("another record with this key lives in {}", places.join(", "));
        output.remark_as(Tone::Odd, "conflict", &text);
    }
    if record["conflict"] == true {
        let text = "regions wrote it without knowing of each other; all writes are kept";
        output.remark_as(Tone::Odd, "conflict", text);
    }
    if output.is_remark_terminal() {
        output.remark(&format!("etag {}, session {}", plain(&record["etag"]), session(record)));
    }
    Ok(())
}

fn session(reply: &Value) -> String {
    plain(&reply["session"])
}

fn wrote(written: &Value, output: Output) -> Result<Exit> {
    show(output, written, |it| {
        let (durable_in, of) = (&it["durable_in"], &it["of"]);
        if let Some(etag) = it["etag"].as_str() {
            output.line(&format!("{} etag {etag}", held(it)))?;
        }
        let text = format!("durable in {durable_in} of {of} regions, session {}", session(it));
        output.remark(&text);
        Ok(())
    })
}

fn table(records: &[Value]) -> Table {
    let mut table = Table::new(&["KEY", "VALUE", "PLACEMENT", "ETAG"]);
    for record in records {
        let whole = held(record).to_string();
        let beginning: String = whole.chars().take(VALUE_CHARS_MAX).collect();
        let is_cut = beginning.len() < whole.len();
        table.row([
            Cell::toned(Tone::Strong, &plain(&record["key"])),
            if is_cut { beginning + ".." } else { beginning }.into(),
            plain(&record["placement"]).into(),
            plain(&record["etag"]).into(),
        ]);
    }
    table
}

/// Prints changes until the region refuses; resumes after the last one when the stream breaks off.
async fn watch(
    client: &Client,
    (dataset, query): (&str, &WatchQuery),
    mut position: Option<String>,
    output: Output,
) -> Result<Exit> {
    let mut away = Away::default();
    loop {
        let mut changes = match client.watch(dataset, query, position.as_deref()).await {
            Ok(changes) => changes,
            Err(error) => {
                away.wait(error, output).await?;
                continue;
            }
        };
        loop {
            let heard = changes.next().await;
            position = changes.position().or(position);
            match heard {
                Ok(Some(event)) if event.kind == "change" => {
                    away = Away::default();
                    print(&event.data, &event.id, output)?;
                }
                Ok(Some(_)) => {}
                Ok(None) => {
                    away.pause().await;
                    break;
                }
                Err(error @ ClientError::Unreachable { .. }) => {
                    away.wait(error, output).await?;
                    break;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

fn print(data: &str, position: &str, output: Output) -> Result<()> {
    let mut change: Value = serde_json::from_str(data).context("a change is not JSON")?;
    change["position"] = Value::from(position);
    match output.format {
        Format::Json => output.json_line(&change)?,
        Format::Table => {
            let record = Some(&change["record"]).filter(|it| !it.is_null());
            let what = record.map_or("is gone".to_owned(), |it| held(it).to_string());
            let (key, by) = (plain(&change["key"]), plain(&change["by"]));
            output.line(&crate::output::printable(&format!("{key} {what} ({by})")))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_json_or_else_text() {
        let check = |text: &str, expected: Value| assert_eq!(value(text), expected);
        check("5", json!(5));
        check("red", json!("red"));
        check("\"5\"", json!("5"));
        check("{\"a\": 1}", json!({"a": 1}));
        check("{a", json!("{a"));
        assert_eq!(&put_body("a b", None).unwrap()[..], b"\"a b\"");
        assert_eq!(&put_body("1e400", None).unwrap()[..], b"1e400");
        assert_eq!(&put_body("a b", Some("text/plain")).unwrap()[..], b"a b");
    }
}
