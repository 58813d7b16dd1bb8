//! `photon region`: the regions of a planet.
//! Must not know how `up` carries out what it is told.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use photon_edge::v1::types::{Region, RegionHealth, RegionVerdict, Regions};

use super::{govern, show};
use crate::cli::{self, RegionFault, RegionTarget};
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Cell, Format, Output, Table, Tone};
use crate::up::control::{self, Order};
use crate::up::folder::Folder;

pub(super) async fn run(command: cli::Region, client: &Client, output: Output) -> Result<Exit> {
    match command {
        cli::Region::Ls => {
            let regions = client.regions().await?;
            for region in &regions.regions {
                if let Some(trouble) = &region.trouble {
                    output.remark_as(Tone::Bad, &format!("{}:", region.name), trouble);
                }
            }
            show(output, &regions, |it| output.table(&table(it)))
        }
        cli::Region::Drain(leaver) => govern::drain(&leaver, client, output).await,
        cli::Region::Undrain(member) => govern::undrain(&member, client, output).await,
        cli::Region::Rebalance => govern::rebalance(client, output).await,
        cli::Region::Add(member) => govern::add(&member, client, output).await,
        cli::Region::Rm(leaver) => govern::remove(&leaver, client, output).await,
        cli::Region::Stop(RegionTarget { region, data }) => {
            give(Order::Stop { region: region.to_string() }, data.as_deref(), output).await
        }
        cli::Region::Start(RegionTarget { region, data }) => {
            give(Order::Start { region: region.to_string() }, data.as_deref(), output).await
        }
        cli::Region::Resume(RegionTarget { region, data }) => {
            give(Order::Resume { region: region.to_string() }, data.as_deref(), output).await
        }
        cli::Region::Kill(RegionFault { target, lasts }) => {
            let order = Order::Kill { region: target.region.to_string(), for_ms: millis(lasts) };
            give(order, target.data.as_deref(), output).await
        }
        cli::Region::Stall(RegionFault { target, lasts }) => {
            let order = Order::Stall { region: target.region.to_string(), for_ms: millis(lasts) };
            give(order, target.data.as_deref(), output).await
        }
    }
}

/// Gives an order to the `photon up` of a folder, and prints what it did.
pub(super) async fn give(order: Order, data: Option<&Path>, output: Output) -> Result<Exit> {
    let text = control::order(&Folder::choose(data)?, &order).await?;
    match output.format {
        Format::Json => output.json(&serde_json::json!({ "text": text }))?,
        Format::Table => output.line(&text)?,
    }
    Ok(Exit::Ok)
}

/// Returns a duration as orders have it.
pub(super) fn millis(lasts: Option<Duration>) -> Option<u64> {
    lasts.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX))
}

fn table(regions: &Regions) -> Table {
    let mut table =
        Table::new(&["REGION", "CITY", "HEALTH", ">SHARDS", ">RTT", ">LAG", ">AGENTS", "API"]);
    for region in &regions.regions {
        let rtt = region.round_trip_ms.map_or("-".to_owned(), |ms| format!("{ms:.0} ms"));
        let lag = match region.health {
            RegionHealth::Here => "-".to_owned(),
            RegionHealth::Linked | RegionHealth::Unlinked => region.lag_ops.to_string(),
        };
        let agents = region.counts.as_ref();
        let agents =
            agents.map_or("-".to_owned(), |it| format!("{}/{}", it.agents_online, it.agents));
        table.row([
            Cell::toned(Tone::Strong, &region.name),
            city(region).into(),
            health(region),
            region.shards.to_string().into(),
            rtt.into(),
            lag.into(),
            agents.into(),
            region.api.as_str().into(),
        ]);
    }
    table
}

fn city(region: &Region) -> String {
    [region.city.as_str(), region.country.as_str()]
        .into_iter()
        .filter(|it| !it.is_empty())
        .collect::<Vec<_>>()
        .join(", ")
}

fn health(region: &Region) -> Cell {
    match (region.verdict, region.health) {
        (RegionVerdict::Down, _) => Cell::toned(Tone::Bad, "down"),
        (RegionVerdict::PathBad, RegionHealth::Linked) => Cell::toned(Tone::Bad, "silent"),
        (_, RegionHealth::Unlinked) => Cell::toned(Tone::Bad, "no link"),
        (RegionVerdict::Degraded, _) => Cell::toned(Tone::Bad, "degraded"),
        (RegionVerdict::Up | RegionVerdict::PathBad, RegionHealth::Here) => {
            Cell::toned(Tone::Good, "answers")
        }
        (RegionVerdict::Up, RegionHealth::Linked) => Cell::toned(Tone::Good, "linked"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Colour;

    #[test]
    fn the_region_that_answers_shows_its_agents_and_others_their_links() {
        let json = r#"{"planet":"dev","version":"0","here":"a","placements":{},"regions":[
            {"name":"a","city":"Dublin","country":"IE","continent":"EU","latitude":0,
             "longitude":0,"privacy":"gdpr","api":"http://x","health":"self","lag_ops":0,
             "verdict":"up","shards":512,
             "counts":{"agents":3,"agents_online":2,"waiting":0,"tasks":{}}},
            {"name":"b","city":"","country":"","continent":"EU","latitude":0,"longitude":0,
             "privacy":"gdpr","api":"http://y","health":"unlinked","lag_ops":7,
             "verdict":"down","shards":0,
             "round_trip_ms":80.4}]}"#;
        let text = table(&serde_json::from_str(json).unwrap()).render(Colour::Off);
        let expected = "REGION  CITY        HEALTH   SHARDS    RTT  LAG  AGENTS  API\n\
                        a       Dublin, IE  answers     512      -    -     2/3  http://x\n\
                        b                   down          0  80 ms    7       -  http://y\n";
        assert_eq!(text, expected);
    }
}
