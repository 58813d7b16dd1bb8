//! Planets that are put together wrong: folders, names and regions that do not belong together.
//! Must not leave it at the refusal: what was there before goes on, and nothing of it is lost.

use std::fs;
use std::path::PathBuf;

use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::harness::{Api, Done, Process, SOON, eventually, free_ports, photon, problem, run};

/// The regions of a planet, and one that is not among them: it dials two of them.
const REGIONS: [&str; 3] = ["ap-southeast-1", "eu-west-1", "us-east-1"];
const STRANGER: &str = "ca-central-1";

/// The command line or the configuration is wrong.
const USAGE: i32 = 2;

/// Configurations and data folders of regions that could reach each other.
struct Sites {
    folder: TempDir,
    port: u16,
}

impl Sites {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room for temporary files");
        Self { folder, port: free_ports(10) }
    }

    fn data(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Returns the port of a region's front door; that of its links is the next one.
    fn port(&self, region: &str) -> u16 {
        let mut all = REGIONS.iter().chain([&STRANGER]);
        let at = all.position(|it| *it == region).expect("one of the regions above");
        self.port + 2 * at as u16
    }

    fn api(&self, region: &str) -> Api {
        Api::new(format!("http://127.0.0.1:{}", self.port(region)))
    }

    /// Returns `photon serve` for a region of a planet of `regions`, with the data folder `data`.
    fn serve(&self, (planet, region): (&str, &str), regions: &[&str], data: &str) -> Command {
        let tables = regions.iter().map(|it| {
            let port = self.port(it);
            let (api, link) = (format!("127.0.0.1:{port}"), format!("127.0.0.1:{}", port + 1));
            format!("[regions.{it}]\napi = \"{api}\"\nlink = \"{link}\"\n")
        });
        let (tables, data) = (tables.collect::<String>(), self.data(data));
        let node = format!("[node]\ndata = \"{}\"\n", data.display());
        let path = self.folder.path().join(format!("{planet}-{region}.toml"));
        fs::write(&path, format!("planet = \"{planet}\"\n{tables}{node}")).expect("there is room");
        let mut command = photon(&["serve", "--region", region, "--config"]);
        command.arg(path);
        command
    }

    async fn start(&self, of: (&str, &str), regions: &[&str], data: &str) -> Process {
        let name = format!("{} of {}", of.1, of.0);
        let mut process = Process::start(name, self.serve(of, regions, data));
        tokio::select! {
            () = async { self.api(of.1).is_ready().await } => {}
            status = process.has_ended() => panic!("{} ended at its start: {status}", of.1),
        }
        process
    }

    async fn fails(&self, of: (&str, &str), regions: &[&str], data: &str) -> Done {
        run(self.serve(of, regions, data), SOON).await
    }

    /// Runs `photon` to its end with a region as its `--url`.
    async fn photon(&self, region: &str, args: &[&str]) -> Done {
        let mut command = photon(args);
        command.env("PHOTON_URL", self.api(region).base());
        run(command, SOON * 2).await
    }

    /// Waits until a region says why it has no link to another one, and returns what it says.
    async fn trouble(&self, region: &str, with: &str, has: &str) {
        let path = format!("/v1/regions/{with}");
        eventually(format!("{region} says `{has}` about {with}"), || async {
            let told = self.api(region).get(&path).await.ok();
            told["trouble"].as_str().is_some_and(|it| it.contains(has)).then_some(())
        })
        .await;
    }

    async fn is_linked(&self, region: &str, with: &str) {
        let path = format!("/v1/regions/{with}");
        eventually(format!("{region} is linked to {with}"), || async {
            let told = self.api(region).get(&path).await.ok();
            (told["health"] == "linked" && told["trouble"].is_null()).then_some(())
        })
        .await;
    }

    /// Waits until a region knows a task.
    async fn knows(&self, region: &str, task: &str) {
        eventually(format!("{region} knows {task}"), || async {
            let told = self.api(region).get(&format!("/v1/tasks/{task}")).await;
            (told.status == 200).then_some(())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_another_region_or_planet_is_refused_and_left_alone() {
    let sites = Sites::new();
    let [_, eu, us] = REGIONS;
    let mut process = sites.start(("test", eu), &[eu], "eu").await;
    let id = sites.api(eu).completes_a_task().await;

    // Two at the same time, then one after the other.
    let pid = process.pid().to_string();
    let locked = ["locked by process", &pid, "choose another data folder"];
    sites.fails(("test", us), &[us], "eu").await.refused(1, &locked);
    process.kill().await;
    let says = ["eu/photon.meta", "belongs to the region `eu-west-1`", "folder of `us-east-1`"];
    sites.fails(("test", us), &[us], "eu").await.refused(1, &says);
    let says = ["eu/photon.meta", "belongs to the planet `test`", "`mars` is expected"];
    sites.fails(("mars", eu), &[eu], "eu").await.refused(1, &says);

    let _process = sites.start(("test", eu), &[eu], "eu").await;
    sites.api(eu).get(&format!("/v1/tasks/{id}")).await.ok();
    sites.api(eu).lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_that_is_named_twice_is_found_with_its_line() {
    let sites = Sites::new();
    let [_, eu, us] = REGIONS;
    let says = ["test-eu-west-1.toml:8", "`eu-west-1` is there twice: remove one"];
    sites.fails(("test", eu), &[eu, us, eu], "eu").await.refused(USAGE, &says);
    assert!(!sites.data("eu").exists(), "nothing is made for a configuration that makes no sense");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_another_planet_is_refused_and_said_on_both_sides() {
    let sites = Sites::new();
    let [_, eu, us] = REGIONS;
    let mut ours = sites.start(("test", eu), &[eu, us], "eu").await;
    let mut theirs = sites.start(("mars", us), &[eu, us], "us").await;
    let expected = "the peer belongs to the planet `mars`, and `test` is expected";
    ours.says(expected).await;
    theirs.says("the peer belongs to the planet `test`, and `mars` is expected").await;
    sites.trouble(eu, us, expected).await;

    // Corrected, with a folder of its own planet, they find each other.
    theirs.kill().await;
    let _theirs = sites.start(("test", us), &[eu, us], "us-of-test").await;
    sites.is_linked(eu, us).await;
    sites.api(eu).lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_region_accepts_no_task_until_it_is_configured_everywhere_and_added() {
    let sites = Sites::new();
    let [ap, eu, us] = REGIONS;
    let of = |region: &'static str| ("test", region);
    let mut in_ap = sites.start(of(ap), &REGIONS, ap).await;
    let mut in_eu = sites.start(of(eu), &REGIONS, eu).await;
    let mut in_us = sites.start(of(us), &REGIONS, us).await;
    let id = sites.api(us).completes_a_task().await;

    // Its own configuration is not enough.
    let more = [ap, eu, us, STRANGER];
    let _stranger = sites.start(of(STRANGER), &more, STRANGER).await;
    in_eu.says("region `ca-central-1` is not in the configuration of this region").await;
    sites.trouble(STRANGER, eu, "the peer refuses this region").await;
    let api = sites.api(STRANGER);
    api.register("shout", "text.upper").await;
    let task = json!({"agent": "shout", "text": "hello"});
    let refused = api.post("/v1/tasks", &task).await.refused(503, "not-admitted");
    assert_eq!(refused["region"], STRANGER, "{refused:#}");
    assert!(problem(&refused).contains("photon region add ca-central-1"), "{refused:#}");
    let warnings = api.get("/v1/replication").await.ok()["warnings"].to_string();
    assert!(warnings.contains("not-admitted"), "{warnings}");
    sites.photon(STRANGER, &["region", "list"]).await.with_code(0);
    let add = ["region", "add", STRANGER];
    sites.photon(us, &add).await.refused(4, &["`ca-central-1` is not in the configuration"]);

    // Nor is that of all, which they are told one after the other.
    for (process, region) in [(&mut in_ap, ap), (&mut in_eu, eu), (&mut in_us, us)] {
        process.kill().await;
        *process = sites.start(of(region), &more, region).await;
    }
    sites.is_linked(STRANGER, us).await;
    api.post("/v1/tasks", &task).await.refused(503, "not-admitted");
    sites.photon(us, &["region", "drain", STRANGER]).await.refused(3, &["no member"]);

    eventually("it is heard, and made a member", || async {
        (sites.photon(us, &add).await.code == Some(0)).then_some(())
    })
    .await;
    eventually("it has learned what all agree on", || async {
        (api.post("/v1/tasks", &task).await.status == 201).then_some(())
    })
    .await;
    sites.photon(us, &add).await.refused(4, &["is a member of the planet already"]);
    sites.knows(STRANGER, &id).await;
    sites.api(us).lives_on().await;
}
