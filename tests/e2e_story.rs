//! The first five minutes with Photon, as the README tells them.
//! Must not use anything but the command line.

use rustix::process::Signal;
use serde_json::Value;

use crate::harness::{
    Planet, PlanetOptions, Process, REGIONS, Wan, eventually, is_alive, regions_of, text,
};

const AGENT_REGION: &str = "eu-west-1";
const CLIENT_REGION: &str = "ap-southeast-1";

#[tokio::test(flavor = "multi_thread")]
async fn a_planet_runs_an_agent_loses_a_region_and_goes_on() {
    let mut planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    let mut shout = planet.agent("shout", "text.upper", AGENT_REGION, &["tr", "a-z", "A-Z"]).await;

    let first = work_is_done_across_the_world(&planet).await;
    tasks_can_be_listed_shown_and_followed(&planet, &first).await;
    agents_can_be_listed_shown_and_removed(&planet).await;
    tasks_can_be_canceled(&planet, &first).await;
    many_can_be_asked_at_once(&planet).await;
    an_agent_survives_its_region(&mut planet, &mut shout).await;
    everything_stops_on_ctrl_c(&mut planet).await;

    planet.start_again(&[]).await;
    let task = task(&planet, &first).await;
    assert_eq!(task["state"], "completed", "state survives a restart: {task:#}");
    planet.knows_agent("shout").await;
    shouts(&planet, "once more", "ONCE MORE").await;
    assert!(shout.is_running(), "an agent outlives the planet");

    everything_stops_on_ctrl_c(&mut planet).await;
    planet.start_again(&["--fresh"]).await;
    planet.photon(&["task", "get", &first]).await.refused(3, &["no task"]);
}

/// Returns what is said about where the work was done.
async fn shouts(planet: &Planet, said: &str, heard: &str) -> String {
    let args = ["send", "--skill", "text.upper", said, "--region", CLIENT_REGION, "--follow"];
    let done = planet.photon(&args).await.with_code(0);
    assert_eq!(done.stdout.trim(), heard, "{done:?}");
    done.stderr
}

/// Returns the task that was made.
async fn work_is_done_across_the_world(planet: &Planet) -> String {
    let told = shouts(planet, "hello", "HELLO").await;
    assert!(told.contains(AGENT_REGION), "it says where the work was done: {told}");
    let args = ["send", "--agent", "shout", "to you", "--wait", "--output", "json"];
    let task = planet.photon(&args).await.json();
    assert_eq!(task["state"], "completed", "{task:#}");
    assert_eq!(task["worker"]["region"], AGENT_REGION, "{task:#}");
    assert_eq!(task["artifacts"][0]["parts"][0]["text"], "TO YOU", "{task:#}");
    text(&task["id"]).to_owned()
}

async fn tasks_can_be_listed_shown_and_followed(planet: &Planet, id: &str) {
    let table = planet.photon(&["task", "ls", "--state", "completed"]).await.ok();
    assert!(table.lines().any(|line| line.contains(id)), "{table}");
    let list = planet.photon(&["task", "ls", "--output", "json"]).await.json();
    assert!(list.as_array().is_some_and(|it| it.iter().any(|it| it["id"] == id)));
    let shown = planet.photon(&["task", "get", id]).await.ok();
    assert!(shown.contains("TO YOU"), "{shown}");
    let followed = planet.photon(&["task", "follow", id]).await.ok();
    assert_eq!(followed.trim(), "TO YOU");
    let unknown = "00000000000000000000000000";
    planet.photon(&["task", "get", unknown]).await.refused(3, &[unknown]);
    let args = ["send", "--skill", "text.upper", "hello", "--region", "mars"];
    planet.photon(&args).await.refused(3, &["no region `mars`", AGENT_REGION]);
}

