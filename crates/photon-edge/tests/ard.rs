//! The catalog and the registry of ARD, in front of a real region.

use std::future::pending;

use axum::Router;
use axum::http::{HeaderValue, StatusCode};
use axum::routing::post;
use photon_edge::{ArdConfig, ArdEmbedder, ArdRegistry, FrontLimits, TokenHash};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::client::{Answer, Client};
use crate::region;

/// Registers agents: of weather, of flights, and one that says nothing of itself.
async fn client() -> Client {
    client_of(Client::new()).await
}

async fn client_of(client: Client) -> Client {
    let card = |name: &str, description: &str, skill: &str, examples: &[&str]| {
        json!({"skills": [skill], "capacity": 2, "card": {
            "name": name, "description": description, "version": "2.1.0",
            "skills": [{"id": skill, "name": skill, "description": description,
                "tags": ["outdoors"], "examples": examples}]}})
    };
    let weather = card(
        "Weather Desk",
        "Forecasts for any city",
        "weather.forecast",
        &["will it rain in Oslo tomorrow", "how windy is it in Chicago"],
    );
    let flights = card("Air Travel", "Books flights", "travel.book", &["a flight to Tokyo"]);
    for (name, agent) in [
        ("weather", weather),
        ("air", flights),
        ("mute", json!({"skills": ["text.upper", "text.lower"]})),
    ] {
        client.json("PUT", &format!("/v1/agents/{name}"), agent).await.ok();
    }
    client
}

async fn search(client: &Client, body: Value) -> Answer {
    client.json("POST", "/ard/search", body).await
}

fn names(answer: &Answer, of: &str) -> Vec<String> {
    let all = answer.body[of].as_array().unwrap().iter();
    all.map(|it| it["identifier"].as_str().unwrap().to_owned()).collect()
}

/// Expects the agents that a text finds, the best first.
async fn check(client: &Client, text: &str, expected: &[&str]) {
    let answer = search(client, json!({"query": {"text": text}})).await.ok();
    let expected: Vec<_> =
        expected.iter().map(|it| format!("urn:air:dev.localhost:agent:{it}")).collect();
    assert_eq!(names(&answer, "results"), expected, "{text}: {}", answer.body);
}

#[tokio::test]
async fn agents_are_found_by_what_one_would_ask_them() {
    let client = client().await;
    check(&client, "what will the weather be in Bergen tomorrow", &["weather"]).await;
    check(&client, "please find me an agent for booking a flight", &["air"]).await;
    check(&client, "uppercase a text", &["mute"]).await;
    check(&client, "text.lower", &["mute"]).await;
    check(&client, "compose a symphony", &[]).await;
    let found = search(&client, json!({"query": {"text": "rain"}})).await.ok();
    let entry = &found.body["results"][0];
    assert_eq!(entry["type"], "application/a2a-agent-card+json");
    assert!(
        entry["url"].as_str().unwrap().ends_with("/agents/weather/.well-known/agent-card.json")
    );
    assert_eq!(entry["capabilities"], json!(["weather.forecast"]));
    assert_eq!(entry["representativeQueries"][0], "will it rain in Oslo tomorrow");
    assert_eq!(
        (&entry["version"], &entry["metadata"]["status"]),
        (&json!("2.1.0"), &json!("online"))
    );
    assert!((1..=100).contains(&entry["score"].as_u64().unwrap()), "{entry}");
    assert!(entry["source"].as_str().unwrap().ends_with("/ard"), "{entry}");
}

/// Serves something on a free port of this machine, and returns its address.
async fn serve(routes: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    TaskTracker::new().spawn(async move { axum::serve(listener, routes).await });
    url
}

/// An embedder in this process that knows two directions, and is out of order for some words.
async fn embedder() -> ArdEmbedder {
    async fn embed(body: axum::Json<Value>) -> Result<axum::Json<Value>, StatusCode> {
        assert_eq!(body["model"], "two");
        let direction = |text: &Value| {
            let text = text.as_str().unwrap().to_lowercase();
            if text.contains("broken") {
                return None;
            }
            let is_weather = ["weather", "umbrella", "rain"].iter().any(|it| text.contains(it));
            Some(if is_weather { [0.9, 0.1] } else { [0.1, 0.9] })
        };
        let all = body["input"].as_array().unwrap().iter().enumerate();
        let all = all.map(|(at, it)| Some(json!({"index": at, "embedding": direction(it)?})));
        let all = all.collect::<Option<Vec<_>>>().ok_or(StatusCode::INTERNAL_SERVER_ERROR)?;
        Ok(axum::Json(json!({"data": all})))
    }
    let url = serve(Router::new().route("/v1/embeddings", post(embed))).await;
    let (url, model) = (format!("{url}/v1/").parse().unwrap(), "two".to_owned());
    ArdEmbedder { url, model, authorization: None, floor: 0.3 }
}

