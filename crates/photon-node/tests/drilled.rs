//! A node that suffers from the faults of a drill, and recovers when they are over.
//! Must not look inside a node.
use photon_node::{Faults, Node, SubmitError};
use photon_region::{Command, Refusal, Reply};
use tokio_util::sync::CancellationToken;

use crate::running::*;

/// An hour.
const HOUR_MS: i64 = 3_600_000;

async fn start(dir: &tempfile::TempDir, faults: &'static Faults) -> Running {
    let stop = CancellationToken::new();
    let mut config = config(dir.path(), "b", None);
    config.regions.retain(|it, _| *it == region("b")); // Alone, it waits for nobody.
    let node = Node::start_in_drill(config, stop.clone(), faults).await.unwrap();
    let running = Running { handle: node.handle(), node, stop };
    running.register("shout").await;
    running
}

/// Returns when a new task was made, by the clock of the node.
async fn submitted_at_ms(node: &Running) -> u64 {
    match node.handle.submit(Command::Submit(task())).await {
        Ok(Reply::Submitted { task, .. }) => task.created.wall_ms,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_clock_jumps_and_jumps_back_to_where_time_has_stood_still_at_least() {
    static FAULTS: Faults = Faults::new();
    let dir = tempfile::tempdir().unwrap();
    let node = start(&dir, &FAULTS).await;
    let before = submitted_at_ms(&node).await;
    FAULTS.set_clock_ms(HOUR_MS);
    let ahead = submitted_at_ms(&node).await;
    assert!((before + 3_600_000..before + 3_700_000).contains(&ahead), "{before} {ahead}");
    FAULTS.set_clock_ms(-HOUR_MS);
    let behind = submitted_at_ms(&node).await;
    assert!(ahead <= behind, "time runs back from {ahead} to {behind}");
    node.stop().await;
}

#[tokio::test]
async fn a_disk_without_room_refuses_work_until_it_has_room_again() {
    static FAULTS: Faults = Faults::new();
    let dir = tempfile::tempdir().unwrap();
    let node = start(&dir, &FAULTS).await;
    node.submit_task().await;
    FAULTS.set_disk_full(true);
    let is_refused = async || {
        let done = node.handle.submit(Command::Submit(task())).await;
        matches!(done, Err(SubmitError::Refused(Refusal::DiskFull { .. })))
    };
    eventually(is_refused, "a refusal").await;
    FAULTS.set_disk_full(false);
    let is_taken = async || node.handle.submit(Command::Submit(task())).await.is_ok();
    eventually(is_taken, "room").await;
    node.stop().await;
}
