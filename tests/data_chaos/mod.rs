//! The parts of `e2e_data_chaos.rs`: five regions, what befalls them, who writes, and what must be
//! true after it. Must not link anything of Photon: what is on disk and on the wire is read as a
//! stranger would read it.

pub(crate) mod canary;
pub(crate) mod faults;
pub(crate) mod fleet;
pub(crate) mod ledger;
pub(crate) mod load;
pub(crate) mod plain;
pub(crate) mod relay;
pub(crate) mod verdict;

/// All regions, by name.
pub(crate) const REGIONS: [&str; 5] =
    ["ap-southeast-1", "eu-central-1", "eu-north-1", "eu-west-1", "us-east-1"];

/// The regions of the placement `eu`.
pub(crate) const INSIDE: [&str; 3] = ["eu-central-1", "eu-north-1", "eu-west-1"];

/// The regions in which nothing of the placement `eu` may be.
pub(crate) const OUTSIDE: [&str; 2] = ["ap-southeast-1", "us-east-1"];

/// The placements that have datasets.
pub(crate) const PLACEMENTS: [&str; 2] = ["eu", "global"];

/// Returns the regions of a placement.
pub(crate) fn members(placement: &str) -> &'static [&'static str] {
    if placement == "eu" { &INSIDE } else { &REGIONS }
}

/// How a dataset is declared: what its name ends in, its type, and the rest.
pub(crate) const DATASETS: [(&str, &str, &str); 11] = [
    ("last", "register", ""),
    ("all", "register", "conflicts = \"keep-all\""),
    ("high", "register", "conflicts = \"highest\""),
    ("low", "register", "conflicts = \"lowest\""),
    ("prefer", "register", "conflicts = \"prefer\"\nprefer = \"eu-north-1\""),
    ("swap", "register", ""),
    ("sum", "counter", ""),
    ("quota", "bounded-counter", ""),
    ("set", "set", ""),
    ("map", "map", ""),
    ("doc", "document", ""),
];

/// Returns the names of all datasets, each with its placement.
pub(crate) fn datasets() -> impl Iterator<Item = (&'static str, String)> {
    let of =
        |placement| DATASETS.iter().map(move |(name, ..)| (placement, dataset(placement, name)));
    PLACEMENTS.into_iter().flat_map(of)
}

/// Returns the name of a dataset.
pub(crate) fn dataset(placement: &str, name: &str) -> String {
    format!("{placement}-{name}")
}
