//! Reads and writes how regions pass on what they write: `topology` in `[links]` and its keys.
//! Must not lay it out: each region does.

use std::collections::{BTreeMap, BTreeSet};

use photon_region::Topology;
use photon_state::RegionId;

use super::read::region_named;
use super::section::{Section, Value, hint};
use super::{ConfigError, ConfigProblem, REGIONS_MAX, Site};

/// The keys of `[links]` that are read here.
pub(super) const KEYS: [&str; 4] = ["topology", "hub", "groups", "parents"];

/// Reads the topology from `[links]`.
pub(super) fn read(
    links: &Section<'_>,
    regions: &BTreeMap<RegionId, Site>,
) -> Result<Topology, ConfigError> {
    let value = links.find("topology");
    let mut topology = value.as_ref().map(named).transpose()?.unwrap_or_default();
    for (key, owner) in [("hub", "star"), ("groups", "hybrid"), ("parents", "tree")] {
        if let Some(value) = links.find(key).filter(|_| topology.name() != owner) {
            let rule = format!(
                "it belongs to the topology `{owner}`, but `links.topology` is `{}`: set that, or \
                 remove `{key}`",
                topology.name()
            );
            return Err(wrong(&value, rule));
        }
    }
    match &mut topology {
        Topology::Mesh | Topology::Ring | Topology::Auto => {}
        Topology::Star { hub } => {
            let region = |it: Value<'_>| region_named(&it, it.text()?, regions);
            *hub = links.find("hub").map(region).transpose()?;
        }
        Topology::Tree { parents } => *parents = read_parents(links, regions)?,
        Topology::Hybrid { groups } => *groups = read_groups(links, regions)?,
    }
    Ok(topology)
}

fn named(value: &Value<'_>) -> Result<Topology, ConfigError> {
    let name = value.text()?;
    Topology::named(name).ok_or_else(|| {
        let hint = hint(name, Topology::NAMES.into_iter(), str::to_owned);
        wrong(value, format!("there is no topology `{name}`, {hint}"))
    })
}

fn wrong(value: &Value<'_>, rule: String) -> ConfigError {
    value.error(ConfigProblem::Topology { key: value.path().to_owned(), rule })
}

/// Reads who is whose parent, and refuses circles.
fn read_parents(
    links: &Section<'_>,
    regions: &BTreeMap<RegionId, Site>,
) -> Result<BTreeMap<RegionId, RegionId>, ConfigError> {
    let mut parents = BTreeMap::new();
    for (name, value) in links.section("parents")?.entries(REGIONS_MAX)? {
        let (child, parent) = (region_named(&value, name, regions)?, value.text()?);
        parents.insert(child, region_named(&value, parent, regions)?);
    }
    let Some(all) = links.find("parents") else { return Ok(parents) };
    for child in parents.keys() {
        let mut at = child;
        for _ in 0..parents.len() {
            let Some(parent) = parents.get(at) else { break };
            if parent == child {
                let rule = format!("`{child}` is its own forebear: one region has no parent");
                return Err(wrong(&all, rule));
            }
            at = parent;
        }
    }
    Ok(parents)
}

/// Reads the groups, and refuses a region that is in two.
fn read_groups(
    links: &Section<'_>,
    regions: &BTreeMap<RegionId, Site>,
) -> Result<Vec<BTreeSet<RegionId>>, ConfigError> {
    let Some(value) = links.find("groups") else { return Ok(Vec::new()) };
    let mut groups: Vec<BTreeSet<RegionId>> = Vec::new();
    for group in value.list(REGIONS_MAX)? {
        let mut members = BTreeSet::new();
        for region in group.list(REGIONS_MAX)? {
            let id = region_named(&region, region.text()?, regions)?;
            if groups.iter().any(|it| it.contains(&id)) || !members.insert(id) {
                let rule = format!("`{id}` stands in it twice: a region is in one group");
                return Err(wrong(&region, rule));
            }
        }
        if members.is_empty() {
            return Err(group.wrong("a list of at least one region"));
        }
        groups.push(members);
    }
    Ok(groups)
}

/// Writes the keys of a topology.
pub(super) fn render(topology: &Topology) -> String {
    let quoted = |region: &RegionId| format!("\"{region}\"");
    let own = match topology {
        Topology::Mesh | Topology::Ring | Topology::Auto | Topology::Star { hub: None } => {
            String::new()
        }
        Topology::Star { hub: Some(hub) } => format!("hub = {}\n", quoted(hub)),
        Topology::Tree { parents } => {
            let pairs = parents.iter().map(|(child, parent)| format!("{child} = \"{parent}\""));
            format!("parents = {{ {} }}\n", pairs.collect::<Vec<_>>().join(", "))
        }
        Topology::Hybrid { groups } => {
            let list = |it: &BTreeSet<RegionId>| {
                format!("[{}]", it.iter().map(quoted).collect::<Vec<_>>().join(", "))
            };
            format!("groups = [{}]\n", groups.iter().map(list).collect::<Vec<_>>().join(", "))
        }
    };
    format!("topology = \"{}\"\n{own}", topology.name())
}
