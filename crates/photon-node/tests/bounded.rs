//! Logs that let go of old ops, and regions that catch up without them.
//! Must not look inside a node.
use std::path::Path;
use std::time::Duration;

use photon_node::{LogError, Node, NodeConfig, StartError};
use photon_region::data::{
    DataCommand, DataReply, DatasetName, DatasetSpec, Edit, Kind, Mode, Outside, PlacementRule,
    Policy, ReadHow, ReadLevel, Write, WriteLevel,
};
use photon_region::{Command, Limits, Reply};
use photon_state::{PlacementId, Seen};
use tokio_util::sync::CancellationToken;

use crate::running::{PATIENCE, Running, config, eventually};

const WAIT: Duration = Duration::from_secs(10);

fn notes() -> DatasetSpec {
    DatasetSpec {
        name: DatasetName::try_from("notes").unwrap(),
        kind: Kind::Register,
        rule: PlacementRule::Fixed(PlacementId::global()),
        outside: Outside::Forward,
        mode: Mode::MultiMaster,
        policy: Policy::LastWriter,
        write_level: WriteLevel::Eventual,
        read_level: ReadLevel::Eventual,
        ttl: None,
        retention: None,
        sensitive_keys: false,
    }
}

/// A region whose log is as short as can be.
fn bounded(config: NodeConfig) -> NodeConfig {
    let limits = Limits {
        recent_bytes_max: 0,
        compact_after_bytes: 2 << 20,
        log_retention: Duration::ZERO,
        ..Limits::default()
    };
    NodeConfig { datasets: vec![notes()], limits, ..config }
}

/// Writes records of which only the last version counts.
async fn write(node: &Running, rounds: u8) {
    for round in 0..rounds {
        let write = |n: u32| Write {
            key: format!("k{n}").into(),
            edit: Edit::Put(vec![round; 4_000].into()),
            expect: None,
            ttl: None,
            spot: None,
        };
        let command = DataCommand::Write {
            dataset: notes().name,
            writes: (0..100).map(write).collect(),
            level: None,
            session: Seen::default(),
            wait: WAIT,
        };
        node.handle.submit(Command::Data(command)).await.unwrap();
    }
}

/// Whether a region shows a round in the last of the records.
async fn shows(node: &Running, round: u8) -> bool {
    let (dataset, key) = (notes().name, "k99".into());
    let command = DataCommand::Read { dataset, key, how: ReadHow::default() };
    let Ok(Reply::Data(reply)) = node.handle.submit(Command::Data(command)).await else {
        return false;
    };
    let DataReply::Found(found) = *reply else { return false };
    let Some(record) = found.record else { return false };
    match record.content {
        photon_region::data::Content::Fields(fields) => fields[0].1[0].written.bytes[0] == round,
        photon_region::data::Content::Number(_) | photon_region::data::Content::Quota { .. } => {
            false
        }
    }
}

fn segments(data: &Path) -> Vec<std::path::PathBuf> {
    let mut all: Vec<_> = std::fs::read_dir(data.join("log"))
        .unwrap()
        .map(|it| it.unwrap().path())
        .filter(|it| it.extension().is_some_and(|it| it == "seg"))
        .collect();
    all.sort();
    all
}

fn has_begun_anew(data: &Path) -> bool {
    segments(data).first().is_some_and(|it| !it.ends_with("00000000000000000001.seg"))
}

#[tokio::test]
async fn a_log_is_cut_short_and_holds_everything_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let own = || bounded(config(dir.path(), "b", None));
    let node = Running::start(own()).await;
    write(&node, 30).await;
    eventually(async || has_begun_anew(&own().data), "the log is cut short").await;
    write(&node, 31).await;
    node.stop().await;

    let node = Running::start(own()).await;
    assert!(shows(&node, 30).await);
    node.stop().await;
}

#[tokio::test]
async fn a_log_without_its_beginning_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let own = || NodeConfig { datasets: vec![notes()], ..config(dir.path(), "b", None) };
    let node = Running::start(own()).await;
    write(&node, 10).await;
    node.stop().await;
    std::fs::remove_file(segments(&own().data).remove(0)).unwrap();
    let refused = Node::start(own(), CancellationToken::new()).await;
    let is_told = matches!(refused, Err(StartError::Log(LogError::Lacks { .. })));
    assert!(is_told, "{refused:?}");
}

#[tokio::test]
async fn a_region_gets_the_state_when_no_log_has_what_it_lacks() {
    let dir = tempfile::tempdir().unwrap();
    let b = Running::start(bounded(config(dir.path(), "b", None))).await;
    write(&b, 30).await;
    let data = bounded(config(dir.path(), "b", None)).data;
    eventually(async || has_begun_anew(&data), "the log is cut short").await;

    let a = bounded(config(dir.path(), "a", Some(b.node.link_addr())));
    let a = tokio::time::timeout(PATIENCE, Running::start(a)).await.unwrap();
    eventually(async || shows(&a, 29).await, "the state arrives").await;
    let was_sent = async || 0 < b.handle.view().counters.transfers;
    eventually(was_sent, "the state was sent").await;
    // From then on it is one of many: it writes, and hears of what is written.
    write(&a, 31).await;
    eventually(async || shows(&b, 30).await, "its writes arrive").await;
    write(&b, 32).await;
    eventually(async || shows(&a, 31).await, "writes reach it").await;
    a.stop().await;
    b.stop().await;
    let a =
        Running::start(bounded(config(dir.path(), "a", Some(([127, 0, 0, 1], 1).into())))).await;
    assert!(shows(&a, 31).await, "it has all of it durably");
    a.stop().await;
}
