//! `[datasets.NAME]`: datasets that the configuration declares, which cannot be changed otherwise.
//! Must not know how a dataset is declared over the API, though the keys are the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_edge::v1::types::{
    ConflictPolicy, Dataset, DatasetMode, DatasetType, Elsewhere, ReadConsistency, TTL_MS_MAX,
    WriteConsistency,
};
use photon_region::data::{DatasetName, DatasetSpec, Kind, Outside, PlacementRule, Policy};
use photon_state::{PlacementId, RegionId};

use super::measure::Measure as _;
use super::section::{Section, Value};
use super::{ConfigError, ConfigProblem, PLACEMENTS_MAX};

/// The most datasets that the configuration declares.
pub(super) const DATASETS_MAX: usize = 1_000;
/// The most tenants of one dataset.
const TENANTS_MAX: usize = 10_000;

/// Every key of a dataset.
const KEYS: [&str; 17] = [
    "type",
    "placement",
    "tenants",
    "residencies",
    "attribute",
    "others",
    "outside",
    "mode",
    "master",
    "elsewhere",
    "conflicts",
    "prefer",
    "write_consistency",
    "read_consistency",
    "ttl",
    "retention",
    "sensitive_keys",
];

/// The regions of each placement.
type Placements = BTreeMap<PlacementId, BTreeSet<RegionId>>;

/// Reads all datasets.
pub(super) fn datasets(
    root: &Section<'_>,
    placements: &Placements,
) -> Result<Vec<DatasetSpec>, ConfigError> {
    let entries = root.section("datasets")?.entries(DATASETS_MAX)?;
    entries.into_iter().map(|(name, value)| dataset(name, &value, placements)).collect()
}

fn dataset(
    name: &str,
    value: &Value<'_>,
    placements: &Placements,
) -> Result<DatasetSpec, ConfigError> {
    let unfit =
        |rule: String| value.error(ConfigProblem::Dataset { key: value.path().to_owned(), rule });
    let name = DatasetName::try_from(name).map_err(|err| unfit(err.to_string()))?;
    let section = value.clone().section()?;
    section.refuse_unknown(&KEYS)?;
    let text = |key| section.find(key).map(|it| it.text().map(str::to_owned)).transpose();
    let kind = section.require("type", "what a record holds, such as \"register\"")?;
    let named = |key| section.find(key).map(|_| named(&section, key)).transpose();
    let lasts = Duration::from_millis(1)..=Duration::from_millis(TTL_MS_MAX);
    let millis = |key| {
        let found = section.find(key).map(|it| it.measure(&lasts)).transpose()?;
        Ok::<_, ConfigError>(found.map(|it| u64::try_from(it.as_millis()).unwrap_or(u64::MAX)))
    };
    let asked = Dataset {
        name: None,
        kind: chosen(&kind, DatasetType::named, KINDS)?,
        placement: text("placement")?,
        tenants: named("tenants")?,
        residencies: named("residencies")?,
        attribute: text("attribute")?,
        others: text("others")?,
        outside: choice(&section, "outside", Elsewhere::named, ELSEWHERE)?.unwrap_or_default(),
        mode: choice(&section, "mode", DatasetMode::named, MODES)?.unwrap_or_default(),
        master: text("master")?,
        elsewhere: choice(&section, "elsewhere", Elsewhere::named, ELSEWHERE)?,
        conflicts: choice(&section, "conflicts", ConflictPolicy::named, POLICIES)?
            .unwrap_or_default(),
        prefer: text("prefer")?,
        write_consistency: {
            let key = "write_consistency";
            choice(&section, key, WriteConsistency::named, WRITE_LEVELS)?.unwrap_or_default()
        },
        read_consistency: {
            let key = "read_consistency";
            choice(&section, key, ReadConsistency::named, READ_LEVELS)?.unwrap_or_default()
        },
        ttl_ms: millis("ttl")?,
        retention_ms: millis("retention")?,
        sensitive_keys: section.find("sensitive_keys").map(|it| it.flag()).transpose()?
            == Some(true),
    };
    let at = |field: &str, rule: String| {
        let key = field.trim_end_matches("_ms");
        let problem = ConfigProblem::Dataset { key: format!("{}.{key}", value.path()), rule };
        section.find(key).unwrap_or_else(|| value.clone()).error(problem)
    };
    let spec = asked.spec(name).map_err(|err| at(err.field, err.rule))?;
    check(&spec, placements).map_err(|(field, rule)| at(field, rule))?;
    Ok(spec)
}

const KINDS: &str =
    "\"register\", \"counter\", \"bounded-counter\", \"set\", \"map\" or \"document\"";
const ELSEWHERE: &str = "\"forward\" or \"refuse\"";
const MODES: &str = "\"multi-master\", \"single-master\" or \"async-master\"";
const POLICIES: &str = "\"last-writer\", \"keep-all\", \"highest\", \"lowest\" or \"prefer\"";
const WRITE_LEVELS: &str = "\"eventual\", \"quorum\" or \"strong\"";
const READ_LEVELS: &str = "\"eventual\", \"session\", \"causal\", \"quorum\" or \"linearizable\"";

