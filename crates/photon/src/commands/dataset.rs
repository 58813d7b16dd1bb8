//! `photon dataset`: what datasets there are, and how each is read and written.
//! Must not know any record.

use std::time::Duration;

use anyhow::Result;
use photon_edge::v1::types::{
    ConflictPolicy, Dataset, DatasetMode, DatasetType, Elsewhere, MasterPut, ReadConsistency,
    WriteConsistency,
};
use serde_json::Value;

use super::show;
use crate::cli::{self, DatasetDeclare};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Cell, Format, Output, Table, Tone};

/// How long other regions have to hear of a dataset before the command ends without them.
const KNOWN_WITHIN: Duration = Duration::from_secs(2);
/// How soon a region that does not know a dataset is asked again.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(20);

pub(super) async fn run(command: cli::Dataset, client: &Client, output: Output) -> Result<Exit> {
    match command {
        cli::Dataset::Declare(options) => {
            let shown = client.declare(&options.name, &declaration(&options)).await?;
            match lacking(client, &options.name, &shown).await {
                Ok(lacking) => lacking.iter().for_each(|region| {
                    output.remark(&format!("`{region}` does not know it yet, or cannot be asked"));
                }),
                // It is declared all the same.
                Err(error) => output.remark(&format!("the other regions are unknown: {error:#}")),
            }
            show(output, &shown, |it| output.table(&details(it)))
        }
        cli::Dataset::Show { name } => {
            let shown = client.dataset(&name).await?;
            show(output, &shown, |it| output.table(&details(it)))
        }
        cli::Dataset::List => {
            let all = client.datasets().await?;
            show(output, &all["datasets"], |it| output.table(&table(it)))
        }
        cli::Dataset::Rm { name } => {
            client.forget_dataset(&name).await?;
            match output.format {
                Format::Json => output.json(&serde_json::json!({ "removed": name }))?,
                Format::Table => output.line(&format!("{name} is removed"))?,
            }
            Ok(Exit::Ok)
        }
        cli::Dataset::MoveMaster { name, region } => {
            let to = MasterPut { region: region.to_string() };
            let shown = client.move_master(&name, &to).await?;
            show(output, &shown, |it| output.table(&details(it)))
        }
        cli::Dataset::Verify { name } => super::verify::run(&name, client, output).await,
        cli::Dataset::Conflicts { name } => {
            let conflicts = client.conflicts(&name).await?;
            show(output, &conflicts, |it| {
                output.remark(&format!("{} since the region was started", it["count"]));
                output.table(&conflict_table(&it["last"]))
            })
        }
    }
}

/// Waits until all regions know a dataset as it is here: whoever uses it next may ask any of them.
/// Returns those that do not in time.
async fn lacking(client: &Client, name: &str, shown: &Value) -> Result<Vec<String>> {
    let regions = client.regions().await?.regions;
    let asked = regions.into_iter().map(async |region| {
        let there = client.at(region.api.parse()?);
        let knows = async {
            while !there.dataset(name).await.is_ok_and(|it| it == *shown) {
                tokio::time::sleep(ASK_AGAIN_AFTER).await;
            }
        };
        let is_late = tokio::time::timeout(KNOWN_WITHIN, knows).await.is_err();
        Ok(is_late.then_some(region.name))
    });
    let all = futures_util::future::join_all(asked).await;
    all.into_iter().filter_map(Result::transpose).collect()
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn declaration(options: &DatasetDeclare) -> Dataset {
    fn named<T: Default>(text: Option<&String>, named: impl Fn(&str) -> Option<T>) -> T {
        text.and_then(|it| named(it)).unwrap_or_default()
    }
    let tenants = options.tenants.iter().map(|(it, at)| (it.clone(), at.to_string()));
    let residencies = options.residencies.iter().map(|(it, at)| (it.clone(), at.to_string()));
    let elsewhere = options.elsewhere.as_deref();
    Dataset {
        name: None,
        kind: named(Some(&options.kind), DatasetType::named),
        placement: options.placement.map(|it| it.to_string()),
        tenants: (!options.tenants.is_empty()).then(|| tenants.collect()),
        residencies: (!options.residencies.is_empty()).then(|| residencies.collect()),
        attribute: options.attribute.clone(),
        others: options.others.map(|it| it.to_string()),
        outside: named(options.outside.as_ref(), Elsewhere::named),
        mode: named(options.mode.as_ref(), DatasetMode::named),
        master: options.master.map(|it| it.to_string()),
        elsewhere: elsewhere.and_then(Elsewhere::named),
        conflicts: named(options.conflicts.as_ref(), ConflictPolicy::named),
        prefer: options.prefer.map(|it| it.to_string()),
        write_consistency: named(options.write_consistency.as_ref(), WriteConsistency::named),
        read_consistency: named(options.read_consistency.as_ref(), ReadConsistency::named),
        ttl_ms: options.ttl.map(millis),
        retention_ms: options.retention.map(millis),
        sensitive_keys: options.sensitive_keys,
    }
}

/// Writes a value for people: text without its quotes.
pub(super) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

fn details(dataset: &Value) -> Table {
    let mut table = Table::new(&["DATASET", ""]);
    for (key, value) in dataset.as_object().into_iter().flatten() {
        table.row([Cell::toned(Tone::Faint, key), plain(value).into()]);
    }
    table
}

fn table(datasets: &Value) -> Table {
    let mut table = Table::new(&["DATASET", "TYPE", "PLACEMENT", "MODE", "WRITES", "READS"]);
    for dataset in datasets.as_array().into_iter().flatten() {
        let master = dataset["master"].as_str().map(|it| format!(" {it}")).unwrap_or_default();
        let mode = plain(&dataset["mode"]) + &master;
        let by = if dataset["residencies"].is_object() { "by record" } else { "by tenant" };
        let placement = dataset["placement"].as_str().unwrap_or(by);
        table.row([
            Cell::toned(Tone::Strong, &plain(&dataset["name"])),
            plain(&dataset["type"]).into(),
            placement.into(),
            mode.into(),
            plain(&dataset["write_consistency"]).into(),
            plain(&dataset["read_consistency"]).into(),
        ]);
    }
    table
}

fn conflict_table(conflicts: &Value) -> Table {
    let mut table = Table::new(&["KEY", "PLACEMENT", "ARRIVED", "FROM", "HELD", "FROM"]);
    for it in conflicts.as_array().into_iter().flatten() {
        table.row([
            Cell::toned(Tone::Strong, &plain(&it["key"])),
            plain(&it["placement"]).into(),
            plain(&it["arrived"]["at"]).into(),
            plain(&it["arrived"]["region"]).into(),
            plain(&it["held"]["at"]).into(),
            plain(&it["held"]["region"]).into(),
        ]);
    }
    table
}
