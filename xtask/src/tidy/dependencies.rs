//! Dependencies point one way: state <- region <- node <- edge <- photon, region <- sim <- photon,
//! and region <- traffic <- edge, sim.
//! Must not care for crates of others.

use anyhow::Context;
use toml::{Table, Value};

use super::Complaint;

/// Each crate, and the crates of ours that it may know, in tests too.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("photon-state", &[]),
    ("photon-region", &["photon-state"]),
    ("photon-node", &["photon-state", "photon-region"]),
    ("photon-traffic", &["photon-state", "photon-region"]),
    ("photon-edge", &["photon-state", "photon-region", "photon-node", "photon-traffic"]),
    ("photon-sim", &["photon-state", "photon-region", "photon-traffic"]),
    (
        "photon",
        &[
            "photon-state",
            "photon-region",
            "photon-node",
            "photon-traffic",
            "photon-edge",
            "photon-sim",
        ],
    ),
    (
        "photon-bench",
        &[
            "photon-state",
            "photon-region",
            "photon-node",
            "photon-traffic",
            "photon-edge",
            "photon-sim",
            "photon",
        ],
    ),
    ("photon-detect", &["photon-state", "photon-region"]),
    (
        "photon-fuzz",
        &["photon-state", "photon-region", "photon-node", "photon-traffic", "photon-edge"],
    ),
    ("photon-test-clients", &[]),
    ("xtask", &[]),
];

/// The names of the tables that hold dependencies.
const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];

/// Checks one `Cargo.toml`; that of the workspace has no package, and says nothing.
pub(super) fn check(path: &str, text: &str) -> anyhow::Result<Vec<Complaint>> {
    let manifest: Table = text.parse().with_context(|| format!("`{path}` is no TOML"))?;
    let Some(name) = manifest.get("package").and_then(|it| it.get("name")?.as_str()) else {
        return Ok(Vec::new());
    };
    let Some((_, may_know)) = MAY_KNOW.iter().find(|(it, _)| *it == name) else {
        let text = format!("say in xtask/src/tidy/dependencies.rs what `{name}` may know");
        return Ok(vec![Complaint::new(path, 1, text)]);
    };
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flatten().filter_map(|(_, it)| it.as_table());
    let knows = targets.chain([&manifest]).flat_map(dependencies);
    let is_ours = |it: &&str| MAY_KNOW.iter().any(|(ours, _)| ours == it);
    let forbidden = knows.filter(is_ours).filter(|it| !may_know.contains(it));
    let complain = |it: &str| {
        let line = 1 + text.lines().take_while(|line| !line.contains(it)).count();
        Complaint::new(path, line, format!("`{name}` must not know `{it}`"))
    };
    Ok(forbidden.map(complain).collect())
}

/// Lists the crates that a manifest, or a part of it for one target, names.
fn dependencies(table: &Table) -> impl Iterator<Item = &str> {
    let tables = TABLES.iter().filter_map(|it| table.get(*it)?.as_table()).flatten();
    tables.map(|(key, value)| value.get("package").and_then(Value::as_str).unwrap_or(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn complaints(name: &str, rest: &str, expected: &[&str]) {
        let text = format!("[package]\nname = \"{name}\"\n{rest}");
        let found = check("Cargo.toml", &text).unwrap();
        let found: Vec<_> = found.iter().map(Complaint::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_way_down_is_allowed() {
        complaints("photon-region", "[dependencies]\nphoton-state.workspace = true", &[]);
        complaints(
            "photon",
            "[dependencies]\nphoton-sim = { path = \"../sim\" }\nserde = \"1\"",
            &[],
        );
        assert_eq!(check("Cargo.toml", "[workspace]").unwrap(), []);
    }

    #[test]
    fn the_way_up_is_refused_wherever_it_hides() {
        let up = ["Cargo.toml:4: `photon-sim` must not know `photon-node`"];
        complaints("photon-sim", "[dependencies]\nphoton-node.workspace = true", &up);
        complaints("photon-sim", "[dev-dependencies]\nphoton-node = { path = \"..\" }", &up);
        complaints("photon-sim", "[build-dependencies]\nphoton-node = \"1\"", &up);
        complaints("photon-sim", "[target.'cfg(unix)'.dependencies]\nphoton-node = \"1\"", &up);
        complaints("photon-sim", "[dependencies]\nn = { package = \"photon-node\" }", &up);
        let state = ["Cargo.toml:4: `photon-state` must not know `photon-region`"];
        complaints("photon-state", "[dependencies]\nphoton-region.workspace = true", &state);
    }

    #[test]
    fn a_new_crate_must_be_given_its_place() {
        let place =
            "Cargo.toml:1: say in xtask/src/tidy/dependencies.rs what `photon-new` may know";
        complaints("photon-new", "", &[place]);
        assert!(check("Cargo.toml", "[package").is_err());
    }
}