/// Reads what a region does that is asked for what may not live in it.
pub(super) fn outside(value: &Value<'_>) -> Result<Outside, ConfigError> {
    let asked = chosen(value, Elsewhere::named, ELSEWHERE)?;
    Ok(match asked {
        Elsewhere::Forward => Outside::Forward,
        Elsewhere::Refuse => Outside::Refuse,
    })
}

/// Writes the same.
pub(super) fn render_outside(outside: Outside) -> String {
    let asked = match outside {
        Outside::Forward => Elsewhere::Forward,
        Outside::Refuse => Elsewhere::Refuse,
    };
    format!("outside = {}\n", quoted(asked.as_str()))
}

fn choice<T>(
    section: &Section<'_>,
    key: &str,
    named: impl Fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<Option<T>, ConfigError> {
    section.find(key).map(|it| chosen(&it, named, expected)).transpose()
}

pub(super) fn chosen<T>(
    value: &Value<'_>,
    named: impl Fn(&str) -> Option<T>,
    expected: &'static str,
) -> Result<T, ConfigError> {
    named(value.text()?).ok_or_else(|| value.wrong(expected))
}

fn named(section: &Section<'_>, key: &str) -> Result<BTreeMap<String, String>, ConfigError> {
    let entries = section.section(key)?.entries(TENANTS_MAX)?;
    let entries =
        entries.into_iter().map(|(tenant, at)| Ok((tenant.to_owned(), at.text()?.to_owned())));
    entries.collect()
}

/// Checks that a dataset makes sense on this planet; says which key does not, and why.
fn check(spec: &DatasetSpec, placements: &Placements) -> Result<(), (&'static str, String)> {
    let field = match &spec.rule {
        PlacementRule::Fixed(_) => "placement",
        PlacementRule::ByTenant { .. } => "tenants",
        PlacementRule::ByRecord { .. } => "residencies",
    };
    let used: BTreeSet<PlacementId> = spec.rule.placements().collect();
    assert!(used.len() <= TENANTS_MAX + PLACEMENTS_MAX, "a dataset has as many at most");
    if let Some(unknown) = used.iter().find(|it| !placements.contains_key(it)) {
        return Err((field, format!("no placement is named `{unknown}`")));
    }
    let is_member = |region: RegionId| used.iter().all(|it| placements[it].contains(&region));
    let outside = |region: RegionId| format!("`{region}` is not a region of every placement");
    if let Some(master) = spec.mode.master().filter(|it| !is_member(*it)) {
        return Err(("master", outside(master)));
    }
    if let Policy::Prefer(region) = spec.policy
        && !is_member(region)
    {
        return Err(("prefer", outside(region)));
    }
    let is_counter = matches!(spec.kind, Kind::Counter | Kind::BoundedCounter);
    if is_counter && spec.policy != Policy::LastWriter {
        return Err(("conflicts", "changes of counters never conflict".to_owned()));
    }
    if is_counter && spec.ttl.is_some() {
        return Err(("ttl", "counters do not expire".to_owned()));
    }
    if is_counter && spec.retention.is_some() {
        return Err(("retention", "counters do not expire".to_owned()));
    }
    Ok(())
}

/// Writes a dataset with every key that holds.
pub(super) fn render(spec: &DatasetSpec) -> String {
    let dataset = Dataset::from(spec);
    let mut text = format!("\n[datasets.{}]\n", quoted(spec.name.as_str()));
    let mut line = |key: &str, value: Option<&str>| {
        text += &value.map(|it| format!("{key} = {}\n", quoted(it))).unwrap_or_default();
    };
    line("type", Some(dataset.kind.as_str()));
    line("placement", dataset.placement.as_deref());
    line("attribute", dataset.attribute.as_deref());
    line("others", dataset.others.as_deref());
    line("outside", Some(dataset.outside.as_str()));
    line("mode", Some(dataset.mode.as_str()));
    line("master", dataset.master.as_deref());
    line("elsewhere", dataset.elsewhere.map(Elsewhere::as_str));
    line("conflicts", Some(dataset.conflicts.as_str()));
    line("prefer", dataset.prefer.as_deref());
    line("write_consistency", Some(dataset.write_consistency.as_str()));
    line("read_consistency", Some(dataset.read_consistency.as_str()));
    line("ttl", spec.ttl.map(|it| it.show()).as_deref());
    line("retention", spec.retention.map(|it| it.show()).as_deref());
    text += &format!("sensitive_keys = {}\n", dataset.sensitive_keys);
    for (key, named) in [("tenants", &dataset.tenants), ("residencies", &dataset.residencies)] {
        let Some(named) = named else { continue };
        let named = named.iter().map(|(it, at)| format!("{} = {}", quoted(it), quoted(at)));
        text += &format!("{key} = {{ {} }}\n", named.collect::<Vec<_>>().join(", "));
    }
    text
}

/// Quotes a text as TOML does, so that it may also be a key.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text can be written as json")
}
