//! Whole nodes on the loopback interface, with real disks, links and time.
//! Must not look inside a node.
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use photon_node::{
    Authority, Credentials, LaneStats, LogError, Node, Secret, StartError, SubmitError, TlsFiles,
    Validity,
};
use photon_region::{AgentSpec, Command, Json, Refusal, Reply, TaskFilter, TaskId};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::running::*;

#[tokio::test]
async fn what_is_registered_in_one_region_is_known_in_the_other_and_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = pair(&dir).await;
    a.register("ours").await;
    b.register("theirs").await;
    a.sees("theirs").await;
    b.sees("ours").await;
    let id = a.submit_task().await;
    assert!(a.handle.log_stats().ops >= 2);
    a.stop().await;

    b.register("while-away").await;
    let a = Running::start(config(dir.path(), "a", Some(b.node.link_addr()))).await;
    assert!(a.node.recovered().ops >= 2);
    assert_eq!(a.node.recovered().torn, None);
    a.handle.submit(Command::Task(id)).await.unwrap();
    a.sees("theirs").await;
    a.sees("while-away").await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_region_that_returns_after_a_thousand_ops_catches_up_from_the_log_of_its_peer() {
    let dir = tempfile::tempdir().unwrap();
    let b = Running::start(config(dir.path(), "b", None)).await;
    b.register("worker").await;
    for number in 0..1_000 {
        b.register(&format!("agent-{number}")).await;
    }
    let address = b.node.link_addr();
    b.stop().await; // So that its memory holds nothing: the ops must come from its log.
    let mut again = config(dir.path(), "b", None);
    again.links.listen = address;
    let b = Running::start(again).await;
    let a = Running::start(config(dir.path(), "a", Some(address))).await;
    a.sees("agent-999").await;
    a.sees("agent-0").await;
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn what_has_left_memory_is_caught_up_in_bulk_and_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let b = Running::start(config(dir.path(), "b", None)).await;
    for number in 0..40 {
        let card = format!("{{\"text\":\"{}\"}}", "photon ".repeat(30_000));
        let card = Json(Bytes::from(card));
        let spec = AgentSpec { card, ..agent(&format!("agent-{number}")) };
        b.handle.submit(Command::Register(spec)).await.unwrap();
    }
    let a = Running::start(config(dir.path(), "a", Some(b.node.link_addr()))).await;
    a.sees("agent-39").await;
    let sent =
        |stats: Vec<LaneStats>, class| stats.iter().find(|it| it.class == class).unwrap().sent;
    let bulk = sent(b.handle.lane_stats(), "bulk");
    assert!(4 << 20 < bulk.raw_bytes && 0 < bulk.messages, "{bulk:?}");
    assert!(20 * bulk.wire_bytes < bulk.raw_bytes, "{bulk:?}");
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_link_comes_back_after_its_peer_was_away() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = pair(&dir).await;
    a.is_linked(true).await;
    let address = b.node.link_addr();
    b.stop().await;
    a.is_linked(false).await;
    let mut again = config(dir.path(), "b", None);
    again.links.listen = address;
    let b = Running::start(again).await;
    a.is_linked(true).await;
    b.is_linked(true).await;
    assert_eq!(a.handle.link_stats().linked, 2);
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_region_with_another_secret_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let b = Running::start(config(dir.path(), "b", None)).await;
    let mut stranger = config(dir.path(), "a", Some(b.node.link_addr()));
    stranger.links.secret = Some(Secret::new("guess".into()));
    let a = Running::start(stranger).await;
    let is_refused = async || b.handle.link_stats().refused > 1;
    eventually(is_refused, "the refusal").await;
    assert_eq!(b.handle.link_stats().linked, 0);
    a.stop().await;
    b.stop().await;
}

