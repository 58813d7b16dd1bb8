//! `photon dataset verify`: whether all regions hold the same records.
//! Must not see a record: regions tell what ranges of them amount to.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result};
use photon_edge::v1::types::DataDigest;
use photon_state::RegionId;
use serde_json::{Value, json};

use crate::client::Client;
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

/// What was found of one region under one placement.
struct Finding {
    placement: String,
    region: String,
    records: u64,
    verdict: Verdict,
    /// Where it differs: after which key, and up to which.
    ranges: Vec<[Option<String>; 2]>,
}

pub(super) async fn run(name: &str, client: &Client, output: Output) -> Result<Exit> {
    let dataset = client.dataset(name).await?;
    let regions = client.regions().await?;
    let mut findings = Vec::new();
    for placement in placements(&dataset) {
        let members = regions.placements.get(&placement).with_context(|| {
            format!("the region does not know the placement `{placement}` of the dataset")
        })?;
        findings.extend(compare(name, &placement, members, client).await?);
    }
    let worst = findings.iter().map(|it| it.verdict).max().unwrap_or(Verdict::Same);
    match output.format {
        Format::Json => output.json(&json(&findings, worst))?,
        Format::Table => tell(&findings, output)?,
    }
    Ok(if worst == Verdict::Same { Exit::Ok } else { Exit::Failed })
}

fn placements(dataset: &Value) -> BTreeSet<String> {
    let one = dataset["placement"].as_str();
    let named = ["tenants", "residencies"].map(|it| dataset[it].as_object());
    let each = named.into_iter().flatten().flatten().filter_map(|(_, it)| it.as_str());
    one.into_iter().chain(each).chain(dataset["others"].as_str()).map(str::to_owned).collect()
}

/// Compares all members of a placement with the first, range by range.
async fn compare(
    dataset: &str,
    placement: &str,
    members: &[String],
    client: &Client,
) -> Result<Vec<Finding>> {
    let mut clients = Vec::new();
    for member in members {
        let region: RegionId =
            member.parse().map_err(|_| NotFoundError(format!("`{member}` is no region")))?;
        let there = client.region(region).await;
        clients.push(there.with_context(|| format!("region `{member}` cannot be compared"))?);
    }
    let finding = |member: &String| Finding {
        placement: placement.to_owned(),
        region: member.clone(),
        records: 0,
        verdict: Verdict::Same,
        ranges: Vec::new(),
    };
    let mut findings: Vec<Finding> = members.iter().map(finding).collect();
    let mut after: Option<String> = None;
    loop {
        let of = (dataset, placement);
        let first = clients[0].digest(of, (after.as_deref(), None)).await?;
        let upto = first.cut_at.clone();
        findings[0].records += first.records;
        for (there, finding) in clients[1..].iter().zip(&mut findings[1..]) {
            let range = (after.as_deref(), upto.as_deref());
            let (found, verdict) = look(of, range, (&clients[0], there)).await?;
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
            "placement": it.placement, "region": it.region, "records": it.records,
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
    let mut table = Table::new(&["PLACEMENT", "REGION", ">RECORDS", "VERDICT"]);
    for it in findings {
        let tone = if it.verdict == Verdict::Same { Tone::Good } else { Tone::Bad };
        table.row([
            it.placement.as_str().into(),
            Cell::toned(Tone::Strong, &it.region),
            it.records.to_string().into(),
            Cell::toned(tone, it.verdict.as_str()),
        ]);
    }
    output.table(&table)?;
    for it in findings {
        for [after, upto] in it.ranges.iter().take(NAMED_MAX) {
            let end = |key: &Option<String>| key.clone().unwrap_or_else(|| "the end".to_owned());
            output.remark(&format!(
                "`{}` {} after `{}` up to `{}`",
                it.region,
                it.verdict.as_str(),
                after.as_deref().unwrap_or(""),
                end(upto)
            ));
        }
    }
    Ok(())
}
