//! Data in three regions: declared once, written and read anywhere, watched from afar.
//! Must not use anything but the command line.

use serde_json::{Value, json};

use crate::harness::{self, Planet, PlanetOptions, Process, REGIONS, Wan, eventually, text};

const HERE: &str = "us-east-1";
const EUROPE: &str = "eu-west-1";
const ASIA: &str = "ap-southeast-1";

#[tokio::test(flavor = "multi_thread")]
async fn records_are_written_in_one_region_and_read_in_another() {
    let planet = Planet::start(PlanetOptions { wan: Wan::On }).await;
    for kind in ["register", "counter", "document", "set"] {
        declare(&planet, kind).await;
    }
    let mut watching = watch(&planet).await;
    a_session_carries_what_was_written_to_another_region(&planet).await;
    a_counter_adds_up_what_two_regions_add(&planet).await;
    all_regions_hold_the_same(&planet).await;
    regions_change_one_document_without_losing_a_member(&planet).await;
    elements_records_and_datasets_are_removed(&planet).await;
    what_is_refused_has_an_exit_code(&planet).await;
    let heard = watching.says("users/7 {\"name\":\"Ada\"} (us-east-1)").await;
    assert!(!heard.is_empty(), "{}", watching.said());
    replication_is_seen_from_all_sides(&planet).await;
}

/// Declares a dataset that is named after its type: every region knows it then, unless the command
/// says which does not.
async fn declare(planet: &Planet, kind: &str) {
    let done = planet.photon(&["dataset", "declare", kind, "--type", kind]).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    for region in REGIONS {
        let status = async || planet.api(region).get(&format!("/v1/datasets/{kind}")).await.status;
        if done.stderr.contains(region) {
            let known = || async { (status().await == 200).then_some(()) };
            eventually(format!("{region} knows {kind}"), known).await;
        } else {
            assert_eq!(status().await, 200, "{region} of {kind}: {done:?}");
        }
    }
}

async fn json_of(planet: &Planet, args: &[&str]) -> Value {
    planet.photon(&[args, &["--output", "json"]].concat()).await.json()
}

async fn watch(planet: &Planet) -> Process {
    // The position is asked for first: what is written from here on is told, whenever it begins.
    let heads = [("accept", "application/json")];
    let request = planet.api(ASIA).request(reqwest::Method::GET, "/v1/data/register?watch=true");
    let request = heads.iter().fold(request, |it, (name, value)| it.header(*name, *value));
    let from = harness::Api::send(request).await.ok();
    let position = text(&from["position"]);
    let args = ["data", "watch", "register", "--region", ASIA, "--position", position];
    Process::start("photon data watch", planet.command(&args))
}

