//! Topics over `/v1` against a real region: what clients publish and read, and what they hear.

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::{Request, Response};
use futures_util::{SinkExt, StreamExt};
use http_body_util::BodyExt;
use photon_edge::{Front, FrontLimits};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::region;

const MESSAGES: &str = "/v1/topics/agent-coordination/messages?placement=eu";

fn front() -> Front {
    region::front(Vec::new(), FrontLimits::default())
}

async fn send(front: &Front, request: Request<Body>) -> Response<Body> {
    photon_edge::router(front.clone()).oneshot(request).await.unwrap()
}

async fn call(front: &Front, method: &str, path: &str, body: Value) -> (u16, Value) {
    let builder = Request::builder().method(method).uri(path).header("accept", "application/json");
    let builder = builder.header("content-type", "application/json");
    let body = if body.is_null() { Body::empty() } else { body.to_string().into() };
    let response = send(front, builder.body(body).unwrap()).await;
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

async fn publish(front: &Front, id: &str, key: &str) -> Value {
    let message = json!({"id": id, "key": key, "data": {"says": id}});
    let (status, published) = call(front, "POST", MESSAGES, message).await;
    assert_eq!(status, 201, "{published}");
    published
}

fn ids(messages: &Value) -> Vec<&str> {
    messages["messages"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_is_published_is_read_in_order_from_wherever_a_client_was() {
    let front = front();
    for (id, key) in [("a", "x"), ("b", "y"), ("c", "x")] {
        publish(&front, id, key).await;
    }
    let (status, page) = call(&front, "GET", &format!("{MESSAGES}&limit=2"), Value::Null).await;
    assert_eq!((status, ids(&page)), (200, vec!["a", "b"]), "{page}");
    assert_eq!(page["messages"][0]["data"], json!({"says": "a"}));
    assert_eq!(
        (&page["first"], &page["last"], &page["gap"]),
        (&json!(1), &json!(3), &json!(false))
    );
    let next = page["next"].as_str().unwrap();
    for (query, expected) in [
        (format!("after={next}"), vec!["c"]),
        ("after=1".to_owned(), vec!["b", "c"]),
        ("key=x".to_owned(), vec!["a", "c"]),
        ("from=last".to_owned(), vec![]),
        ("since=2000-01-01T00:00:00Z".to_owned(), vec!["a", "b", "c"]),
        ("since=2100-01-01T00:00:00%2B02:00".to_owned(), vec![]),
    ] {
        let (_, page) = call(&front, "GET", &format!("{MESSAGES}&{query}"), Value::Null).await;
        assert_eq!(ids(&page), expected, "{query}: {page}");
    }
    let (_, topic) =
        call(&front, "GET", "/v1/topics/agent-coordination?placement=eu", Value::Null).await;
    assert_eq!((&topic["last"], &topic["placement"]), (&json!(3), &json!("eu")), "{topic}");
    let (_, all) = call(&front, "GET", "/v1/topics", Value::Null).await;
    assert_eq!(all["topics"][0], topic);
}

#[tokio::test]
async fn to_publish_twice_is_safe_and_to_forget_leaves_positions_as_they_are() {
    let front = front();
    let first = publish(&front, "a", "x").await;
    let same = json!({"id": "a", "key": "x", "data": {"says": "a"}});
    let (status, again) = call(&front, "POST", MESSAGES, same).await;
    assert_eq!((status, &again["repeated"]), (200, &json!(true)), "{again}");
    assert_eq!(again["cursor"], first["cursor"]);
    let other = json!({"id": "a", "data": 1});
    let (status, problem) = call(&front, "POST", MESSAGES, other).await;
    assert_eq!((status, &problem["type"]), (409, &json!("/problems/message-reused")), "{problem}");
    let (status, unnamed) = call(&front, "POST", MESSAGES, json!({"data": null})).await;
    assert_eq!((status, &unnamed["position"]), (201, &json!(2)), "{unnamed}");
    let (status, _) = call(&front, "DELETE", MESSAGES, Value::Null).await;
    assert_eq!(status, 204);
    assert_eq!(publish(&front, "c", "x").await["position"], 3);
    let (_, page) = call(&front, "GET", &format!("{MESSAGES}&after=1"), Value::Null).await;
    assert_eq!((ids(&page), &page["gap"]), (vec!["c"], &json!(true)), "{page}");
    let kept = json!({"retention_ms": 60_000});
    let (status, topic) =
        call(&front, "PUT", "/v1/topics/agent-coordination?placement=eu", kept).await;
    assert_eq!((status, &topic["retention_ms"]), (200, &json!(60_000)), "{topic}");
    assert_eq!(topic["retention_bytes"], 16 << 20);
}

#[tokio::test]
async fn a_stream_goes_on_after_the_last_message_that_was_heard() {
    let front = front();
    let mut cursors = Vec::new();
    for id in ["a", "b", "c"] {
        cursors.push(publish(&front, id, "x").await["cursor"].as_str().unwrap().to_owned());
    }
    let request = Request::get(MESSAGES).header("last-event-id", &cursors[1]).body(Body::empty());
    let response = send(&front, request.unwrap()).await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut body = response.into_body();
    let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
    let text = std::str::from_utf8(&frame).unwrap();
    let last = &cursors[2];
    let expected = format!(
        "id: {last}\nevent: message\ndata: {{\"position\":3,\"cursor\":\"{last}\",\"id\":\"c\""
    );
    assert!(text.starts_with(&expected), "{text}");
}

#[tokio::test]
async fn what_is_wrong_is_said() {
    let front = front();
    let large = json!({"data": "x".repeat(64 << 10)});
    let long = "x".repeat(129);
    for (method, path, body, status, kind, field) in [
        (
            "POST",
            "/v1/topics/Shout/messages",
            json!({"data": 1}),
            400,
            "invalid-parameter",
            "topic",
        ),
        ("POST", MESSAGES, json!({}), 422, "invalid-body", "body"),
        ("POST", MESSAGES, json!({"data": 1, "id": ""}), 422, "invalid-body", "id"),
        ("POST", MESSAGES, json!({"data": 1, "key": long}), 422, "invalid-body", "key"),
        ("POST", MESSAGES, json!({"data": 1, "ack": "all"}), 422, "invalid-body", "ack"),
        ("POST", MESSAGES, large, 413, "too-large", "data"),
        ("GET", "/v1/topics/t/messages?from=2", Value::Null, 400, "invalid-parameter", "from"),
        ("GET", "/v1/topics/t/messages?after=x", Value::Null, 400, "invalid-parameter", "after"),
        ("GET", "/v1/topics/t/messages?since=now", Value::Null, 400, "invalid-parameter", "since"),
        ("GET", "/v1/topics/t/messages?limit=0", Value::Null, 400, "invalid-parameter", "limit"),
        ("GET", "/v1/topics/t?placement=moon", Value::Null, 422, "no-such-placement", "placement"),
        (
            "GET",
            "/v1/topics/t/messages?placement=us",
            Value::Null,
            421,
            "outside-placement",
            "placement",
        ),
        (
            "POST",
            "/v1/topics/t/messages?placement=us",
            json!({"data": 1}),
            421,
            "outside-placement",
            "placement",
        ),
        ("PUT", "/v1/topics/t", json!({"retention_ms": 1}), 422, "invalid-body", "retention_ms"),
        (
            "PUT",
            "/v1/topics/t",
            json!({"retention_bytes": 1}),
            422,
            "invalid-body",
            "retention_bytes",
        ),
        ("DELETE", "/v1/topics/t/messages?upto=0", Value::Null, 400, "invalid-parameter", "upto"),
        ("GET", "/v1/topics/t/socket", Value::Null, 400, "invalid-parameter", "upgrade"),
    ] {
        let (found, problem) = call(&front, method, path, body).await;
        assert_eq!(found, status, "{method} {path}: {problem}");
        assert_eq!(problem["type"], format!("/problems/{kind}"), "{method} {path}: {problem}");
        assert_eq!(problem["field"], field, "{method} {path}: {problem}");
    }
    for (method, path) in [("GET", "/v1/topics/t"), ("DELETE", "/v1/topics/t/messages")] {
        let (status, problem) = call(&front, method, path, Value::Null).await;
        assert_eq!((status, &problem["type"]), (404, &json!("/problems/no-such-topic")));
    }
    let (status, none) = call(&front, "GET", "/v1/topics/t/messages", Value::Null).await;
    assert_eq!((status, &none["next"], &none["last"]), (200, &json!("0-0"), &json!(0)));
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn hear(socket: &mut Socket) -> Value {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Close(frame) => return json!({ "close": u16::from(frame.unwrap().code) }),
            Message::Ping(_) | Message::Pong(_) | Message::Binary(_) | Message::Frame(_) => {}
        }
    }
}

async fn open(address: SocketAddr, query: &str) -> Socket {
    let url = format!("ws://{address}/v1/topics/agent-coordination/socket?placement=eu&{query}");
    connect_async(url).await.unwrap().0
}

#[tokio::test]
async fn over_a_websocket_one_publishes_and_reads_until_the_door_closes() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let front = front();
    publish(&front, "a", "x").await;
    let served = photon_edge::serve(front.clone(), listener, stop.clone());
    #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
    let served = tokio::spawn(served);
    let mut socket = open(address, "after=0").await;
    assert_eq!(hear(&mut socket).await["message"]["id"], "a");
    for said in ["nonsense", "{\"id\":\"a\",\"data\":2}"] {
        socket.send(Message::text(said)).await.unwrap();
        let problem = hear(&mut socket).await["problem"]["type"].clone();
        assert!(problem.as_str().unwrap().starts_with("/problems/"), "{said}: {problem}");
    }
    socket.send(Message::text("{\"id\":\"b\",\"data\":[1]}")).await.unwrap();
    let mut heard = [hear(&mut socket).await, hear(&mut socket).await];
    heard.sort_by_key(|it| it.get("message").is_some());
    assert_eq!(heard[0]["published"]["position"], 2, "{heard:?}");
    assert_eq!(heard[1]["message"]["data"], json!([1]), "{heard:?}");
    stop.cancel();
    assert_eq!(hear(&mut socket).await, json!({"close": 1012}));
    drop(socket);
    served.await.unwrap();
}
