//! `photon replication`: how far regions are behind each other, and what was in conflict.
//! Must not judge: regions say what is not as it should be.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::join_all;
use photon_edge::v1::types::{DataConflict, DataConflicts, Replication, ReplicationPeer};
use serde::Serialize;

use super::show;
use crate::cli;
use crate::client::{Client, ClientError};
use crate::exit::Exit;
use crate::output::{Cell, Output, Table, Tone};

/// Lag that is shown as odd, and as bad, in milliseconds: as the rules for Prometheus have it.
const ODD_MS: u64 = 5_000;
const BAD_MS: u64 = 10_000;

pub(super) async fn run(
    command: cli::Replication,
    client: &Client,
    output: Output,
) -> Result<Exit> {
    match command {
        cli::Replication::Status => {
            let status = client.replication().await?;
            show(output, &status, |it| {
                warn(it, output);
                output.table(&status_table(it))
            })
        }
        cli::Replication::Topology => super::topology::run(client, output).await,
        cli::Replication::Lag { placement } => {
            let all = ask_all(client).await?;
            let placement = placement.map(|it| it.to_string());
            tell_unanswered(&all, output);
            show(output, &all, |it| output.table(&matrix(it, placement.as_deref())))?;
            Ok(exit(&all))
        }
        cli::Replication::Conflicts { dataset, last } => {
            let all = ask_all(client).await?;
            let found = conflicts(&all, dataset.as_deref(), last).await;
            tell_unanswered(&all, output);
            show(output, &found, |it| {
                output.table(&conflict_table(it))?;
                output.table(&last_table(it))
            })?;
            Ok(exit(&all))
        }
    }
}

