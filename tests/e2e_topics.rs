//! Topics in a real planet: one order in all regions, whoever numbers it is lost or not.
//! Must not use anything but the command line.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{Planet, PlanetOptions, Process, REGIONS, Wan, eventually, text};

const TOPIC: &str = "agent-coordination";

/// Publishes a message, until it is acknowledged.
async fn publish(planet: &Planet, region: &str, id: &str) -> u64 {
    let url = planet.url(region);
    let args = ["topic", "publish", TOPIC, "the north is mine", "--key", "north", "--id", id];
    let args = [&args[..], &["--ack", "quorum", "--output", "json", "--url", &url]].concat();
    let published = || async {
        let done = planet.photon(&args).await;
        (done.code == Some(0)).then(|| done.json())
    };
    let published = eventually("the message is acknowledged", published).await;
    published["position"].as_u64().expect("a position")
}

async fn read(planet: &Planet, region: &str) -> Vec<(u64, String)> {
    let url = planet.url(region);
    let args = ["topic", "read", TOPIC, "--output", "json", "--url", &url];
    let lines = planet.photon(&args).await.ok();
    let read = |line: &str| {
        let message: Value = serde_json::from_str(line).expect("JSON");
        (message["position"].as_u64().expect("a number"), text(&message["id"]).to_owned())
    };
    lines.lines().map(read).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_has_one_order_and_outlives_the_region_that_gives_it() {
    let mut planet = Planet::start(PlanetOptions { wan: Wan::Off }).await;
    let first = publish(&planet, REGIONS[0], "m1").await;
    assert_eq!(first, 1);
    let topic = planet.photon(&["topic", "show", TOPIC, "--output", "json"]).await.json();
    let home = text(&topic["home"]).to_owned();
    let others: Vec<&str> = REGIONS.into_iter().filter(|it| **it != home).collect();
    let url = planet.url(others[0]);
    let follow = ["topic", "follow", TOPIC, "--url", &url];
    let mut follower = Process::start("photon topic follow", planet.command(&follow));
    assert_eq!(publish(&planet, others[1], "m2").await, 2);
    follower.says("2 ").await;
    assert_eq!(publish(&planet, &home, "m2").await, 2, "it is there already");

    planet.region("kill", &home).await;
    planet.up.says(&format!("{home} killed")).await;
    for (position, id) in [(3, "m3"), (4, "m4")] {
        assert_eq!(publish(&planet, others[1], id).await, position);
        follower.says(&format!("-{position} ")).await;
    }
    planet.region("start", &home).await;
    let all: Vec<(u64, String)> = (1..=4).map(|it| (it, format!("m{it}"))).collect();
    for region in REGIONS {
        let shows = || async { (read(&planet, region).await == all).then_some(()) };
        eventually("every region shows the same", shows).await;
    }
    let table = planet.photon(&["topic", "ls"]).await.ok();
    assert!(table.contains(TOPIC), "{table}");
    planet.photon(&["topic", "purge", TOPIC, "--upto", "3"]).await.ok();
    let left = || async { (read(&planet, &home).await == all[3..]).then_some(()) };
    eventually("what is forgotten is so everywhere", left).await;
    planet.photon(&["topic", "show", "nothing"]).await.refused(3, &["nothing was published"]);
    planet.photon(&["topic", "keep", TOPIC, "--time", "1ms"]).await.refused(2, &["retention_ms"]);
    follower.signal(Signal::INT);
    follower.ends().await;
    planet.up.signal(Signal::INT);
    planet.up.ends().await;
}
