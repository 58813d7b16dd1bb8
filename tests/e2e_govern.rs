//! What operators change of a planet of real processes: homes under load, members, voters; and what
//! they are refused.
//! Must not demand figures of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::{Api, Planet, PlanetOptions, REGIONS, Wan, eventually, text};

/// The region that is drained, removed and added.
const LEAVER: &str = "eu-west-1";

#[tokio::test(flavor = "multi_thread")]
async fn homes_are_moved_under_load_and_no_client_sees_an_error() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    for region in REGIONS {
        let api = planet.api(region);
        let agent = format!("worker-{region}");
        api.register(&agent, "echo").await;
        planet.knows_agent(&agent).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let clients = REGIONS.map(|it| tokio::spawn(submit(planet.api(it), Arc::clone(&stop))));
    let workers = REGIONS.map(|it| tokio::spawn(work(planet.api(it), it, Arc::clone(&stop))));

    planet.photon(&["region", "drain", LEAVER]).await.ok();
    eventually("all regions know that it is the home of nothing", || async {
        for region in REGIONS {
            let shown = planet.api(region).get("/v1/planet").await.ok();
            if member(&shown, LEAVER)["shards"] != 0 {
                return None;
            }
        }
        Some(())
    })
    .await;
    planet.photon(&["region", "undrain", LEAVER]).await.ok();
    let shown = planet.photon(&["region", "rebalance", "--output", "json"]).await.json();
    for region in REGIONS {
        let shards = member(&shown, region)["shards"].as_u64();
        assert!(shards.is_some_and(|it| (341..=342).contains(&it)), "{shown:#}");
    }

    stop.store(true, Ordering::Relaxed);
    let mut tasks = Vec::new();
    for client in clients {
        tasks.extend(client.await.expect("no client is refused"));
    }
    for worker in workers {
        worker.await.expect("no worker is refused");
    }
    assert!(!tasks.is_empty());
    for task in tasks {
        let path = format!("/v1/tasks/{task}");
        let shown = planet.api(REGIONS[0]).get(&path).await.ok();
        assert!(
            ["submitted", "working", "completed"].contains(&text(&shown["state"])),
            "{shown:#}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn members_leave_and_join_and_what_is_unsafe_is_refused() {
    let planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let photon = |args: &'static [&'static str]| planet.photon(args);
    photon(&["region", "drain", "mars"]).await.refused(3, &["`mars`", "photon planet show"]);
    photon(&["region", "add", LEAVER]).await.refused(4, &["a member of the planet already"]);
    photon(&["region", "rm", LEAVER]).await.refused(4, &["votes", "photon planet voters"]);
    photon(&["planet", "voters", "mars"]).await.refused(3, &["`mars`"]);
    let api = planet.api(REGIONS[0]);
    let none = json!({"voters": []});
    let refused = api.put("/v1/planet/voters", &none).await.refused(422, "invalid-body");
    assert_eq!(refused["field"], "voters");
    let many = json!({"voters": REGIONS, "of": 1});
    api.put("/v1/planet/voters", &many).await.refused(422, "invalid-body");
    let path = format!("/v1/planet/members/{LEAVER}/drain?force=perhaps");
    api.put(&path, &json!({})).await.refused(400, "invalid-parameter");

    photon(&["planet", "voters", "us-east-1", "ap-southeast-1"]).await.ok();
    photon(&["region", "rm", LEAVER]).await.refused(4, &["341 shards", "photon region drain"]);
    photon(&["region", "drain", LEAVER]).await.ok();
    photon(&["region", "rm", LEAVER]).await.ok();
    photon(&["region", "drain", LEAVER]).await.refused(3, &["no member"]);
    let shown = api.get("/v1/planet").await.ok();
    assert_eq!(shown["members"].as_array().map(Vec::len), Some(2), "{shown:#}");

    // It returns with nothing: it learns all from the others, and may vote and be home again.
    planet.region("kill", LEAVER).await;
    planet.lose_disk(LEAVER);
    planet.region("start", LEAVER).await;
    eventually("it is heard and can be added", || async {
        let done = planet.photon(&["region", "add", LEAVER, "--output", "json"]).await;
        (done.code == Some(0)).then_some(())
    })
    .await;
    photon(&["planet", "voters", "us-east-1", "ap-southeast-1", LEAVER]).await.ok();
    photon(&["region", "rebalance"]).await.ok();
    eventually("it has followed what all agree on", || async {
        let shown = planet.api(LEAVER).get("/v1/planet").await.ok();
        let own = member(&shown, LEAVER);
        (own["is_voter"] == true && own["is_settled"] == true && own["shards"] == 341).then_some(())
    })
    .await;
}

fn member<'a>(planet: &'a Value, region: &str) -> &'a Value {
    let members = planet["members"].as_array().expect("a planet has members");
    members.iter().find(|it| it["region"] == region).unwrap_or(&Value::Null)
}

/// Submits one task after the other; each has to be accepted.
async fn submit(api: Api, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut tasks = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let ack = if tasks.len() % 2 == 0 { "region" } else { "quorum" };
        let body = json!({"skill": "echo", "text": "hello", "ack": ack});
        tasks.push(text(&api.post("/v1/tasks", &body).await.ok()["id"]).to_owned());
    }
    tasks
}

/// Works on one task after the other; each end has to be taken.
async fn work(api: Api, region: &str, stop: Arc<AtomicBool>) {
    let lease = json!({"agent": format!("worker-{region}"), "limit": 4, "wait_ms": 200});
    while !stop.load(Ordering::Relaxed) {
        let leases = api.post("/v1/leases", &lease).await.ok();
        for lease in leases["leases"].as_array().into_iter().flatten() {
            api.complete(lease).await.ok();
        }
    }
}