async fn agents_can_be_listed_shown_and_removed(planet: &Planet) {
    let mut brief = planet.agent("brief", "text.brief", CLIENT_REGION, &["cat"]).await;
    let table = planet.photon(&["agent", "ls"]).await.ok();
    assert!(table.contains("shout") && table.contains("brief"), "{table}");
    let table = planet.photon(&["agent", "ls", "--skill", "text.brief"]).await.ok();
    assert!(!table.contains("shout") && table.contains(CLIENT_REGION), "{table}");
    let card = planet.photon(&["agent", "get", "shout", "--output", "json"]).await.json();
    assert_eq!((&card["name"], &card["region"]), (&"shout".into(), &AGENT_REGION.into()));
    brief.signal(Signal::INT);
    brief.ends().await;
    // Whoever ends an agent in good order has it forgotten, or removes it by hand.
    let removed = planet.photon(&["agent", "rm", "brief"]).await;
    assert!([Some(0), Some(3)].contains(&removed.code), "{removed:?}");
    planet.photon(&["agent", "get", "brief"]).await.refused(3, &["brief"]);
}

async fn tasks_can_be_canceled(planet: &Planet, done: &str) {
    let _slow = planet.agent("slow", "sh.slow", AGENT_REGION, &["sleep", "600"]).await;
    let sent = planet.photon(&["send", "--agent", "slow", "go", "--output", "json"]).await.json();
    let id = text(&sent["id"]);
    eventually("the task is taken up", || async {
        (task(planet, id).await["state"] == "working").then_some(())
    })
    .await;
    let mut following =
        Process::start("photon task follow", planet.command(&["task", "follow", id]));
    planet.photon(&["task", "cancel", id, "--reason", "not needed"]).await.ok();
    assert_eq!(following.ends().await.code(), Some(7), "{}", following.said());
    assert_eq!(task(planet, id).await["state"], "canceled");
    planet.photon(&["task", "cancel", id]).await.ok();
    planet.photon(&["task", "cancel", done]).await.refused(4, &["has ended"]);
}

/// Everybody is asked, one fails, and a half is enough.
async fn many_can_be_asked_at_once(planet: &Planet) {
    let mut voters = Vec::new();
    for (region, script) in REGIONS.into_iter().zip(["cat", "cat", "exit 1"]) {
        let name = format!("voter-{region}");
        voters.push(planet.agent(&name, "text.vote", region, &["sh", "-c", script]).await);
        planet.knows_agent(&name).await;
    }
    let ask = |over, until| {
        let what = ["send", "--skill", "text.vote", "yes", "--wait", "--output", "json"];
        let whom = ["--region", CLIENT_REGION, "--fan-out", over, "--until", until];
        [&what[..], &whom].concat()
    };
    let voted = planet.photon(&ask("agents", "quorum")).await.json();
    assert_eq!(voted["state"], "completed", "{voted:#}");
    let votes = voted["artifacts"].as_array().expect("a list").iter();
    let yes = votes.filter(|it| it["parts"][0]["text"] == "yes").count();
    assert_eq!(yes, 2, "{voted:#}");
    for how in ["--wait", "--follow"] {
        let told = ["send", "--skill", "text.vote", "yes", "--fan-out", "agents", how];
        let until = ["--until", "quorum", "--region", CLIENT_REGION];
        let told = planet.photon(&[&told[..], &until].concat()).await.ok();
        assert_eq!(told.matches(" (completed): yes\n").count(), 2, "{how}: {told}");
    }
    let all = planet.photon(&ask("regions", "all")).await.with_code(6);
    let all: Value = serde_json::from_str(&all.stdout).expect("JSON");
    assert_eq!(
        (&all["state"], all["artifacts"].as_array().map(Vec::len)),
        (&"failed".into(), Some(3))
    );
    for artifact in all["artifacts"].as_array().expect("a list") {
        assert!(REGIONS.contains(&text(&artifact["id"])), "{artifact:#}");
        let parts = artifact["parts"].as_array().expect("a list");
        let end = &parts.last().expect("there is one")["data"];
        let ended = || async {
            let part = task(planet, text(&end["task"])).await;
            (part["state"] == end["state"]).then_some(part)
        };
        let part = eventually("the part is seen everywhere as it ended", ended).await;
        assert_eq!(part["part_of"], all["id"], "{part:#}");
    }
    for voter in &mut voters {
        voter.signal(Signal::INT);
        voter.ends().await;
    }
}

