//! `photon planet cut`, `slow`, `mend` and `faults`: what is wrong between regions of `photon up`.
//! Must not know how `up` carries out what it is told.

use anyhow::Result;

use super::region::{give, millis};
use super::{planet, show};
use crate::cli::{CutPaths, Planet, PlanetTarget, SlowPaths};
use crate::exit::Exit;
use crate::output::{Output, Table};
use crate::up::control::{self, Order, ShownFault, Ways};
use crate::up::folder::Folder;

pub(super) async fn run(command: Planet, output: Output) -> Result<Exit> {
    match command {
        Planet::Ca(command) => planet::run(&command, output),
        Planet::Show | Planet::Adopt | Planet::Voters(_) => {
            unreachable!("the regions are asked for it")
        }
        Planet::Cut(cut) => {
            let order = Order::Cut { paths: ways(&cut), for_ms: millis(cut.lasts) };
            give(order, cut.target.data.as_deref(), output).await
        }
        Planet::Slow(SlowPaths { cut, by }) => {
            let by_ms = millis(Some(by)).unwrap_or_default();
            let order = Order::Slow { paths: ways(&cut), by_ms, for_ms: millis(cut.lasts) };
            give(order, cut.target.data.as_deref(), output).await
        }
        Planet::Mend(PlanetTarget { data }) => give(Order::Mend, data.as_deref(), output).await,
        Planet::Faults(PlanetTarget { data }) => {
            let shown = control::show(&Folder::choose(data.as_deref())?).await?;
            show(output, &shown.faults, |it| match it.is_empty() {
                true => output.line("no fault is in force"),
                false => output.table(&table(it)),
            })
        }
    }
}

fn ways(cut: &CutPaths) -> Ways {
    let CutPaths { from, to, one_way, .. } = cut;
    match to {
        Some(to) => Ways {
            between: vec![(from.to_string(), to.to_string())],
            one_way: *one_way,
            ..Ways::default()
        },
        None => Ways { of: Some(from.to_string()), one_way: *one_way, ..Ways::default() },
    }
}

fn table(faults: &[ShownFault]) -> Table {
    let mut table = Table::new(&["KIND", ">SINCE", ">LEFT", "FAULT"]);
    for fault in faults {
        let seconds = |ms: u64| format!("{:.1} s", ms as f64 / 1_000.0);
        table.row([
            fault.kind.as_str().into(),
            seconds(fault.since_ms).into(),
            fault.left_ms.map_or("-".to_owned(), seconds).into(),
            fault.text.as_str().into(),
        ]);
    }
    table
}
