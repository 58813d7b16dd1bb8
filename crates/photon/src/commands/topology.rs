//! `photon replication topology`: who sends whose changes to whom.
//! Must not lay it out: the region does.

use std::collections::BTreeMap;

use anyhow::Result;
use photon_edge::v1::types::{Topology, TopologyFlow, TopologySend};

use super::show;
use crate::client::Client;
use crate::exit::Exit;
use crate::output::{Cell, Output, Table, Tone};

pub(super) async fn run(client: &Client, output: Output) -> Result<Exit> {
    let topology = client.topology().await?;
    show(output, &topology, |it| {
        output.line(&headline(it))?;
        output.table(&table(it))
    })
}

fn headline(topology: &Topology) -> String {
    let mut text = format!("{}, as {} sees it", topology.topology, topology.here);
    let down = topology.links.iter().filter(|it| !it.is_up);
    let down: Vec<_> = down.map(|it| format!("{}-{}", it.a, it.b)).collect();
    for (what, all) in
        [("links that are down", &down), ("configured otherwise", &topology.configured_otherwise)]
    {
        if !all.is_empty() {
            text += &format!("; {what}: {}", all.join(", "));
        }
    }
    text
}

/// A row for each that sends, with all to whom it does.
fn table(topology: &Topology) -> Table {
    let mut table = Table::new(&["PLACEMENT", "ORIGIN", "FROM", "TO"]);
    for flow in &topology.flows {
        for (from, sends) in by_sender(flow) {
            let arrow = if flow.is_mutual { "<-> " } else { "" };
            let to = |it: &&TopologySend| format!("{arrow}{} {:.0} ms", it.to, it.delay_ms);
            table.row([
                flow.placement.as_str().into(),
                Cell::toned(Tone::Strong, &flow.origin),
                from.into(),
                sends.iter().map(to).collect::<Vec<_>>().join(", ").into(),
            ]);
        }
        for region in &flow.unreached {
            table.row([
                flow.placement.as_str().into(),
                Cell::toned(Tone::Strong, &flow.origin),
                "-".into(),
                Cell::toned(Tone::Bad, &format!("{region} is not reached")),
            ]);
        }
    }
    table
}

fn by_sender(flow: &TopologyFlow) -> BTreeMap<&str, Vec<&TopologySend>> {
    let mut all: BTreeMap<&str, Vec<&TopologySend>> = BTreeMap::new();
    flow.sends.iter().for_each(|it| all.entry(it.from.as_str()).or_default().push(it));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Colour;

    #[test]
    fn a_row_shows_to_whom_a_region_sends_and_who_is_not_reached() {
        let json = r#"{"here":"b","topology":"auto","configured_otherwise":["c"],
            "links":[{"a":"a","b":"b","is_up":true,"round_trip_ms":20.4,"is_measured":true},
                {"a":"a","b":"d","is_up":false,"round_trip_ms":9.0,"is_measured":false}],
            "flows":[{"placement":"global","origin":"a","is_mutual":false,"unreached":["d"],
                "sends":[{"from":"a","to":"b","delay_ms":10.2},
                    {"from":"b","to":"c","delay_ms":44.0}]}]}"#;
        let topology: Topology = serde_json::from_str(json).unwrap();
        let headline = headline(&topology);
        let expected = "auto, as b sees it; links that are down: a-d; configured otherwise: c";
        assert_eq!(headline, expected);
        let expected = "PLACEMENT  ORIGIN  FROM  TO\n\
                        global     a       a     b 10 ms\n\
                        global     a       b     c 44 ms\n\
                        global     a       -     d is not reached\n";
        assert_eq!(table(&topology).render(Colour::Off), expected);
    }
}