/// What a region answered, or why it did not.
#[derive(Debug, Serialize)]
struct Said {
    region: String,
    #[serde(skip)]
    client: Option<Client>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replication: Option<Replication>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Asks all regions of the planet at once. Those that do not answer are part of the answer.
async fn ask_all(client: &Client) -> Result<Vec<Said>> {
    let regions = client.regions().await?.regions;
    let ask = async |name: String, api: String| {
        let there = api.parse().map(|api| client.at(api));
        let found = match &there {
            Ok(there) => there.replication().await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let (replication, error) = match found {
            Ok(replication) => (Some(replication), None),
            Err(error) => (None, Some(error)),
        };
        Said { region: name, client: there.ok(), replication, error }
    };
    Ok(join_all(regions.into_iter().map(|it| ask(it.name, it.api))).await)
}

fn tell_unanswered(all: &[Said], output: Output) {
    for it in all {
        if let Some(error) = &it.error {
            output.remark_as(Tone::Bad, "no answer", &format!("of `{}`: {error}", it.region));
        }
    }
}

fn exit(all: &[Said]) -> Exit {
    let is_whole = all.iter().all(|it| it.error.is_none());
    if is_whole { Exit::Ok } else { Exit::Unreachable }
}

fn warn(status: &Replication, output: Output) {
    for it in &status.warnings {
        output.remark_as(Tone::Odd, "warning", &it.text);
    }
}

fn secs(ms: Option<u64>) -> String {
    ms.map_or("?".to_owned(), |ms| format!("{:.1} s", Duration::from_millis(ms).as_secs_f64()))
}

fn status_table(status: &Replication) -> Table {
    let mut table = Table::new(&["FROM", "TO", "LINK", ">LAG OPS", ">LAG", ">STALENESS", ">RTT"]);
    for it in &status.peers {
        let link = if it.linked { (Tone::Good, "linked") } else { (Tone::Bad, "no link") };
        table.row([
            status.here.as_str().into(),
            Cell::toned(Tone::Strong, &it.region),
            Cell::toned(link.0, link.1),
            it.lag_ops.to_string().into(),
            lag_cell(it.lag_ms, secs(it.lag_ms)),
            secs(it.staleness_ms).into(),
            it.round_trip_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms")).into(),
        ]);
    }
    table
}

fn lag_cell(ms: Option<u64>, text: String) -> Cell {
    match ms {
        Some(ms) if ms <= ODD_MS => text.into(),
        Some(ms) if ms <= BAD_MS => Cell::toned(Tone::Odd, &text),
        Some(_) | None => Cell::toned(Tone::Bad, &text),
    }
}

/// A row for each region that wrote, a column for each that is to have it.
fn matrix(all: &[Said], placement: Option<&str>) -> Table {
    let mut headings = vec!["FROM".to_owned()];
    headings.extend(all.iter().map(|it| format!(">{}", it.region)));
    let mut table = Table::new(&headings.iter().map(String::as_str).collect::<Vec<_>>());
    for from in all {
        let cell = |to: &Said| {
            let Some(said) = &from.replication else { return Cell::toned(Tone::Bad, "no answer") };
            let peer = said.peers.iter().find(|it| it.region == to.region);
            let Some((ops, ms)) = peer.and_then(|it| behind(it, placement)) else {
                return Cell::toned(Tone::Faint, "-");
            };
            if ops == 0 && ms == Some(0) {
                return "0".into();
            }
            lag_cell(ms, format!("{ops} / {}", secs(ms)))
        };
        let name = Cell::toned(Tone::Strong, &from.region);
        table.row(std::iter::once(name).chain(all.iter().map(cell)));
    }
    table
}

/// Returns how far a peer is behind with one placement, or with all; nothing if it is not in it.
fn behind(peer: &ReplicationPeer, placement: Option<&str>) -> Option<(u64, Option<u64>)> {
    let Some(placement) = placement else { return Some((peer.lag_ops, peer.lag_ms)) };
    let found = peer.placements.iter().find(|it| it.placement == placement);
    found.map(|it| (it.lag_ops, it.lag_ms))
}

/// The conflicts of a dataset in one region.
#[derive(Debug, Serialize)]
struct Met {
    dataset: String,
    region: String,
    count: u64,
    per_second: f64,
    alarm: bool,
    last: Vec<DataConflict>,
}

/// Asks each region for the last conflicts of the datasets that had any.
async fn conflicts(all: &[Said], dataset: Option<&str>, last: u32) -> Vec<Met> {
    let mut found = Vec::new();
    for said in all {
        let (Some(replication), Some(client)) = (&said.replication, &said.client) else { continue };
        let wanted = |name: &str| dataset.is_none_or(|it| it == name);
        for it in replication.conflicts.iter().filter(|it| wanted(&it.dataset)) {
            // A dataset that was dropped meanwhile has none any more.
            let shown: Result<DataConflicts, ClientError> = match last {
                0 => Ok(DataConflicts { count: it.count, last: Vec::new() }),
                1.. => client.last_conflicts(&it.dataset).await,
            };
            let shown = shown.map(|it| it.last).unwrap_or_default();
            found.push(Met {
                dataset: it.dataset.clone(),
                region: said.region.clone(),
                count: it.count,
                per_second: it.per_second,
                alarm: it.alarm,
                last: shown.into_iter().take(usize::try_from(last).unwrap_or(100)).collect(),
            });
        }
    }
    found.sort_by(|a, b| (&a.dataset, &a.region).cmp(&(&b.dataset, &b.region)));
    found
}

fn conflict_table(all: &[Met]) -> Table {
    let mut table = Table::new(&["DATASET", "REGION", ">CONFLICTS", ">A SECOND", "ALARM"]);
    for it in all {
        let alarm =
            if it.alarm { Cell::toned(Tone::Bad, "yes") } else { Cell::toned(Tone::Good, "no") };
        table.row([
            Cell::toned(Tone::Strong, &it.dataset),
            it.region.as_str().into(),
            it.count.to_string().into(),
            format!("{:.1}", it.per_second).into(),
            alarm,
        ]);
    }
    table
}

fn last_table(all: &[Met]) -> Table {
    let mut table =
        Table::new(&["DATASET", "SEEN IN", "KEY", "PLACEMENT", "ARRIVED", "FROM", "HELD", "FROM"]);
    for met in all {
        for it in &met.last {
            table.row([
                met.dataset.as_str().into(),
                met.region.as_str().into(),
                Cell::toned(Tone::Strong, &it.key),
                it.placement.as_str().into(),
                it.arrived.at.as_str().into(),
                it.arrived.region.as_str().into(),
                it.held.at.as_str().into(),
                it.held.region.as_str().into(),
            ]);
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Colour;

    #[test]
    fn the_matrix_has_a_cell_for_each_pair_and_says_what_is_not_known() {
        let peer = |region: &str, lag_ops: u64, lag_ms: Option<u64>| ReplicationPeer {
            region: region.to_owned(),
            linked: lag_ms.is_some(),
            round_trip_ms: None,
            lag_ops,
            lag_ms,
            staleness_ms: None,
            placements: Vec::new(),
        };
        let said = |region: &str, peers: Option<Vec<ReplicationPeer>>| Said {
            region: region.to_owned(),
            client: None,
            error: peers.is_none().then(|| "it is down".to_owned()),
            replication: peers.map(|peers| Replication {
                here: region.to_owned(),
                peers,
                conflicts: Vec::new(),
                conflict_alarm_per_second: 10,
                warnings: Vec::new(),
            }),
        };
        let all = [
            said("a", Some(vec![peer("b", 0, Some(0)), peer("c", 12, Some(61_500))])),
            said("b", Some(vec![peer("a", 1, Some(80)), peer("c", 7, None)])),
            said("c", None),
        ];
        let expected = "FROM          a          b            c\n\
                        a             -          0  12 / 61.5 s\n\
                        b     1 / 0.1 s          -        7 / ?\n\
                        c     no answer  no answer    no answer\n";
        assert_eq!(matrix(&all, None).render(Colour::Off), expected);
        assert_eq!(exit(&all), Exit::Unreachable);
    }
}
