//! What is told at the end: tables for readers, JSON for programs.
//! Must not measure.

use std::fmt::Write;

use serde_json::{Value, json};

use crate::measure::{Detection, Quantiles, Quiet, Spells};
use crate::net::Noise;

/// What was measured of one verdict of one detector.
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) detection: Detection,
    pub(crate) quiet: Option<Quiet>,
}

impl Row {
    pub(crate) fn new(name: &str, detection: Detection, quiet: Option<Quiet>) -> Self {
        Self { name: name.to_owned(), detection, quiet }
    }
}

/// All that was measured.
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) noise: Noise,
    pub(crate) rows: Vec<Row>,
}

fn seconds(quantiles: Quantiles) -> String {
    let one = |it: Option<f64>| it.map_or("never".to_owned(), |ms| format!("{:.2}", ms / 1_000.0));
    format!("{} / {} / {}", one(quantiles.p50), one(quantiles.p99), one(quantiles.max))
}

impl Report {
    /// Returns tables in Markdown.
    pub(crate) fn table(&self) -> String {
        let mut text = String::from(
            "| | losses | most nodes of a region know, s: p50 / p99 / max | the last node, s: \
             p50 / p99 / max | regions that did not |\n|---|---|---|---|---|\n",
        );
        for row in &self.rows {
            let it = row.detection.summary();
            let (regions, nodes) = (seconds(it.regions), seconds(it.nodes));
            let (name, losses, missed) = (&row.name, it.losses, it.missed);
            writeln!(text, "| {name} | {losses} | {regions} | {nodes} | {missed} |")
                .expect("memory");
        }
        text += "\n| without a loss | hours | regions falsely down | down while all nodes paused | \
                 nodes falsely down | messages heard |\n|---|---|---|---|---|---|\n";
        let quiets = || self.rows.iter().filter_map(|it| Some((&it.name, it.quiet.as_ref()?)));
        for (name, it) in quiets() {
            let Quiet { hours, false_downs, paused_downs, node_downs, heard, .. } = it;
            let line = format!("{hours} | {false_downs} | {paused_downs} | {node_downs} | {heard}");
            writeln!(text, "| {name} | {line} |").expect("memory");
        }
        text += "\n| paths called bad, by node and region | cut | region paused | node paused | \
                 loss, jitter |\n|---|---|---|---|---|\n";
        for (name, it) in quiets().filter(|it| it.0.starts_with("Photon")) {
            let cell = |it: Spells| format!("{} x {:.0} ms", it.count, it.mean_ms);
            let cells = [it.cut, it.paused, it.observer, it.loss].map(cell).join(" | ");
            writeln!(text, "| {name} | {cells} |").expect("memory");
        }
        text
    }

    pub(crate) fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            json!({ "name": row.name, "detection_ms": row.detection.summary(), "quiet": row.quiet })
        });
        json!({ "seed": self.seed, "noise": self.noise, "rows": rows.collect::<Vec<_>>() })
    }
}
