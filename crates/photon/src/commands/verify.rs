//! `photon dataset verify` and `photon state verify`: whether all regions hold the same records.
//! Must not see a record: regions tell what ranges of them amount to.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, Result};
use photon_edge::v1::types::{DataDigest, Regions};
use serde_json::{Value, json};

use crate::client::{Client, ClientError};
use crate::exit::{Exit, NotFoundError};
use crate::output::{Cell, Format, Output, Table, Tone};

/// How often a range is looked at again while changes are on their way.
const LOOKS_MAX: u32 = 50;
/// How long it is waited in between.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Ranges that differ which are named; more are only counted.
const NAMED_MAX: usize = 20;

/// How a region compares with the first of its placement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Same,
    InMotion,
    Differs,
}

impl Verdict {
    fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::InMotion => "in motion",
            Self::Differs => "differs",
        }
    }
}

/// What was found of one region and one dataset under one placement.
struct Finding {
    dataset: String,
    placement: String,
    region: String,
    /// Whether the region knows the dataset at all.
    is_declared: bool,
    records: u64,
    verdict: Verdict,
    /// Where it differs: after which key, and up to which.
    ranges: Vec<[Option<String>; 2]>,
}

/// Compares the records of one dataset.
pub(super) async fn run(name: &str, client: &Client, output: Output) -> Result<Exit> {
    let dataset = client.dataset(name).await?;
    let members = members(client).await?;
    let findings = compare_dataset(name, &dataset, &members).await?;
    conclude(&findings, output)
}

/// Compares the records of all datasets that any region knows.
pub(super) async fn run_all(client: &Client, output: Output) -> Result<Exit> {
    let members = members(client).await?;
    let mut datasets: BTreeMap<String, Value> = BTreeMap::new();
    for there in members.clients.values() {
        for dataset in there.datasets().await?["datasets"].as_array().into_iter().flatten() {
            let name = dataset["name"].as_str().unwrap_or_default().to_owned();
            datasets.entry(name).or_insert_with(|| dataset.clone());
        }
    }
    let mut findings = Vec::new();
    for (name, dataset) in &datasets {
        findings.extend(compare_dataset(name, dataset, &members).await?);
    }
    conclude(&findings, output)
}

fn conclude(findings: &[Finding], output: Output) -> Result<Exit> {
    let worst = findings.iter().map(|it| it.verdict).max().unwrap_or(Verdict::Same);
    match output.format {
        Format::Json => output.json(&json(findings, worst))?,
        Format::Table => tell(findings, output)?,
    }
    Ok(if worst == Verdict::Same { Exit::Ok } else { Exit::Failed })
}

/// All regions of the planet, and which are in which placement.
struct Members {
    clients: BTreeMap<String, Client>,
    placements: BTreeMap<String, Vec<String>>,
}

async fn members(client: &Client) -> Result<Members> {
    let Regions { regions, placements, .. } = client.regions().await?;
    let clients = regions.into_iter().map(|it| Ok((it.name, client.at(it.api.parse()?))));
    Ok(Members { clients: clients.collect::<Result<_>>()?, placements })
}

async fn compare_dataset(name: &str, dataset: &Value, all: &Members) -> Result<Vec<Finding>> {
    let mut findings = Vec::new();
    for placement in placements(dataset) {
        let members = all.placements.get(&placement).with_context(|| {
            format!("the region does not know the placement `{placement}` of the dataset")
        })?;
        let mut clients = Vec::new();
        for member in members {
            let there = all.clients.get(member);
            let there = there.ok_or_else(|| NotFoundError(format!("`{member}` is no region")))?;
            let is_declared = match there.dataset(name).await {
                Ok(_) => true,
                Err(ClientError::Problem(problem)) if problem.status == 404 => false,
                Err(error) => {
                    let text = format!("region `{member}` cannot be compared");
                    return Err(anyhow::Error::from(error).context(text));
                }
            };
            clients.push((member.as_str(), there, is_declared));
        }
        findings.extend(compare((name, &placement), &clients).await?);
    }
    Ok(findings)
}

fn placements(dataset: &Value) -> BTreeSet<String> {
    let one = dataset["placement"].as_str();
    let named = ["tenants", "residencies"].map(|it| dataset[it].as_object());
    let each = named.into_iter().flatten().flatten().filter_map(|(_, it)| it.as_str());
    one.into_iter().chain(each).chain(dataset["others"].as_str()).map(str::to_owned).collect()
}

