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
    check_addresses(&body, "http://x.test:1/agents/shout");
    assert_eq!((&body["version"], &body["vendor"]["kept"]), (&json!("2.1.0"), &json!(true)));
    assert_eq!((body.get("signatures"), body.get("url")), (None, None), "{body}");
    let path = "/agents/shout/.well-known/agent-card.json";
    let known = client.call("GET", path, &[("if-none-match", &tag)], Value::Null).await;
    assert_eq!((known.status, known.body.as_str()), (StatusCode::NOT_MODIFIED, ""));
    for path in ["/.well-known/agent-card.json", "/a2a/.well-known/agent-card.json"] {
        let body = client.get(path).await.json();
        check_addresses(&body, "http://x.test:1/a2a");
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
    check_addresses(&card, "https://eu.example/a2a");
    assert_eq!(card["skills"], json!([]), "{card}");
    let known = client.call("GET", path, &[("authorization", "Bearer x")], Value::Null).await;
    assert_eq!(known.json()["skills"].as_array().unwrap().len(), 2);
}

fn check_addresses(card: &Value, url: &str) {
    let binding =
        |name: &str| json!({ "url": url, "protocolBinding": name, "protocolVersion": "1.0" });
    let expected = json!([binding("JSONRPC"), binding("HTTP+JSON")]);
    assert_eq!(card["supportedInterfaces"], expected, "{card}");
    assert_eq!(card["capabilities"]["streaming"], true, "{card}");
    assert_eq!(card["capabilities"]["pushNotifications"], false, "{card}");
    serde_json::from_value::<::a2a::AgentCard>(card.clone()).unwrap();
}
