//! What may be typed about datasets and their records.
//! Must not do anything.

use std::time::Duration;

use clap::builder::PossibleValuesParser;
use clap::{Args, Subcommand};
use photon_edge::v1::types::{
    ConflictPolicy, DatasetMode, DatasetType, Elsewhere, ReadConsistency, WriteConsistency,
};
use photon_state::{PlacementId, RegionId};

use super::duration;

pub(super) const DATASET_EXAMPLES: &str = "\
Examples:
  photon dataset declare carts --type map --write-consistency quorum
  photon dataset declare users --type document --tenant acme=eu --others global
  photon dataset declare people --type document --residency eu=eu --residency us=us
  photon dataset declare stock --type bounded-counter
  photon dataset show carts
  photon dataset move-master orders eu-west-1
  photon dataset conflicts carts
  photon dataset verify carts
  photon dataset rm carts";

/// What can be done about datasets.
#[derive(Debug, Subcommand)]
pub enum Dataset {
    /// Declare a dataset, or change how it is read and written
    #[command(after_help = DATASET_EXAMPLES)]
    Declare(Box<DatasetDeclare>),
    /// Show a dataset
    #[command(visible_alias = "get", after_help = DATASET_EXAMPLES)]
    Show {
        /// The dataset
        name: String,
    },
    /// List datasets
    #[command(visible_alias = "ls", after_help = DATASET_EXAMPLES)]
    List,
    /// Forget a dataset that has no records
    #[command(visible_alias = "remove", after_help = DATASET_EXAMPLES)]
    Rm {
        /// The dataset
        name: String,
    },
    /// Make another region the only one that writes a dataset
    #[command(after_help = DATASET_EXAMPLES)]
    MoveMaster {
        /// The dataset
        name: String,
        /// The region that shall write it
        region: RegionId,
    },
    /// Compare the records in all regions that may hold them
    #[command(after_help = DATASET_EXAMPLES)]
    Verify {
        /// The dataset
        name: String,
    },
    /// Show the last conflicts that the region has seen
    #[command(after_help = DATASET_EXAMPLES)]
    Conflicts {
        /// The dataset
        name: String,
    },
}

/// What `photon dataset declare` may be told.
#[derive(Clone, Debug, Args)]
pub struct DatasetDeclare {
    /// The dataset
    pub name: String,
    /// What a record holds; cannot be changed
    #[arg(long = "type", value_name = "TYPE",
        value_parser = PossibleValuesParser::new(DatasetType::NAMES))]
    pub kind: String,
    /// Where all records live [default: global]
    #[arg(long, conflicts_with_all = ["tenants", "residencies", "others"])]
    pub placement: Option<PlacementId>,
    /// Where the records of a tenant live; may be given several times
    #[arg(long = "tenant", value_name = "TENANT=PLACEMENT", value_parser = tenant)]
    pub tenants: Vec<(String, PlacementId)>,
    /// Where a record lives whose attribute has this value; may be given several times
    #[arg(long = "residency", value_name = "VALUE=PLACEMENT", value_parser = tenant,
        conflicts_with = "tenants")]
    pub residencies: Vec<(String, PlacementId)>,
    /// What the attribute is called in maps and documents [default: residency]
    #[arg(long, value_name = "NAME", requires = "residencies")]
    pub attribute: Option<String>,
    /// Where the records of all other tenants live, or of which nothing is said
    #[arg(long, value_name = "PLACEMENT")]
    pub others: Option<PlacementId>,
    /// What regions outside the placement do
    #[arg(long, value_parser = PossibleValuesParser::new(Elsewhere::NAMES))]
    pub outside: Option<String>,
    /// Who may write
    #[arg(long, value_parser = PossibleValuesParser::new(DatasetMode::NAMES))]
    pub mode: Option<String>,
    /// The only region that writes
    #[arg(long, value_name = "REGION", requires = "mode")]
    pub master: Option<RegionId>,
    /// What other regions do with a write
    #[arg(long, value_parser = PossibleValuesParser::new(Elsewhere::NAMES))]
    pub elsewhere: Option<String>,
    /// Which of several concurrent writes is shown
    #[arg(long, value_parser = PossibleValuesParser::new(ConflictPolicy::NAMES))]
    pub conflicts: Option<String>,
    /// The region whose writes are shown
    #[arg(long, value_name = "REGION", requires = "conflicts")]
    pub prefer: Option<RegionId>,
    /// When a write is acknowledged
    #[arg(long, value_parser = PossibleValuesParser::new(WriteConsistency::NAMES))]
    pub write_consistency: Option<String>,
    /// What a read may miss
    #[arg(long, value_parser = PossibleValuesParser::new(ReadConsistency::NAMES))]
    pub read_consistency: Option<String>,
    /// How long a record lasts after it was written, such as 30s or 24h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub ttl: Option<Duration>,
    /// The longest that a record may last after it was written, whatever a write says
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub retention: Option<Duration>,
    /// Tell the names of keys to nobody outside their placement
    #[arg(long)]
    pub sensitive_keys: bool,
}

