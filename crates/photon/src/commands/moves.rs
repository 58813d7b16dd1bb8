//! Receipts of moves for people.
//! Must not know how a move is carried out.

use serde_json::Value;

use super::dataset::plain;
use crate::output::{Cell, Table, Tone};

/// Shows one receipt as a whole.
pub(super) fn details(receipt: &Value) -> Table {
    let mut table = Table::new(&["MOVE", ""]);
    for (key, value) in receipt.as_object().into_iter().flatten() {
        let shown = match key.as_str() {
            "copies" => each(value, |it| {
                format!(
                    "{} {}: {}",
                    plain(&it["op"]["region"]),
                    it["op"]["seq"],
                    names(it, "regions")
                )
            }),
            "removals" => each(value, |it| format!("{} {}", plain(&it["region"]), it["seq"])),
            "must_forget" => names(receipt, "must_forget"),
            _ => plain(value),
        };
        table.row([Cell::toned(Tone::Faint, key), shown.into()]);
    }
    table
}

/// Shows receipts, one in a line.
pub(super) fn table(receipts: &Value) -> Table {
    let mut table = Table::new(&["MOVE", "KEY", "FROM", "TO", "STATE", "BEGUN", "PURGED"]);
    for it in receipts.as_array().into_iter().flatten() {
        let purged = it["purged"].as_object().map_or(0, serde_json::Map::len);
        let due = it["must_forget"].as_array().map_or(0, Vec::len);
        table.row([
            Cell::toned(Tone::Strong, &plain(&it["id"])),
            plain(&it["key"]).into(),
            plain(&it["from"]).into(),
            plain(&it["to"]).into(),
            plain(&it["state"]).into(),
            plain(&it["begun_at"]).into(),
            format!("{purged} of {due}").into(),
        ]);
    }
    table
}

fn each(values: &Value, show: impl Fn(&Value) -> String) -> String {
    values.as_array().into_iter().flatten().map(show).collect::<Vec<_>>().join("; ")
}

fn names(value: &Value, key: &str) -> String {
    each(&value[key], plain)
}
