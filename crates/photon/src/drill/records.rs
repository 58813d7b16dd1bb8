//! Writers of records at `quorum`, each of which is read back elsewhere at once.
//! Must not judge what all regions hold in the end.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use photon_edge::v1::types::Dataset;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Drilled;
use super::ledger::Written;
use super::planet::{At, Failed, soon};
use crate::client::{Client, ClientError, RecordAsk, ScanQuery};

/// How often each region writes a record.
const EVERY: Duration = Duration::from_millis(200);
/// The pause before all regions are asked once more.
const PAUSE: Duration = Duration::from_millis(250);
/// One record of so many must not leave its placement, if there is one that leaves out a region.
const CONFINED_OF: u64 = 5;
/// How long it may take to remove all records.
const FORGET_MAX: Duration = Duration::from_secs(20);
/// The most records that are listed, and how many are removed at the same time.
const RECORDS_MAX: usize = 1_000_000;
const AT_ONCE: usize = 16;

fn at_quorum() -> RecordAsk {
    RecordAsk { consistency: Some("quorum".to_owned()), ..RecordAsk::default() }
}

/// Declares the datasets of the drill, and waits until every region knows them.
pub(super) async fn declare(drilled: &Drilled) -> anyhow::Result<()> {
    let mut wanted = vec![(drilled.dataset(), None)];
    if let Some(confined) = &drilled.confined {
        wanted.push((confined.dataset.clone(), Some(confined.placement.clone())));
    }
    for (name, placement) in &wanted {
        let mut dataset: Dataset = serde_json::from_value(json!({"type": "register"}))?;
        dataset.placement.clone_from(placement);
        drilled.planet.sites[0].client.declare(name, &dataset).await?;
    }
    for site in &drilled.planet.sites {
        for (name, _) in &wanted {
            while soon(site.client.dataset(name)).await.is_err() {
                sleep(PAUSE).await;
            }
        }
    }
    Ok(())
}

/// Removes the records of the drill and its datasets; returns what could not be removed, and why.
pub(super) async fn forget(drilled: &Drilled) -> Vec<String> {
    let mut left = Vec::new();
    let confined = drilled.confined.iter();
    let confined = confined.map(|it| (it.dataset.clone(), it.inside.first().copied()));
    for (dataset, at) in confined.chain([(drilled.dataset(), None)]) {
        let client = &drilled.planet.sites[at.unwrap_or_default()].client;
        let forgetting = async {
            remove_all(client, &dataset).await?;
            // Regions that have not heard of all removals yet refuse.
            while soon(client.forget_dataset(&dataset)).await.is_err() {
                remove_all(client, &dataset).await?;
                sleep(PAUSE).await;
            }
            Ok::<_, ClientError>(())
        };
        match timeout(FORGET_MAX, forgetting).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => left.push(format!("dataset {dataset}: {error}")),
            Err(_) => left.push(format!("dataset {dataset}: it took too long to empty it")),
        }
    }
    left
}

async fn remove_all(client: &Client, dataset: &str) -> Result<(), ClientError> {
    let query = ScanQuery { records_max: RECORDS_MAX, ..ScanQuery::default() };
    let records = client.records(dataset, &query, &RecordAsk::default()).await?;
    let keys = records.iter().filter_map(|it| it["key"].as_str());
    let removing = stream::iter(keys).map(|key| async move {
        client.remove_record((dataset, key), &RecordAsk::default()).await.map(drop)
    });
    removing.buffer_unordered(AT_ONCE).try_collect().await
}

/// Starts a writer in each region. They begin no more writes after `stop`, and end with `give_up`.
pub(super) fn start(
    drilled: &Arc<Drilled>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
    give_up: &CancellationToken,
) {
    for at in 0..drilled.planet.sites.len() {
        let (drilled, stop, give_up) = (Arc::clone(drilled), stop.clone(), give_up.clone());
        tasks.spawn(async move {
            let mut pace = interval(EVERY);
            pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
            for number in 0.. {
                if stop.run_until_cancelled(pace.tick()).await.is_none() {
                    return;
                }
                let writing = write(&drilled, at, number);
                if give_up.run_until_cancelled(writing).await.is_none() {
                    drilled.ledger.book().writes_given_up += 1;
                    return;
                }
            }
        });
    }
}

/// Writes a record in the nearest region that takes it, and reads it in the next.
async fn write(drilled: &Drilled, at: At, number: u64) {
    let ask = at_quorum();
    let confined = drilled.confined.as_ref();
    let confined = confined.filter(|it| it.inside.contains(&at) && number % CONFINED_OF == 2);
    if let Some(confined) = confined {
        let (key, value) = (format!("{}-{at}-{number}", confined.canary), &confined.canary);
        let value = Bytes::from(json!({"number": number, "canary": value}).to_string());
        let client = &drilled.planet.sites[at].client;
        let put = client.put_record((&confined.dataset, &key), (JSON, value), &ask);
        let _ = soon(put).await; // What became of it does not matter, only where it is.
        return;
    }
    let (dataset, key) = (drilled.dataset(), format!("r{at}-{number}"));
    let value = Bytes::from(json!({ "number": number }).to_string());
    let by = loop {
        let mut taken = None;
        for by in &drilled.planet.sites[at].nearest {
            let client = &drilled.planet.sites[*by].client;
            let put = client.put_record((&dataset, &key), (JSON, value.clone()), &ask);
            if soon(put).await.is_ok() {
                taken = Some(*by);
                break;
            }
        }
        match taken {
            Some(by) => break by,
            None => sleep(PAUSE).await,
        }
    };
    let at_ms = drilled.planet.now_ms();
    drilled.ledger.book().written.push(Written { key: key.clone(), number, by, at_ms });
    read_back(drilled, (&dataset, &key), number, by).await;
}

const JSON: &str = "application/json";

async fn read_back(drilled: &Drilled, name: (&str, &str), number: u64, by: At) {
    let (ask, near) = (at_quorum(), &drilled.planet.sites[by].nearest);
    let mut read = Err(Failed::Silent);
    let mut reader = by;
    // The next region, or one behind it if that does not answer.
    for at in near.iter().skip(1) {
        reader = *at;
        read = soon(drilled.planet.sites[reader].client.record(name, &ask)).await;
        if read.as_ref().is_ok() || read.as_ref().is_err_and(Failed::is_no_record) {
            break;
        }
    }
    let now = drilled.planet.now_ms();
    let unseen = |what: String| {
        json!({"record": name.1, "written_in": drilled.planet.name(by),
            "read_in": drilled.planet.name(reader), "at_ms": now, "shown": what})
    };
    let mut book = drilled.ledger.book();
    book.reads += 1;
    match read {
        Ok(record) if record["value"]["number"] == number => {}
        Ok(record) => book.unseen.push(unseen(record["value"].to_string())),
        Err(error) if error.is_no_record() => book.unseen.push(unseen("no record".to_owned())),
        Err(_) => book.reads_failed += 1,
    }
}
