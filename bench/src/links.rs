//! What a link between two regions carries: ops a second, bytes and processor time for each, and
//! how long a ping takes while a peer catches up. Must not measure a machine or a log.

mod delay;
mod ops;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use clap::Args;
use photon_node::probe::{LinkProbe, Squeezing};
use photon_node::{LinkConfig, LinkRates, TlsFiles};
use photon_state::{Change, Dataset, Hlc, Key, Op, PlacementId, RegionId, StreamId};
use serde_json::json;

use crate::Places;
use crate::report::Report;
use crate::tls;

/// The planet of a probe.
const PLANET: &str = "probe";
/// Ops that are made before anything is measured, more than a window of compression holds.
const OPS_MADE: u64 = 20_000;
/// Bytes of the value of an op.
const VALUE_BYTES: usize = 256;

/// How it is measured.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Options {
    /// How many ops are sent in each case
    #[arg(long, default_value_t = 1_000_000)]
    ops: u64,
    /// How many ops a message holds
    #[arg(long, default_value_t = 32)]
    batch: usize,
    /// For how many seconds pings are sent in each case
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// How many KiB a second the slow link takes
    #[arg(long, default_value_t = 4_096)]
    slow_kib: u64,
}

/// Measures it.
pub(crate) async fn measure(options: &Options, places: &Places) -> anyhow::Result<Report> {
    let mut report = Report::begin("links");
    let folder = tempfile::tempdir_in(&places.folder)?;
    ops::measure(options, folder.path(), &mut report)?;
    delay::measure(options, folder.path(), &mut report).await?;
    Ok(report)
}

fn region(name: &str) -> RegionId {
    RegionId::try_from(name).expect("a constant that parses")
}

/// Starts the links of a region, `a` or `b`; `a` dials `b`.
async fn probe(
    own: &str,
    dial: Option<SocketAddr>,
    tls: Option<TlsFiles>,
    squeezing: Squeezing,
) -> anyhow::Result<LinkProbe> {
    let config = LinkConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        dial: dial.map(|address| (region("b"), address)).into_iter().collect::<BTreeMap<_, _>>(),
        secret: None,
        tls,
        rates: LinkRates::default(),
    };
    let peer = if own == "a" { "b" } else { "a" };
    Ok(LinkProbe::start(region(own), BTreeSet::from([region(peer)]), config, squeezing).await?)
}

/// Makes certificates for both regions.
fn certificates(folder: &Path) -> anyhow::Result<[TlsFiles; 2]> {
    tls::certificates(folder, PLANET, ["a", "b"])
}

/// What the values of ops are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// JSON text, as events of tasks are: fixed names, random words, numbers and ids.
    Text,
    /// Bytes without any order.
    Noise,
}

const WORDS: [&str; 32] = [
    "region", "agent", "planet", "task", "letter", "harbour", "window", "copper", "violin",
    "orange", "market", "winter", "bridge", "camera", "doctor", "engine", "forest", "garden",
    "hammer", "island", "jacket", "kitten", "ladder", "mirror", "needle", "office", "pencil",
    "quartz", "rocket", "silver", "tunnel", "umpire",
];

impl Value {
    fn make(self, rng: &mut fastrand::Rng, number: u64) -> Vec<u8> {
        let mut bytes = match self {
            Self::Noise => return (0..VALUE_BYTES).map(|_| rng.u8(..)).collect(),
            Self::Text => format!(
                "{{\"task\":\"{:026x}\",\"generation\":{number},\"state\":\"working\",\"agent\":\
                 \"shout\",\"region\":\"eu-west-1\",\"parts\":[{{\"text\":\"",
                rng.u128(..) >> 24
            )
            .into_bytes(),
        };
        while bytes.len() < VALUE_BYTES - 4 {
            bytes.extend_from_slice(rng.choice(WORDS).unwrap_or_default().as_bytes());
            bytes.push(b' ');
        }
        bytes.truncate(VALUE_BYTES - 4);
        bytes.extend_from_slice(b"\"}]}");
        bytes
    }
}

/// Makes ops of one stream, each of another record.
fn make_ops(value: Value) -> Vec<Arc<Op>> {
    let mut rng = fastrand::Rng::with_seed(7);
    let stream = StreamId { origin: region("a"), placement: PlacementId::global(), incarnation: 1 };
    let make = |seq| {
        let at = Hlc { wall_ms: 1_800_000_000_000 + seq / 10, count: 0 };
        let key = Key::new(&rng.u128(..).to_le_bytes());
        let change = Change::Put(value.make(&mut rng, seq).into());
        Arc::new(Op { stream, seq, at, dataset: Dataset(2), key, change })
    };
    (1..=OPS_MADE).map(make).collect()
}

/// Returns how many bytes an op takes as JSON, with bytes that are no text in base64.
fn json_bytes(op: &Op, value: Value) -> usize {
    let Change::Put(bytes) = &op.change else { return 0 };
    let shown = match value {
        Value::Text => String::from_utf8_lossy(bytes).into_owned(),
        Value::Noise => "x".repeat(bytes.len().div_ceil(3) * 4),
    };
    let stream = json!({ "origin": "a", "placement": "global", "incarnation": 1 });
    let at = json!({ "wall_ms": op.at.wall_ms, "count": op.at.count });
    let key = "x".repeat(24);
    json!({ "stream": stream, "seq": op.seq, "at": at, "dataset": 2, "key": key, "put": shown })
        .to_string()
        .len()
}