/// The agent goes to another region, with the work that it has, and stays there.
async fn an_agent_survives_its_region(planet: &mut Planet, shout: &mut Process) {
    assert_eq!(health(planet, AGENT_REGION).await, "linked");
    let table = planet.photon(&["region", "ls"]).await.ok();
    assert!(REGIONS.iter().all(|it| table.contains(it)), "{table}");
    let script = format!(
        "printf 'on it: '; until [ -e {}/go ]; do sleep 0.1; done; cat",
        planet.scratch().display()
    );
    let _held = planet.agent("held", "sh.held", AGENT_REGION, &["sh", "-c", &script]).await;
    let held = planet.photon(&["send", "--agent", "held", "hold on", "--output", "json"]);
    let held = text(&held.await.json()["id"]).to_owned();
    let begun = || async { task(planet, &held).await["artifacts"].get(0).map(|_| ()) };
    eventually("the program has begun", begun).await;
    let pid = regions_of(planet.up.pid())[AGENT_REGION];
    planet.region("kill", AGENT_REGION).await;
    planet.up.says(&format!("{AGENT_REGION} killed")).await;
    eventually("the region is dead", || async { (!is_alive(pid)).then_some(()) }).await;
    eventually("the others see it", || async {
        (health(planet, AGENT_REGION).await == "unlinked").then_some(())
    })
    .await;

    shout.says("moved").await;
    let told = shouts(planet, "still here", "STILL HERE").await;
    assert!(!told.contains(AGENT_REGION), "it works elsewhere: {told}");
    std::fs::write(planet.scratch().join("go"), "").expect("the folder is there");
    let ended = || async {
        let task = task(planet, &held).await;
        (task["state"] == "completed").then_some(task)
    };
    let ended = eventually("what was begun in the lost region is finished", ended).await;
    assert_eq!(ended["attempt"], 1, "nothing was done twice: {ended:#}");
    let parts = ended["artifacts"][0]["parts"].as_array().expect("a list").iter();
    let said: String = parts.map(|it| text(&it["text"])).collect();
    assert_eq!(said, "on it: hold on", "{ended:#}");

    planet.region("start", AGENT_REGION).await;
    planet.up.says(&format!("{AGENT_REGION} is back")).await;
    planet.api(AGENT_REGION).is_ready().await;
    planet.knows_agent("shout").await;
    shouts(planet, "again", "AGAIN").await;
    assert!(shout.is_running(), "an agent outlives its region");
}

async fn health(planet: &Planet, region: &str) -> String {
    let seen = planet.photon(&["region", "ls", "--output", "json"]).await.json();
    let all = seen["regions"].as_array().expect("a list").iter();
    let found = all.clone().find(|it| it["name"] == region).expect("a region of the planet");
    text(&found["health"]).to_owned()
}

async fn task(planet: &Planet, id: &str) -> Value {
    planet.photon(&["task", "get", id, "--output", "json"]).await.json()
}

async fn everything_stops_on_ctrl_c(planet: &mut Planet) {
    let regions = regions_of(planet.up.pid());
    assert_eq!(regions.len(), REGIONS.len(), "{regions:?}");
    planet.up.signal(Signal::INT);
    let status = planet.up.ends().await;
    assert!(status.success(), "{status}");
    let left: Vec<_> = regions.iter().filter(|(_, pid)| is_alive(**pid)).collect();
    assert!(left.is_empty(), "{left:?} run on");
}
