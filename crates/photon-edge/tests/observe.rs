//! What an operator sees: metrics, the rules that watch them, replication, warnings.
//! The view is made up, so that everything that can be shown is.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use photon_edge::FrontLimits;
use photon_node::Handle;
use photon_region::data::DatasetName;
use photon_region::{ConflictView, PeerView, PlacementLag, Refusal, RoomView, View};
use photon_state::{PlacementId, RegionId};
use serde_json::json;

use crate::client::Client;
use crate::region;

/// A region with a peer that is cut off, a peer that is well, and a dataset in conflict.
fn view() -> View {
    let peer = |name: &str, lag: u64| {
        let lag = Some(Duration::from_millis(lag));
        let placement = PlacementId::global();
        let (lag_ops, staleness) = (7, lag);
        PeerView {
            region: RegionId::try_from(name).unwrap(),
            is_linked: lag < Some(Duration::from_secs(5)),
            verdict: photon_region::PeerVerdict::Up,
            verdict_for: None,
            shards: 342,
            clock_apart_ms: None,
            round_trip: Some(Duration::from_millis(80)),
            lag_ops,
            lag,
            staleness,
            placements: vec![PlacementLag { placement, lag_ops, lag, staleness }],
        }
    };
    let dataset = DatasetName::try_from("carts").unwrap();
    View {
        peers: vec![peer("us-east-1", 61_500), peer("ap-southeast-1", 40)],
        room: RoomView {
            bytes: 95,
            bytes_max: 100,
            memory: 40,
            memory_max: 30,
            memory_end: 35,
            ..RoomView::default()
        },
        conflicts: vec![ConflictView { dataset, count: 9, per_second: 12.25, is_alarming: true }],
        conflict_alarm_per_second: 10,
        ..View::default()
    }
}

fn client(view: View) -> Client {
    let handle = Handle::from_fn(|_| {
        Err(Refusal::DiskFull { region: RegionId::try_from("eu-west-1").unwrap() })
    });
    let handle = handle.with_view(view);
    Client(region::front_of_view(handle, Vec::new(), FrontLimits::default()))
}

async fn metrics() -> String {
    let answer = client(view()).get("/metrics").await.ok();
    answer.body.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn replication_is_told_with_what_is_not_as_it_should_be() {
    let body = client(view()).get("/v1/replication").await.ok().body;
    let lag = json!({"placement": "global", "lag_ops": 7, "lag_ms": 61_500,
        "staleness_ms": 61_500});
    let peer = json!({"region": "us-east-1", "linked": false, "round_trip_ms": 80.0, "lag_ops": 7,
        "lag_ms": 61_500, "staleness_ms": 61_500, "placements": [lag]});
    assert_eq!(body["peers"][0], peer);
    let conflicts = json!([{"dataset": "carts", "count": 9, "per_second": 12.25, "alarm": true}]);
    assert_eq!(body["conflicts"], conflicts);
    let codes: Vec<_> = body["warnings"].as_array().unwrap().iter().map(|it| &it["code"]).collect();
    let expected =
        json!(["data-nearly-full", "data-memory-full", "link-down", "lag", "stale", "conflicts"]);
    assert_eq!(json!(codes), expected);

    let ready = client(view()).get("/readyz").await.ok().body;
    assert_eq!((&ready["status"], &ready["warnings"]), (&json!("ready"), &expected));
    let well = client(View::default()).get("/readyz").await.ok().body;
    assert_eq!(well.get("warnings"), None);
}

#[tokio::test]
async fn what_is_not_known_of_a_peer_is_not_told_as_nothing() {
    let mut view = view();
    let peer = &mut view.peers[0];
    (peer.lag, peer.staleness) = (None, None);
    (peer.placements[0].lag, peer.placements[0].staleness) = (None, None);
    let client = client(view);
    let text = client.get("/metrics").await.ok().body.as_str().unwrap().to_owned();
    let lines = |name: &str, peer: &str| {
        let begin = format!("{name}{{peer=\"{peer}\"");
        text.lines().filter(|line| line.starts_with(&begin)).count()
    };
    assert_eq!(lines("photon_replication_lag_seconds", "us-east-1"), 0);
    assert_eq!(lines("photon_replication_lag_seconds", "ap-southeast-1"), 1);
    assert_eq!(lines("photon_replication_lag_ops", "us-east-1"), 1);
    let body = client.get("/v1/replication").await.ok().body;
    assert_eq!(body["peers"][0].get("lag_ms"), None);
}

fn folder() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus"))
}

/// Finds the names of metrics of Photon in a text.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_');
    words.filter(|it| it.starts_with("photon_")).collect()
}

#[tokio::test]
async fn every_metric_that_the_rules_watch_is_told() {
    let metrics = metrics().await;
    let told: BTreeSet<&str> = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split(['{', ' ']).next())
        .collect();
    let rules = std::fs::read_to_string(folder().join("photon.rules.yml")).unwrap();
    let watched: BTreeSet<&str> = names(&rules);
    assert!(8 <= watched.len(), "{watched:?}");
    let unknown: Vec<_> = watched.difference(&told).copied().collect();
    // This region has no certificate, and names what it would tell of one.
    let certificate = "photon_link_certificate_not_after_seconds";
    assert_eq!(unknown, [certificate], "no region tells of these");
    assert!(metrics.contains(&format!("# TYPE {certificate} gauge")));
}

/// Runs promtool, where it is installed (Debian has it in the package `prometheus`).
#[expect(clippy::print_stdout, reason = "what goes unchecked is said")]
fn promtool(args: &[&str], input: &str) {
    let mut command = Command::new("promtool");
    command.args(args).current_dir(folder()).stdin(Stdio::piped());
    let spawned = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("promtool is not installed: {args:?} goes unchecked");
            return;
        }
        Err(error) => panic!("{error}"),
    };
    // It may end before it has read all, and then says why.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let done = child.wait_with_output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    assert!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&said));
}

#[tokio::test]
async fn promtool_accepts_the_metrics_and_the_rules_do_what_their_tests_say() {
    promtool(&["check", "metrics"], &metrics().await);
    promtool(&["check", "rules", "photon.rules.yml"], "");
    promtool(&["test", "rules", "photon.rules_test.yml"], "");
}
