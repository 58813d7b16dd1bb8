//! A small drill on real processes, and the faults that operators can make by hand.
//! Must not demand figures of time: that is for `make drills`.

use serde_json::{Value, json};

use crate::harness::{Planet, PlanetOptions, Process, Wan, eventually, is_alive, regions_of, text};

/// The region that suffers.
const HIT: &str = "eu-west-1";

/// Two that do not.
const OTHERS: [&str; 2] = ["us-east-1", "ap-southeast-1"];

#[tokio::test(flavor = "multi_thread")]
async fn a_drill_breaks_one_region_at_a_time_and_tells_what_became_of_the_work() {
    // A placement without the hit region, so that there is something that must not be there.
    let args = ["--placement", "rest=us-east-1,ap-southeast-1"];
    let planet = Planet::start_with(PlanetOptions { wan: Wan::On }, &args).await;

    // First, while the region that is hit is still the home of something.
    a_kill_is_reported(&planet).await;
    faults_are_made_listed_and_healed_by_hand(&planet).await;
    what_cannot_be_is_refused(&planet).await;
}

async fn faults_are_made_listed_and_healed_by_hand(planet: &Planet) {
    let faults = || async { planet.photon(&["planet", "faults", "--output", "json"]).await.json() };
    planet.photon(&["planet", "cut", OTHERS[0], OTHERS[1], "--one-way"]).await.ok();
    planet.photon(&["planet", "slow", HIT, "--by", "50ms", "--for", "1ms"]).await.ok();
    eventually("the slow link heals by itself, and the cut stays", || async {
        (faults().await.as_array().map(Vec::len) == Some(1)).then_some(())
    })
    .await;
    let hit = ["drill", "kill-region", "--region", HIT];
    planet.photon(&hit).await.refused(4, &["in force already", "photon planet mend"]);
    planet.photon(&["planet", "mend"]).await.ok();
    assert_eq!(faults().await, Value::Array(vec![]));

    planet.region("stall", HIT).await;
    let pid = regions_of(planet.up.pid())[HIT];
    planet.photon(&["region", "stall", HIT]).await.refused(4, &["stands still already"]);
    planet.region("resume", HIT).await;
    planet.photon(&["region", "resume", HIT]).await.refused(4, &["does not stand still"]);
    planet.api(HIT).is_ready().await;
    assert!(is_alive(pid), "it is the process that it was");
}

async fn what_cannot_be_is_refused(planet: &Planet) {
    let drill = |args: &'static [&'static str]| planet.photon(args);
    drill(&["drill", "kill-region", "--region", "mars"]).await.refused(3, &["`mars`", HIT]);
    drill(&["drill", "kill-region", "--region", HIT, "--by", "1s"]).await.refused(2, &["--by"]);
    drill(&["drill", "partition", "--region", HIT, "--to", "mars"]).await.refused(3, &["`mars`"]);
    drill(&["drill", "--schedule", "/nowhere.toml"]).await.refused(2, &["/nowhere.toml"]);
    drill(&["drill", "melt", "--region", HIT]).await.refused(2, &["kill-region"]);
    planet.api(HIT).register("left-behind", "nothing").await;
    planet.knows_agent("left-behind").await;
    planet.region("kill", HIT).await;
    let down = ["is down", "photon region start"];
    drill(&["drill", "stall-region", "--region", HIT]).await.refused(4, &down);
    an_agent_is(planet, "suspect").await;
    planet.region("start", HIT).await;
    an_agent_is(planet, "offline").await;
}

/// Waits until another region says so of the agent that the hit one alone would know of.
async fn an_agent_is(planet: &Planet, status: &str) {
    eventually("what is said of the agent is as much as can be known", || async {
        let agent = planet.api(OTHERS[0]).get("/v1/agents/left-behind").await.ok();
        let filter = json!({"metadata.status": status});
        let query = json!({"query": {"text": "left behind", "filter": filter}});
        let found = planet.api(OTHERS[0]).post("/ard/search", &query).await.ok();
        let is_found = found["results"].as_array().is_some_and(|it| !it.is_empty());
        (text(&agent["status"]) == status && is_found).then_some(())
    })
    .await;
}

async fn a_kill_is_reported(planet: &Planet) {
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let path = folder.path().join("report.json");
    let report = path.to_str().expect("the name of a temporary file");
    let args = ["drill", "kill-region", "--region", HIT, "--for", "4s", "--before", "1s"];
    let args = [&args[..], &["--after", "1s", "--rate", "20", "--report", report]].concat();
    let mut drill = Process::start("photon drill", planet.command(&args));
    drill.says("20 tasks a second in 3 regions").await;
    let second = ["drill", "stall-region", "--region", HIT];
    planet.photon(&second).await.refused(4, &["another drill"]);
    let code = drill.has_ended().await.code();
    assert_eq!(code, Some(0), "{}", drill.said());
    drill.says("homes of its shards moved").await;
    drill.says("no promise was broken").await;

    let report = std::fs::read_to_string(&path).expect("the drill wrote it");
    let report: Value = serde_json::from_str(&report).expect("it is JSON");
    assert_eq!(report["broken"], Value::Array(vec![]), "{report:#}");
    assert!(report["left_behind"].is_null(), "{report:#}");
    assert_eq!(report["residency"]["is_checked"], true, "{report:#}");
    let accepted = report["work"]["accepted"].as_object().expect("an object");
    assert!(accepted.values().any(|it| it.as_u64().is_some_and(|it| 20 < it)), "{report:#}");
    assert!(report["records"]["written"].as_u64().is_some_and(|it| 0 < it), "{report:#}");

    let fault = &report["faults"][0];
    assert!(fault["whole_after_ms"].as_u64().is_some_and(|it| 1_000 <= it), "{fault:#}");
    for other in OTHERS {
        let of = |list: &Value| {
            let mut list = list.as_array().expect("a list").iter();
            list.find(|it| text(&it["region"]) == other).cloned().expect("each region is there")
        };
        assert!(of(&fault["detection"])["ms"].is_u64(), "{fault:#}");
        assert!(of(&fault["first_success"])["accepted_ms"].is_u64(), "{fault:#}");
    }
    assert_eq!(report["watched_every_ms"], 40, "{report:#}");
    assert!(fault["homes"]["shards"].as_u64().is_some_and(|it| 0 < it), "{fault:#}");
    let summary = &report["summary"][0];
    let (moved, never) = (&summary["homes_moved"]["count"], &summary["homes_never"]);
    assert_eq!(moved.as_u64().zip(never.as_u64()).map(|(a, b)| a + b), Some(1), "{summary:#}");
    agents_and_datasets_are_gone(planet).await;
}

async fn agents_and_datasets_are_gone(planet: &Planet) {
    eventually("nothing of the drill is left", || async {
        let agents = planet.api(HIT).get("/v1/agents").await.ok();
        let datasets = planet.api(HIT).get("/v1/datasets").await.ok();
        let is_empty = |it: &Value| it.as_array().is_some_and(Vec::is_empty);
        (is_empty(&agents["agents"]) && is_empty(&datasets["datasets"])).then_some(())
    })
    .await;
}