async fn a_session_carries_what_was_written_to_another_region(planet: &Planet) {
    let value = r#"{"name": "Ada"}"#;
    let put = ["data", "put", "register", "users/7", value, "--consistency", "quorum"];
    let written = json_of(planet, &put).await;
    assert_eq!((&written["of"], &written["region"]), (&json!(3), &json!(HERE)), "{written:#}");
    assert!(2 <= written["durable_in"].as_u64().unwrap_or(0), "{written:#}");
    let session = text(&written["session"]);
    let get = ["data", "get", "register", "users/7", "--region", ASIA, "--session", session];
    let read = json_of(planet, &get).await;
    assert_eq!((&read["value"], &read["region"]), (&json!({"name": "Ada"}), &json!(ASIA)));
    assert_eq!(read["etag"], written["etag"], "both regions have seen the same");
    let at_quorum = ["data", "get", "register", "users/7", "--region", EUROPE];
    let plain = planet.photon(&[&at_quorum[..], &["--consistency", "quorum"]].concat()).await.ok();
    assert_eq!(plain.trim(), r#"{"name":"Ada"}"#);
    let listed = planet.photon(&["data", "scan", "register", "--prefix", "users/"]).await.ok();
    assert!(listed.contains("users/7"), "{listed}");
}

async fn a_counter_adds_up_what_two_regions_add(planet: &Planet) {
    for (region, by) in [(HERE, "5"), (EUROPE, "40"), (ASIA, "-3")] {
        planet.photon(&["data", "incr", "counter", "hits", by, "--region", region]).await.ok();
    }
    for region in REGIONS {
        eventually(format!("{region} has the sum"), || async {
            let read = planet.photon(&["data", "get", "counter", "hits", "--region", region]).await;
            (read.stdout.trim() == "42").then_some(())
        })
        .await;
    }
}

async fn all_regions_hold_the_same(planet: &Planet) {
    let verified = planet.photon(&["dataset", "verify", "counter"]).await.ok();
    assert_eq!(verified.matches("same").count(), REGIONS.len(), "{verified}");
}

/// What was changed reaches every region, and all of them say so.
async fn replication_is_seen_from_all_sides(planet: &Planet) {
    let status = planet.photon(&["replication", "status"]).await.ok();
    assert!(status.contains(EUROPE) && status.contains("linked"), "{status}");
    let lag = ["replication", "lag", "--placement", "global"];
    eventually("every region has what every other one wrote", || async {
        let all = json_of(planet, &lag).await;
        let peers = all.as_array()?.iter().flat_map(|it| it["replication"]["peers"].as_array());
        let lags: Vec<&Value> = peers.flatten().map(|it| &it["lag_ms"]).collect();
        (lags.len() == 6 && lags.iter().all(|it| **it == json!(0))).then_some(())
    })
    .await;
    let matrix = planet.photon(&lag).await.ok();
    assert_eq!(matrix.lines().count(), 1 + REGIONS.len(), "{matrix}");
    let conflicts = json_of(planet, &["replication", "conflicts"]).await;
    assert!(conflicts.is_array(), "{conflicts}");

    let verified = json_of(planet, &["state", "verify"]).await;
    assert_eq!(verified["verdict"], "same", "{verified:#}");
    let datasets = ["counter", "document", "register"].map(Value::from);
    let compared = verified["regions"].as_array().expect("a list of what was compared");
    let names: Vec<&Value> = compared.iter().map(|it| &it["dataset"]).collect();
    assert!(names.chunks(REGIONS.len()).map(|it| it[0]).eq(&datasets), "{names:?}");
    planet.photon(&["data", "verify", "register"]).await.ok();
    planet.photon(&["data", "verify", "nowhere"]).await.refused(3, &["no dataset"]);
}

async fn regions_change_one_document_without_losing_a_member(planet: &Planet) {
    let put = ["data", "put", "document", "a", r#"{"by": {}}"#, "--consistency", "strong"];
    planet.photon(&put).await.ok();
    for region in REGIONS {
        let patch = json!({"by": {region: true}}).to_string();
        planet.photon(&["data", "patch", "document", "a", &patch, "--region", region]).await.ok();
    }
    let expected = json!({"by": {HERE: true, EUROPE: true, ASIA: true}});
    for region in REGIONS {
        eventually(format!("{region} has all members"), || async {
            let get = ["data", "get", "document", "a", "--region", region];
            (json_of(planet, &get).await["document"] == expected).then_some(())
        })
        .await;
    }
}

async fn elements_records_and_datasets_are_removed(planet: &Planet) {
    planet.photon(&["data", "add", "set", "tags", "red", "green", "7"]).await.ok();
    planet.photon(&["data", "rm", "set", "tags", "--element", "red"]).await.ok();
    let read = json_of(planet, &["data", "get", "set", "tags"]).await;
    assert_eq!(read["elements"], json!(["green", 7]));
    planet.photon(&["dataset", "rm", "set"]).await.refused(4, &["has records"]);
    planet.photon(&["data", "rm", "set", "tags"]).await.ok();
    planet.photon(&["dataset", "rm", "set"]).await.ok();
    let listed = planet.photon(&["dataset", "list"]).await.ok();
    assert!(listed.contains("counter") && !listed.contains("set "), "{listed}");
}

async fn what_is_refused_has_an_exit_code(planet: &Planet) {
    planet.photon(&["data", "get", "nowhere", "a"]).await.refused(3, &["no dataset"]);
    planet.photon(&["data", "get", "register", "absent"]).await.refused(3, &["no record"]);
    let put = ["data", "put", "register", "users/7", "1"];
    let tag = ["--if-match", "0000000000000000"];
    planet.photon(&[&put[..], &tag].concat()).await.refused(4, &["not what the write expects"]);
    planet.photon(&[&put[..], &["--if-absent"]].concat()).await.refused(4, &["expects"]);
    let patch = ["data", "patch", "register", "users/7", "{}"];
    planet.photon(&patch).await.refused(2, &["register"]);
    let bad = ["data", "get", "register", "users/7", "--session", "AQ"];
    planet.photon(&bad).await.refused(2, &["Photon-Session"]);
}