pub(super) const DATA_EXAMPLES: &str = "\
Examples:
  photon data put notes users/7 '{\"name\": \"Ada\"}' --consistency quorum
  photon data put people ada '{\"name\": \"Ada\"}' --residency eu
  photon data get notes users/7 --region ap-southeast-1 --session AQ..
  photon data put notes logo - --media-type image/png < logo.png
  photon data incr hits home 5
  photon data add tags post-1 red green
  photon data rm tags post-1 --element red
  photon data patch users acme/7 '{\"phone\": null}'
  photon data move people ada --to us
  photon data receipts people --region eu-west-1
  photon data compact --region eu-west-1
  photon data scan notes --prefix users/
  photon data verify notes
  photon data watch notes";

/// What can be done about records.
#[derive(Debug, Subcommand)]
pub enum Data {
    /// Show a record
    #[command(after_help = DATA_EXAMPLES)]
    Get {
        /// Which record
        #[command(flatten)]
        record: RecordName,
        /// How to read
        #[command(flatten)]
        how: ReadOptions,
    },
    /// Write a record as a whole
    #[command(after_help = DATA_EXAMPLES)]
    Put {
        /// Which record
        #[command(flatten)]
        record: RecordName,
        /// The value: JSON, or else text; `-` reads it from standard input
        value: String,
        /// Write the value as bytes of this media type, not as JSON
        #[arg(long, value_name = "TYPE")]
        media_type: Option<String>,
        /// How to write
        #[command(flatten)]
        how: WriteOptions,
    },
    /// Add to a counter, or take from it
    #[command(after_help = DATA_EXAMPLES)]
    Incr {
        /// Which record
        #[command(flatten)]
        record: RecordName,
        /// How much; what is negative is taken
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        by: i64,
        /// How to write
        #[command(flatten)]
        how: WriteOptions,
    },
    /// Add elements to a set
    #[command(after_help = DATA_EXAMPLES)]
    Add {
        /// Which record
        #[command(flatten)]
        record: RecordName,
        /// The elements: JSON, or else text
        #[arg(required = true)]
        elements: Vec<String>,
        /// How to write
        #[command(flatten)]
        how: WriteOptions,
    },
    /// Remove a record, or elements of a set
    #[command(visible_alias = "remove", after_help = DATA_EXAMPLES)]
    Rm {
        /// Which record
        #[command(flatten)]
        record: RecordName,
        /// Only this element of a set; may be given several times
        #[arg(long = "element", value_name = "ELEMENT")]
        elements: Vec<String>,
        /// How to write
        #[command(flatten)]
        how: WriteOptions,
    },
    /// Change fields of a map, or members of a document
    #[command(after_help = DATA_EXAMPLES)]
    Patch {
        /// Which record
        #[command(flatten)]
        record: RecordName,
        /// A JSON object; `null` removes what it stands for
        patch: String,
        /// How to write
        #[command(flatten)]
        how: WriteOptions,
    },
    /// Move a record to another placement, and show the receipt
    #[command(after_help = DATA_EXAMPLES)]
    Move {
        /// Which record
        #[command(flatten)]
        record: RecordName,
        /// Where it shall live: a value of the attribute
        #[arg(long, value_name = "VALUE")]
        to: String,
        /// Where it lives [default: where the region that is asked sees it]
        #[arg(long, value_name = "VALUE")]
        from: Option<String>,
        /// How long to wait until it is over, such as 10s [default: 30s]
        #[arg(long, value_name = "DURATION", value_parser = duration)]
        wait: Option<Duration>,
        /// The region to ask, if it is not the one at --url
        #[arg(long)]
        region: Option<RegionId>,
    },
    /// Show the receipts of moves out of the placements of a region, the youngest first
    #[command(after_help = DATA_EXAMPLES)]
    Receipts {
        /// The dataset
        dataset: String,
        /// Only this one
        id: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
        limit: u32,
        /// The region to ask, if it is not the one at --url
        #[arg(long)]
        region: Option<RegionId>,
    },
    /// Let a region bound its log now, so that what has moved away leaves it
    #[command(after_help = DATA_EXAMPLES)]
    Compact {
        /// The region to ask, if it is not the one at --url
        #[arg(long)]
        region: Option<RegionId>,
    },
    /// List records by key
    #[command(visible_alias = "ls", after_help = DATA_EXAMPLES)]
    Scan {
        /// The dataset
        dataset: String,
        /// Only keys that begin with it
        #[arg(long)]
        prefix: Option<String>,
        /// How many at most
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// How to read
        #[command(flatten)]
        how: ReadOptions,
    },
    /// Compare the records in all regions that may hold them, as `dataset verify` does
    #[command(after_help = DATA_EXAMPLES)]
    Verify {
        /// The dataset
        dataset: String,
    },
    /// Print changes as they happen, each a line of JSON
    #[command(after_help = DATA_EXAMPLES)]
    Watch {
        /// The dataset
        dataset: String,
        /// Only keys that begin with it
        #[arg(long)]
        prefix: Option<String>,
        /// Only records that live there
        #[arg(long, value_name = "VALUE")]
        residency: Option<String>,
        /// Go on after this position [default: from now on]
        #[arg(long)]
        position: Option<String>,
        /// The region to ask, if it is not the one at --url
        #[arg(long)]
        region: Option<RegionId>,
    },
}