/// Compares the members of a placement with the first that knows the dataset, range by range.
async fn compare(of: (&str, &str), members: &[(&str, &Client, bool)]) -> Result<Vec<Finding>> {
    let finding = |(member, _, is_declared): &(&str, &Client, bool)| Finding {
        dataset: of.0.to_owned(),
        placement: of.1.to_owned(),
        region: (*member).to_owned(),
        is_declared: *is_declared,
        records: 0,
        verdict: if *is_declared { Verdict::Same } else { Verdict::Differs },
        ranges: Vec::new(),
    };
    let mut findings: Vec<Finding> = members.iter().map(finding).collect();
    let mut pairs = members.iter().zip(&mut findings).filter(|((.., is_declared), _)| *is_declared);
    let Some(((_, first, _), first_finding)) = pairs.next() else { return Ok(findings) };
    let mut others: Vec<_> = pairs.map(|((_, there, _), finding)| (*there, finding)).collect();
    let mut after: Option<String> = None;
    loop {
        let head = first.digest(of, (after.as_deref(), None)).await?;
        let upto = head.cut_at.clone();
        first_finding.records += head.records;
        for (there, finding) in &mut others {
            let range = (after.as_deref(), upto.as_deref());
            let (found, verdict) = look(of, range, (first, there)).await?;
            finding.records += found.records;
            finding.verdict = finding.verdict.max(verdict);
            if verdict != Verdict::Same {
                finding.ranges.push([after.clone(), upto.clone()]);
            }
        }
        match upto {
            Some(upto) => after = Some(upto),
            None => return Ok(findings),
        }
    }
}

/// Compares one range in two regions, again and again while changes are on their way.
async fn look(
    of: (&str, &str),
    range: (Option<&str>, Option<&str>),
    (here, there): (&Client, &Client),
) -> Result<(DataDigest, Verdict)> {
    let mut looks = 0;
    loop {
        let (ours, theirs) = (here.digest(of, range).await?, there.digest(of, range).await?);
        looks += 1;
        if ours.digest == theirs.digest && ours.records == theirs.records {
            return Ok((theirs, Verdict::Same));
        }
        if ours.seen == theirs.seen {
            return Ok((theirs, Verdict::Differs));
        }
        if LOOKS_MAX <= looks {
            return Ok((theirs, Verdict::InMotion));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn json(findings: &[Finding], worst: Verdict) -> Value {
    let range = |[after, upto]: &[Option<String>; 2]| json!({ "after": after, "upto": upto });
    let finding = |it: &Finding| {
        json!({
            "dataset": it.dataset, "placement": it.placement, "region": it.region,
            "declared": it.is_declared, "records": it.records,
            "verdict": it.verdict.as_str(),
            "ranges": it.ranges.iter().map(range).collect::<Vec<_>>(),
        })
    };
    json!({
        "verdict": worst.as_str(),
        "regions": findings.iter().map(finding).collect::<Vec<_>>(),
    })
}

fn tell(findings: &[Finding], output: Output) -> std::io::Result<()> {
    let mut table = Table::new(&["DATASET", "PLACEMENT", "REGION", ">RECORDS", "VERDICT"]);
    for it in findings {
        let tone = if it.verdict == Verdict::Same { Tone::Good } else { Tone::Bad };
        table.row([
            it.dataset.as_str().into(),
            it.placement.as_str().into(),
            Cell::toned(Tone::Strong, &it.region),
            it.records.to_string().into(),
            Cell::toned(tone, it.verdict.as_str()),
        ]);
    }
    output.table(&table)?;
    for it in findings {
        if !it.is_declared {
            output.remark(&format!("`{}` does not know the dataset `{}`", it.region, it.dataset));
        }
        for [after, upto] in it.ranges.iter().take(NAMED_MAX) {
            let end = |key: &Option<String>| key.clone().unwrap_or_else(|| "the end".to_owned());
            output.remark(&format!(
                "`{}` {} in `{}` after `{}` up to `{}`",
                it.region,
                it.verdict.as_str(),
                it.dataset,
                after.as_deref().unwrap_or(""),
                end(upto)
            ));
        }
    }
    Ok(())
}