/// Gives a region a certificate of an authority.
fn tls(dir: &Path, own: &str, authority: &Authority, kept: &Credentials) -> TlsFiles {
    let write = |name: &str, text: &str| {
        let path = dir.join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let validity = Validity::days(SystemTime::now(), 1);
    let issued = authority.issue(region(own), validity).unwrap();
    TlsFiles {
        certificate: write(&format!("{own}.pem"), &issued.certificate),
        key: write(&format!("{own}.key"), &issued.key),
        authority: write("ca.pem", &kept.certificate),
    }
}

#[tokio::test]
async fn two_regions_replicate_over_tls_and_one_without_stays_outside() {
    let dir = tempfile::tempdir().unwrap();
    let validity = Validity::days(SystemTime::now(), 1);
    let (authority, kept) = Authority::make("test", validity).unwrap();
    let secured = |own, peer| {
        let mut config = config(dir.path(), own, peer);
        config.links.secret = None;
        config.links.tls = Some(tls(dir.path(), own, &authority, &kept));
        config
    };
    let b = Running::start(secured("b", None)).await;
    let plain = Running::start(config(dir.path(), "a", Some(b.node.link_addr()))).await;
    let is_refused = async || 0 < b.handle.link_stats().refused;
    eventually(is_refused, "the refusal").await;
    plain.stop().await;
    assert_eq!(b.handle.link_stats().linked, 0);

    let a = Running::start(secured("a", Some(b.node.link_addr()))).await;
    a.register("ours").await;
    b.register("theirs").await;
    a.sees("theirs").await;
    b.sees("ours").await;
    let not_after = a.handle.link_stats().certificate_not_after_secs.map(Duration::from_secs);
    let until = validity.until.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    assert!(until <= not_after.unwrap() + Duration::from_secs(1));
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn every_reply_that_came_before_a_stop_is_kept_and_none_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = pair(&dir).await;
    a.register("worker").await;
    let (handle, stop) = (a.handle.clone(), a.stop.clone());
    let clients: Vec<_> = (0..64)
        .map(|_| {
            let handle = handle.clone();
            async move {
                let mut accepted = Vec::new();
                loop {
                    match handle.submit(Command::Submit(task())).await {
                        Ok(Reply::Submitted { task, .. }) => accepted.push(task.id),
                        Err(SubmitError::Stopping) => return accepted,
                        other => panic!("{other:?}"),
                    }
                }
            }
        })
        .collect();
    let mut set = tokio::task::JoinSet::new();
    clients.into_iter().for_each(|client| drop(set.spawn(client)));
    let some = async || 100 < handle.log_stats().ops;
    eventually(some, "some tasks").await;
    stop.cancel();
    a.stop().await;
    let accepted: Vec<TaskId> = set.join_all().await.into_iter().flatten().collect();
    assert!(!accepted.is_empty());

    let a = Running::start(config(dir.path(), "a", Some(b.node.link_addr()))).await;
    for id in accepted {
        a.handle.submit(Command::Task(id)).await.unwrap();
    }
    a.stop().await;
    b.stop().await;
}

#[tokio::test]
async fn a_client_that_goes_away_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let b = Running::start(config(dir.path(), "b", None)).await;
    b.register("worker").await;
    let wait = Command::Acquire { agent: "worker".into(), limit: 1, wait: PATIENCE };
    let gone = tokio::time::timeout(Duration::ZERO, b.handle.submit(wait)).await;
    assert!(gone.is_err());
    let none = async || b.handle.view().in_flight == 0;
    eventually(none, "no command in flight").await;
    let all = Command::Tasks { filter: TaskFilter::default(), before: None, limit: 9 };
    assert!(matches!(b.handle.submit(all).await, Ok(Reply::Tasks { .. })));
    b.stop().await;
}

#[tokio::test]
async fn a_refusal_reaches_the_client() {
    let dir = tempfile::tempdir().unwrap();
    let b = Running::start(config(dir.path(), "b", None)).await;
    let reply = b.handle.submit(Command::Submit(task())).await;
    assert!(matches!(reply, Err(SubmitError::Refused(Refusal::NoSuchSkill(_)))), "{reply:?}");
    b.stop().await;
}

#[tokio::test]
async fn a_node_that_cannot_start_says_why_and_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let start = async |config| Node::start(config, CancellationToken::new()).await;
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut busy = config(dir.path(), "b", None);
    busy.links.listen = taken.local_addr().unwrap();
    let error = start(busy).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&taken.local_addr().unwrap().to_string()) && text.contains("links.listen")
    );

    let error = start(config(dir.path(), "a", None)).await.unwrap_err();
    assert!(matches!(error, StartError::NoAddress { .. }), "{error}");

    let b = Running::start(config(dir.path(), "b", None)).await;
    let error = start(config(dir.path(), "b", None)).await.unwrap_err();
    assert!(matches!(error, StartError::Log(LogError::Locked { .. })), "{error}");
    b.stop().await;

    let mut other = config(dir.path(), "b", None);
    other.planet = "other".into();
    let error = start(other).await.unwrap_err();
    assert!(matches!(error, StartError::Log(LogError::Owner { .. })), "{error}");
}

#[tokio::test]
async fn a_secret_is_never_printed() {
    let dir = tempfile::tempdir().unwrap();
    let printed = format!("{:?}", config(dir.path(), "b", None).links);
    assert!(printed.contains("Some(***)"), "{printed}");
}
