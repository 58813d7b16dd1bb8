//! Disks that lie, tear and fill up.
//! Must not know how the log lies on disk, but that its bytes are in `log/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use crate::harness::{
    Answer, Api, Region, RegionOptions, SOON, eventually, falls_short, run, text,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_damaged_in_the_middle_is_refused_and_not_changed() {
    let region = Region::start(&RegionOptions::default()).await;
    let id = region.api.completes_a_task().await;
    for _ in 0..10 {
        region.api.completes_a_task().await;
    }
    let log = only_segment(&region.data);
    let site = region.kill().await;
    let whole = fs::read(&log).unwrap();
    let mut damaged = whole.clone();
    let at = used(&whole) / 2;
    damaged[at] ^= 0x40;
    fs::write(&log, &damaged).unwrap();
    let name = log.file_name().unwrap().to_str().unwrap();
    site.fails().await.refused(1, &["the log is damaged at byte", name, "anew from its peers"]);
    assert_eq!(fs::read(&log).unwrap(), damaged, "nothing was changed");
    fs::write(&log, &whole).unwrap();
    let region = site.start().await;
    region.api.get(&format!("/v1/tasks/{id}")).await.ok();
    region.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_torn_tail_is_cut_off_and_said() {
    let region = Region::start(&RegionOptions::default()).await;
    let id = region.api.completes_a_task().await;
    region.api.completes_a_task().await;
    let log = only_segment(&region.data);
    let site = region.kill().await;
    let mut bytes = fs::read(&log).unwrap();
    let end = used(&bytes);
    bytes[end - 7..end].fill(0);
    fs::write(&log, &bytes).unwrap();
    let mut region = site.start().await;
    region.process.says("torn by a crash and is cut off").await;
    let kept = region.api.get(&format!("/v1/tasks/{id}")).await.ok();
    assert_eq!(kept["state"], "completed");
    region.api.lives_on().await;
}

/// Returns the file of the log: there is one, because a test writes little.
fn only_segment(data: &Path) -> PathBuf {
    let files = fs::read_dir(data.join("log")).expect("the region made it");
    let files = files.map(|it| it.expect("nobody else is here").path());
    let mut segments: Vec<_> =
        files.filter(|it| it.extension().is_none_or(|it| it != "tmp")).collect();
    assert_eq!(segments.len(), 1, "{segments:?}");
    segments.remove(0)
}

/// Counts the bytes before the zeros at the end.
fn used(bytes: &[u8]) -> usize {
    bytes.iter().rposition(|it| *it != 0).expect("something was written") + 1
}

/// A small disk of its own; gone when it is dropped.
#[derive(Debug)]
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// Mounts the disk, or says why that is not possible here.
    async fn mount(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(folder.path());
        let done = run(mount, SOON).await;
        if done.code == Some(0) {
            return Some(Self(folder));
        }
        falls_short(&format!("SKIPPED: no disk can be mounted here: {}", done.stderr.trim()));
        None
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // The last process that used it may take a moment to be gone; lazily it works at once.
        let _ = std::process::Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_serves_reads_until_there_is_room() {
    let Some(disk) = SmallDisk::mount("24m").await else { return };
    let ballast = disk.0.path().join("ballast");
    fs::write(&ballast, vec![1; 10 << 20]).unwrap();
    let config = "[log]\nsegment_bytes = \"1MiB\"".to_owned();
    let data = Some(disk.0.path().join("data"));
    let region = Region::start(&RegionOptions { config, data, ..RegionOptions::default() }).await;
    let api = &region.api;
    let kept = api.completes_a_task().await;
    api.register("shout", "text.upper").await;

    let (accepted, refused) = fill(api).await;
    let refused = refused.refused(503, "disk-full");
    assert_eq!(refused["region"], "eu-west-1");
    assert!(!accepted.is_empty(), "the disk was full from the beginning");
    let unready = eventually("probes hear of it", || async {
        Some(api.get("/readyz").await).filter(|it| it.status != 200)
    });
    unready.await.refused(503, "disk-full");
    api.get("/healthz").await.ok();
    for id in accepted.iter().chain([&kept]) {
        api.get(&format!("/v1/tasks/{id}")).await.ok();
    }

    fs::remove_file(&ballast).unwrap();
    let recovered = || async { (api.get("/readyz").await.status == 200).then_some(()) };
    eventually("the region takes work again", recovered).await;
    api.lives_on().await;
    let region = region.kill().await.start().await;
    for id in accepted.iter().chain([&kept]) {
        region.api.get(&format!("/v1/tasks/{id}")).await.ok();
    }
    region.api.lives_on().await;
}

/// Submits large tasks until one is refused; returns those that were accepted, and the refusal.
async fn fill(api: &Api) -> (Vec<String>, Answer) {
    const SUBMITTED_MAX: usize = 200;
    let task = json!({"agent": "shout", "text": "a".repeat(256 << 10)});
    let mut accepted = Vec::new();
    for _ in 0..SUBMITTED_MAX {
        let answer = tokio::time::timeout(Duration::from_secs(10), api.post("/v1/tasks", &task));
        let answer = answer.await.expect("a full disk is an answer, not a silence");
        if answer.status != 201 {
            return (accepted, answer);
        }
        accepted.push(text(&answer.body["id"]).to_owned());
    }
    panic!("{SUBMITTED_MAX} large tasks went to a small disk");
}