#[tokio::test]
async fn agents_are_found_by_what_is_meant() {
    let alone = ArdConfig::alone("dev.localhost");
    let ard = ArdConfig { embedder: Some(embedder().await), ..alone };
    let client = client_of(Client(region::front_with_registry(Vec::new(), ard))).await;
    let body = json!({"query": {"text": "do I have to take my umbrella"}});
    let mut found = Vec::new();
    // Vectors of texts come beside the searches.
    for _ in 0..1_000 {
        found = names(&search(&client, body.clone()).await.ok(), "results");
        if !found.is_empty() {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(found, ["urn:air:dev.localhost:agent:weather"]);
    // A message that names nobody goes the same way, but for what may not leave its placement.
    let send = async |placement: &str| {
        let metadata = json!({"urn:photon:a2a:routing:v1": {"dataClass": placement}});
        let message = json!({"messageId": "m", "role": "ROLE_USER", "metadata": metadata,
            "parts": [{"text": "do I have to take my umbrella"}]});
        let body = json!({"message": message, "configuration": {"returnImmediately": true}});
        client.json("POST", "/a2a/message:send", body).await
    };
    let sent = send("global").await.ok();
    assert!(sent.body["task"]["id"].is_string(), "{}", sent.body);
    for (placement, status, said) in [("eu", 400, "text of the message"), ("us", 421, "us-east-1")]
    {
        let refused = send(placement).await;
        assert_eq!(refused.status, status, "{}", refused.body);
        assert!(refused.body.to_string().contains(said), "{}", refused.body);
    }
    check(&client, "broken: book a flight", &["air"]).await;
}

#[tokio::test]
async fn what_is_changed_or_gone_is_no_longer_found_as_it_was() {
    let client = client().await;
    check(&client, "flight", &["air"]).await;
    let changed = json!({"skills": ["travel.trains"], "description": "Books trains"});
    client.json("PUT", "/v1/agents/air", changed).await.ok();
    check(&client, "flight", &[]).await;
    check(&client, "a train", &["air"]).await;
    client.send("DELETE", "/v1/agents/air", &[], "".into()).await.ok();
    check(&client, "a train", &[]).await;
}

#[tokio::test]
async fn filters_pages_and_facets_agree() {
    let client = client().await;
    let query = |filter: Value| json!({"text": "weather flight text forecasts", "filter": filter});
    for (filter, count) in [
        (json!({}), 3),
        (json!({"tags": "outdoors"}), 2),
        (json!({"tags": ["outdoors", "indoors"], "capabilities": ["travel.book"]}), 1),
        (json!({"publisher": ["dev.localhost"], "metadata.status": "online"}), 3),
        (json!({"type": ["application/mcp-server-card+json"]}), 0),
        (json!({"tags": []}), 0),
    ] {
        let body = json!({"query": query(filter.clone()), "federation": "none"});
        let found = search(&client, body).await.ok();
        assert_eq!(names(&found, "results").len(), count, "{filter}");
        let facets = json!({"query": query(filter.clone()),
            "resultType": {"facets": [{"field": "type"}]}});
        let facets = client.json("POST", "/ard/explore", facets).await.ok().body;
        let counted = facets["facets"]["type"]["buckets"][0]["count"].as_u64().unwrap_or(0);
        assert_eq!(counted, count as u64, "{filter}: {facets}");
    }
    let mut pages = Vec::new();
    let mut body = json!({"query": query(json!({})), "pageSize": 1});
    loop {
        let page = search(&client, body.clone()).await.ok();
        pages.extend(names(&page, "results"));
        let Some(token) = page.body.get("pageToken") else { break };
        body["pageToken"] = token.clone();
    }
    pages.sort();
    pages.dedup();
    assert_eq!(pages.len(), 3);
    let facets = json!({"resultType": {"facets": [{"field": "capabilities", "limit": 1},
        {"field": "tags", "minCount": 3}]}});
    let facets = client.json("POST", "/ard/explore", facets).await.ok().body;
    assert_eq!(facets["facets"]["capabilities"]["otherCount"], 3);
    assert_eq!(facets["facets"]["tags"], json!({"buckets": []}));
}

#[tokio::test]
async fn a_list_is_in_order_and_filtered() {
    let client = client().await;
    let list =
        async |query: &str| client.json("GET", &format!("/ard/agents{query}"), json!(null)).await;
    let short = |answer: &Answer| {
        let names = names(answer, "items").into_iter();
        names.map(|it| it.rsplit(':').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for (query, expected) in [
        ("", &["air", "mute", "weather"][..]),
        ("?orderBy=displayName", &["air", "weather", "mute"]),
        ("?orderBy=identifier%20DESC&pageSize=2", &["weather", "mute"]),
        ("?pageSize=2&pageToken=p2", &["weather"]),
        ("?filter=displayName%3D'air'", &["air"]),
        ("?filter=tags='outdoors'%20AND%20updatedAfter%3E'2020-01-01'", &["air", "weather"]),
        ("?filter=updatedAfter%3E'2120-01-01'", &[]),
    ] {
        let listed = list(query).await.ok();
        assert_eq!(short(&listed), expected, "{query}: {}", listed.body);
    }
    let odd = list("?orderBy=colour").await;
    assert_eq!((odd.status, &odd.body["errorCode"]), (400, &json!("INVALID_ARGUMENT")));
}

#[tokio::test]
async fn the_manifest_names_the_planet_and_its_agents_for_everybody_to_read() {
    let client = client().await;
    for path in ["/.well-known/ard.json", "/.well-known/ai-catalog.json"] {
        let manifest = client.send("GET", path, &[], "".into()).await.ok();
        assert_eq!(manifest.header("access-control-allow-origin"), "*");
        assert!(manifest.header("link").contains("rel=\"ard\""));
        assert_eq!(manifest.body["specVersion"], "1.0");
        assert_eq!(names(&manifest, "entries").len(), 6, "{}", manifest.body);
        for entry in manifest.body["entries"].as_array().unwrap() {
            let queries = entry["representativeQueries"].as_array().unwrap().len();
            assert!((2..=5).contains(&queries), "{entry}");
            assert_ne!(entry.get("url").is_some(), entry.get("data").is_some(), "{entry}");
            assert_ne!(entry["description"], "", "{entry}");
        }
        let tag = manifest.header("etag").to_owned();
        let again = client.send("GET", path, &[("if-none-match", &tag)], "".into()).await;
        assert_eq!((again.status, again.body), (304, Value::Null));
    }
    let robots = client.send("GET", "/robots.txt", &[], "".into()).await.ok();
    assert!(robots.body.as_str().unwrap().contains("Agentmap: http"), "{}", robots.body);
    let preflight = client.send("OPTIONS", "/ard/search", &[], "".into()).await;
    assert_eq!(preflight.status, 204);
    assert!(preflight.header("access-control-allow-methods").contains("POST"));
}

#[tokio::test]
async fn strangers_learn_where_to_ask_and_nothing_of_agents() {
    let tokens = vec![TokenHash::of("secret")];
    let client = Client(region::front(tokens, FrontLimits::default()));
    let known = [("authorization", "Bearer secret"), ("content-type", "application/json")];
    let agent = json!({"skills": ["text.upper"]}).to_string();
    client.send("PUT", "/v1/agents/mute", &known, agent.into()).await.ok();
    let path = "/.well-known/ard.json";
    let to_all = client.send("GET", path, &[], "".into()).await.ok();
    assert_eq!(names(&to_all, "entries").len(), 3, "{}", to_all.body);
    let to_known = client.send("GET", path, &known, "".into()).await.ok();
    assert_eq!(names(&to_known, "entries").len(), 4);
    assert_eq!(search(&client, json!({"query": {"text": "text"}})).await.status, 401);
    let preflight = client.send("OPTIONS", "/ard/search", &[], "".into()).await;
    assert_eq!(preflight.status, 204, "browsers send no token with it");
}

/// Serves another planet, whose regions have a token and whose agent books trains; returns the
/// address of its registry.
async fn other_planet() -> String {
    let tokens = vec![TokenHash::of("secret")];
    let front = region::front_with_registry(tokens, ArdConfig::alone("other.example"));
    let known = [("authorization", "Bearer secret"), ("content-type", "application/json")];
    let agent = json!({"skills": ["travel.trains"], "description": "Books trains"}).to_string();
    let client = Client(front);
    client.send("PUT", "/v1/agents/rail", &known, agent.into()).await.ok();
    format!("{}/ard", serve(photon_edge::router(client.0.clone())).await)
}

/// Makes a region that knows other registries, each with the token that it is given.
async fn client_with(registries: &[(&str, &str, Option<&'static str>)]) -> Client {
    let registry = |(name, url, token): &(&str, &str, Option<&'static str>)| ArdRegistry {
        name: (*name).to_owned(),
        url: url.parse().unwrap(),
        authorization: token.map(HeaderValue::from_static),
    };
    let registries = registries.iter().map(registry).collect();
    let ard = ArdConfig { registries, ..ArdConfig::alone("dev.localhost") };
    client_of(Client(region::front_with_registry(Vec::new(), ard))).await
}

/// What is asked of all, and what only this planet and what both find.
const TRAVEL: &str = "book a flight or trains";
const HERE: &[&str] = &["urn:air:dev.localhost:agent:air"];
const RAIL: &str = "urn:air:other.example:agent:rail";

#[tokio::test]
async fn another_planet_is_asked_along_by_who_has_its_token() {
    let url = other_planet().await;
    for (token, is_found) in
        [(Some("Bearer secret"), true), (Some("Bearer wrong"), false), (None, false)]
    {
        let client = client_with(&[("rail", &url, token)]).await;
        for _ in 0..2 {
            let found = search(&client, json!({"query": {"text": TRAVEL}})).await.ok();
            let found_names = names(&found, "results");
            assert!(found_names.contains(&HERE[0].to_owned()), "{token:?}: {found:?}");
            assert_eq!(found_names.contains(&RAIL.to_owned()), is_found, "{token:?}: {found:?}");
            assert_eq!(found.body.get("referrals"), None);
            let rail = found.body["results"].as_array().unwrap().iter();
            for rail in rail.filter(|it| it["identifier"] == RAIL) {
                assert_eq!(rail["source"], url.as_str());
                assert_eq!(rail["displayName"], "rail");
            }
        }
        let alone = json!({"query": {"text": TRAVEL}, "federation": "none"});
        assert_eq!(names(&search(&client, alone).await.ok(), "results"), HERE);
    }
}

#[tokio::test]
async fn clients_are_referred_to_other_planets_without_their_tokens() {
    let url = other_planet().await;
    let client = client_with(&[("rail", &url, Some("Bearer secret"))]).await;
    let referred = json!({"query": {"text": TRAVEL}, "federation": "referrals"});
    let referred = search(&client, referred).await.ok();
    assert_eq!(names(&referred, "results"), HERE);
    let [referral] = referred.body["referrals"].as_array().unwrap().as_slice() else {
        panic!("{referred:?}")
    };
    assert_eq!(referral["displayName"], "rail");
    assert_eq!(referral["type"], "application/ai-registry+json");
    assert_eq!(referral["url"], format!("{url}/search"));
    assert!(!referred.body.to_string().contains("secret"), "{referred:?}");
}

#[tokio::test]
async fn a_search_is_answered_without_registries_that_are_absent_or_odd() {
    let odd = serve(Router::new().route("/search", post(async || "{\"results\": 7}"))).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let absent = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let rail = other_planet().await;
    let rail = ("rail", rail.as_str(), Some("Bearer secret"));
    let client = client_with(&[("odd", &odd, None), ("absent", &absent, None), rail]).await;
    for _ in 0..2 {
        let found = search(&client, json!({"query": {"text": TRAVEL}})).await.ok();
        let mut found = names(&found, "results");
        found.sort();
        assert_eq!(found, [HERE[0], RAIL]);
    }
}

#[tokio::test]
async fn a_search_is_answered_without_a_registry_that_never_does() {
    let slow = serve(Router::new().route("/search", post(pending::<StatusCode>))).await;
    let client = client_with(&[("slow", &slow, None)]).await;
    let found = search(&client, json!({"query": {"text": TRAVEL}})).await.ok();
    assert_eq!(names(&found, "results"), HERE);
}
