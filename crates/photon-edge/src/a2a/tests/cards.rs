//! What a client may count on about agent cards.
//! Must not look behind the wire.

use super::stories::check_rest;
use super::*;

#[tokio::test]
async fn a_card_has_the_addresses_of_the_region_that_was_asked() {
    let client = Client::new(&[]);
    let card = client.get("/agents/shout/.well-known/agent-card.json").await;
    let tag = card.headers["etag"].to_str().unwrap().to_owned();
    assert!(card.headers["cache-control"].to_str().unwrap().contains("max-age="));
    assert_eq!(card.headers["last-modified"], "Fri, 15 Jan 2027 08:00:00 GMT");
    let body = card.json();
    check_addresses(
        &body,
        "http://x.test:1/agents/shout",
        &json!({ "url": "x.test:1", "tenant": "shout" }),
    );
    assert_eq!((&body["version"], body.get("vendor")), (&json!("2.1.0"), None));
    let path = "/agents/shout/v0.3/.well-known/agent-card.json";
    let old = client.get(path).await.json();
    assert_eq!(old["url"], "http://x.test:1/agents/shout", "{old}");
    assert_eq!((&old["protocolVersion"], old.get("signatures")), (&json!("0.3.0"), None));
    let signature = &body["signatures"];
    assert!(signature.as_array().unwrap().len() == 1 && signature[0]["signature"] != "s");
    let keys = client.get("/.well-known/jwks.json").await.json();
    assert_eq!(keys["keys"][0]["alg"], "ES256", "{keys}");
    let path = "/agents/shout/.well-known/agent-card.json";
    let known = client.call("GET", path, &[("if-none-match", &tag)], Value::Null).await;
    assert_eq!((known.status, known.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    for path in ["/.well-known/agent-card.json", "/a2a/.well-known/agent-card.json"] {
        let body = client.get(path).await.json();
        check_addresses(&body, "http://x.test:1/a2a", &json!({ "url": "x.test:1" }));
        let skills = body["skills"].as_array().unwrap();
        let skills: Vec<_> = skills.iter().map(|it| it["description"].as_str().unwrap()).collect();
        assert_eq!(skills, ["The skill `text.loud`.", "To capitals."]);
    }
    let got = client.get("/agents/nobody/.well-known/agent-card.json").await;
    check_rest(&got, 404, "INVALID_PARAMS");
}

#[tokio::test]
async fn a_slash_at_the_end_of_an_address_changes_nothing() {
    for path in ["/a2a", "/a2a/", "/agents/shout", "/agents/shout/"] {
        let body = Client::new(&[]).rpc(path, "GetTask", json!({ "id": "x" })).await;
        assert_eq!(body["error"]["code"], -32001, "{path}: {body}");
    }
}

#[tokio::test]
async fn only_a_card_that_everybody_may_have_is_for_everybody_s_cache() {
    for (tokens, cache) in
        [(Vec::new(), "public, max-age=60"), (vec![TokenHash::of("x")], "private, max-age=60")]
    {
        let world = Mutex::new(World::new(&[], Limits::default()));
        let handle = Handle::from_fn(move |command| world.lock().unwrap().ask(command));
        let front = front(handle, tokens, FrontLimits::default());
        let client = Client(super::super::router().with_state(front));
        for path in ["", "/a2a", "/agents/shout"] {
            let got = client.get(&format!("{path}/.well-known/agent-card.json")).await;
            assert_eq!(got.headers["cache-control"], cache, "{path}: {got:?}");
        }
    }
}

#[tokio::test]
async fn a_stranger_learns_where_to_ask_and_not_what_for() {
    let world = Mutex::new(World::new(&[], Limits::default()));
    let handle = Handle::from_fn(move |command| world.lock().unwrap().ask(command));
    let url = Some("https://eu.example".to_owned());
    let front = front_at(url, handle, vec![TokenHash::of("x")], FrontLimits::default());
    let client = Client(super::super::router().with_state(front));
    let path = "/.well-known/agent-card.json";
    let card = client.get(path).await.json();
    check_addresses(&card, "https://eu.example/a2a", &json!({ "url": "eu.example:443" }));
    assert_eq!(card["skills"], json!([]), "{card}");
    let known = client.call("GET", path, &[("authorization", "Bearer x")], Value::Null).await;
    assert_eq!(known.json()["skills"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn the_extended_card_tells_those_who_may_ask_what_strangers_are_not_told() {
    let client = Client::new(&[]);
    for (path, public) in [
        ("/a2a", "/.well-known/agent-card.json"),
        ("/agents/shout", "/agents/shout/.well-known/agent-card.json"),
    ] {
        let card = client.get(public).await.json();
        assert_eq!(card["capabilities"]["extendedAgentCard"], true, "{card}");
        let extended = client.get(&format!("{path}/extendedAgentCard")).await.json();
        assert_eq!(extended, card, "without tokens there are no strangers");
        let extended = client.rpc(path, "GetExtendedAgentCard", json!({})).await;
        assert_eq!(extended["result"], card);
    }
}

#[tokio::test]
async fn an_agent_has_a_host_of_its_own() {
    let client = Client::new(&[]);
    let at = |host: &'static str| {
        let request = Request::builder().uri("/.well-known/agent-card.json").header("host", host);
        client.0.clone().oneshot(request.body(Body::empty()).unwrap())
    };
    for (host, name, grpc) in [
        ("shout.localhost:1", "Shout", json!({ "url": "shout.localhost:1" })),
        ("localhost:1", "Photon test", json!({ "url": "localhost:1" })),
        ("localhost.evil.test:1", "Photon test", json!({ "url": "localhost.evil.test:1" })),
    ] {
        let body = at(host).await.unwrap().into_body();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
        let card: Value = serde_json::from_slice(&body).unwrap();
        let path = if name == "Shout" { "agents/shout" } else { "a2a" };
        assert_eq!(card["name"], name, "{card}");
        check_addresses(&card, &format!("http://{host}/{path}"), &grpc);
    }
    let request = Request::builder().uri("/a2a/.well-known/agent-card.json");
    let request = request.header("host", "shout.localhost:1").body(Body::empty()).unwrap();
    let body = client.0.clone().oneshot(request).await.unwrap().into_body();
    let card = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let card: Value = serde_json::from_slice(&card).unwrap();
    let at_photon = json!({ "url": "localhost:1" });
    check_addresses(&card, "http://shout.localhost:1/a2a", &at_photon);
    assert_eq!(at("nobody.localhost:1").await.unwrap().status(), StatusCode::NOT_FOUND);
}

fn check_addresses(card: &Value, url: &str, grpc: &Value) {
    let binding =
        |name: &str| json!({ "url": url, "protocolBinding": name, "protocolVersion": "1.0" });
    let mut third = binding("GRPC");
    third.as_object_mut().unwrap().extend(grpc.as_object().unwrap().clone());
    let mut old = binding("JSONRPC");
    old["protocolVersion"] = json!("0.3");
    let expected = json!([binding("JSONRPC"), binding("HTTP+JSON"), third, old]);
    assert_eq!(card["supportedInterfaces"], expected, "{card}");
    assert_eq!(card["capabilities"]["streaming"], true, "{card}");
    assert_eq!(card["capabilities"]["pushNotifications"], true, "{card}");
    serde_json::from_value::<::a2a::AgentCard>(card.clone()).unwrap();
}