/// Names a record.
#[derive(Clone, Debug, Args)]
pub struct RecordName {
    /// The dataset
    pub dataset: String,
    /// The record
    pub key: String,
}

/// How to read.
#[derive(Clone, Debug, Args)]
pub struct ReadOptions {
    /// What may be missed
    #[arg(long, value_parser = PossibleValuesParser::new(ReadConsistency::NAMES))]
    pub consistency: Option<String>,
    /// What the session has seen, as the last reply told it
    #[arg(long, value_name = "TOKEN")]
    pub session: Option<String>,
    /// How old at most what is shown may be, such as 500ms
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub max_staleness: Option<Duration>,
    /// Where the record lives, in a dataset that places its records one by one
    #[arg(long, value_name = "VALUE")]
    pub residency: Option<String>,
    /// The region to ask, if it is not the one at --url
    #[arg(long)]
    pub region: Option<RegionId>,
}

/// How to write.
#[derive(Clone, Debug, Args)]
pub struct WriteOptions {
    /// When to acknowledge
    #[arg(long, value_parser = PossibleValuesParser::new(WriteConsistency::NAMES))]
    pub consistency: Option<String>,
    /// What the session has seen, as the last reply told it
    #[arg(long, value_name = "TOKEN")]
    pub session: Option<String>,
    /// Only if the record has this tag; `*` means any
    #[arg(long, value_name = "ETAG")]
    pub if_match: Option<String>,
    /// Only if there is no record yet
    #[arg(long, conflicts_with = "if_match")]
    pub if_absent: bool,
    /// How long it lasts, such as 30s or 24h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub ttl: Option<Duration>,
    /// Where the record lives, in a dataset that places its records one by one
    #[arg(long, value_name = "VALUE")]
    pub residency: Option<String>,
    /// The region to ask, if it is not the one at --url
    #[arg(long)]
    pub region: Option<RegionId>,
}

pub(super) const REPLICATION_EXAMPLES: &str = "\
Examples:
  photon replication status
  photon replication lag --placement eu
  photon replication conflicts --dataset carts --last 20
  photon replication lag --output json";

/// What can be seen of replication.
#[derive(Debug, Subcommand)]
pub enum Replication {
    /// Show how far other regions are behind the one that is asked
    #[command(after_help = REPLICATION_EXAMPLES)]
    Status,
    /// Show who sends whose changes to whom, and which links are down
    #[command(after_help = "Examples:\n  photon replication topology\n  \
        photon replication topology --url http://127.0.0.1:7410 --output json")]
    Topology,
    /// Ask all regions, and show how far each is behind each other
    #[command(after_help = REPLICATION_EXAMPLES)]
    Lag {
        /// Only with what lives in this placement
        #[arg(long)]
        placement: Option<PlacementId>,
    },
    /// Ask all regions, and show how often writes were in conflict, and the last that were
    #[command(after_help = REPLICATION_EXAMPLES)]
    Conflicts {
        /// Only of this dataset
        #[arg(long)]
        dataset: Option<String>,
        /// How many of the last conflicts to show of each region and dataset
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=100))]
        last: u32,
    },
}

pub(super) const STATE_EXAMPLES: &str = "\
Examples:
  photon state verify
  photon state verify --output json";

/// What can be seen of the state of all regions.
#[derive(Debug, Subcommand)]
pub enum State {
    /// Compare what all regions hold, and say where they differ
    #[command(after_help = STATE_EXAMPLES)]
    Verify,
}

fn tenant(text: &str) -> Result<(String, PlacementId), String> {
    let (tenant, placement) = text.split_once('=').ok_or("write it as name=placement")?;
    let placement = PlacementId::try_from(placement).map_err(|error| error.to_string())?;
    Ok((tenant.to_owned(), placement))
}
