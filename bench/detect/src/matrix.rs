//! Thirteen regions spread over the continents, and how far they are from each other.
//! Must not hold the distances themselves: they come from a file that is not ours to copy.

use std::collections::BTreeMap;

use anyhow::{Context, bail};

/// The regions, by their names in the file.
pub(crate) const REGIONS: [&str; 13] = [
    "East US",
    "West US 2",
    "Canada Central",
    "Brazil South",
    "North Europe",
    "Germany West Central",
    "UAE North",
    "South Africa North",
    "Central India",
    "Southeast Asia",
    "Japan East",
    "Korea Central",
    "Australia East",
];

/// Round trips in milliseconds, by the places of two regions in `REGIONS`.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// Reads lines of `region,region,milliseconds,..` below one of headings.
pub(crate) fn parse(text: &str) -> anyhow::Result<Matrix> {
    let mut trips = BTreeMap::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let mut cells = line.split(',');
        let (Some(a), Some(b), Some(ms)) = (cells.next(), cells.next(), cells.next()) else {
            bail!("line {}: expected `region,region,milliseconds`, found `{line}`", number + 1);
        };
        let ms: f64 = ms.parse().with_context(|| format!("line {}: `{ms}`", number + 1))?;
        trips.insert((a, b), ms);
        trips.insert((b, a), ms);
    }
    let trip = |a: &'static str, b: &'static str| {
        if a == b {
            return Ok(0.5);
        }
        trips.get(&(a, b)).copied().with_context(|| format!("no round trip from `{a}` to `{b}`"))
    };
    REGIONS.iter().map(|a| REGIONS.iter().map(|b| trip(a, b)).collect()).collect()
}
