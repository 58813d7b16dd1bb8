//! Workers that are too late, and strangers.
//! Must not wait for real silence: the configuration makes leases short.

use serde_json::json;

use crate::harness::{Api, Process, Region, RegionOptions, SOON, eventually, photon, run, text};

const SHORT: &str = "[tasks]\nlease_ttl = \"300ms\"\npickup_ttl = \"300ms\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_was_silent_for_too_long_is_refused_from_then_on() {
    let config = SHORT.to_owned();
    let region = Region::start(&RegionOptions { config, ..RegionOptions::default() }).await;
    let api = &region.api;
    api.register("shout", "text.upper").await;
    let task = json!({"agent": "shout", "text": "hello"});
    let id = api.post("/v1/tasks", &task).await.ok()["id"].clone();
    let late = api.lease("shout").await;
    api.heartbeat(&late).await.ok();
    let current = eventually("the lease lapses and is given anew", || async {
        let lease = api.lease("shout").await;
        (lease["attempt"] != late["attempt"]).then_some(lease)
    })
    .await;
    assert_eq!((&late["task"], &current["task"]), (&id, &id));
    assert_eq!(api.heartbeat(&late).await.refused(409, "stale-token")["task"], id);
    api.complete(&late).await.refused(409, "stale-token");
    api.complete(&current).await.ok();
    assert_eq!(api.complete(&current).await.ok()["state"], "completed", "said twice, done once");
    let refused = api.complete(&late).await;
    assert_eq!(refused.status, 409, "{refused:#?}");
    api.lives_on().await;
}

/// Starts a region that wants a token; returns the token, too.
async fn guarded_region() -> (Region, String) {
    let made = run(photon(&["token", "new", "--output", "json"]), SOON).await.json();
    let config = format!("[listen]\ntokens = [\"{}\"]", text(&made["hash"]));
    let region = Region::start(&RegionOptions { config, ..RegionOptions::default() }).await;
    (region, text(&made["token"]).to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_token_nobody_comes_in_and_with_it_all_is_as_ever() {
    let (region, token) = guarded_region().await;
    let token = token.as_str();
    for path in ["/v1/tasks", "/v1/openapi.json", "/metrics", "/nothing"] {
        let refused = region.api.get(path).await;
        assert_eq!(refused.headers["www-authenticate"], "Bearer realm=\"photon\"");
        refused.refused(401, "unauthorized");
        let wrong = region.api.request(reqwest::Method::GET, path).bearer_auth("photon_0000");
        Api::send(wrong).await.refused(401, "unauthorized");
    }
    region.api.get("/healthz").await.ok();
    region.api.as_bearer(token).lives_on().await;
    let url = region.api.base();
    run(photon(&["--url", url, "task", "ls"]), SOON).await.refused(4, &["PHOTON_TOKEN"]);
    run(photon(&["--url", url, "--token", token, "task", "ls"]), SOON).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_is_not_told_the_token_that_its_agent_needs() {
    let (region, token) = guarded_region().await;
    let token = token.as_str();
    let (api, url) = (region.api.as_bearer(token), region.api.base());
    let program = ["--", "sh", "-c", "echo token: ${PHOTON_TOKEN-none}"];
    let args = ["--url", url, "agent", "run", "--name", "show", "--skill", "show.token"];
    let mut agent = photon(&[&args[..], &program].concat());
    agent.env("PHOTON_TOKEN", token);
    let _agent = Process::start("agent show", agent);
    eventually("the agent is there", || async {
        (api.get("/v1/agents/show").await.status == 200).then_some(())
    })
    .await;
    let send = ["--url", url, "--token", token, "send", "--skill", "show.token", "x", "--follow"];
    let printed = run(photon(&send), SOON).await.ok();
    assert!(printed.contains("token: none"), "{printed}");
}
