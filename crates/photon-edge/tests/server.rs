//! The front door on real sockets: limits, refusals, and the way it closes.

use std::net::SocketAddr;
use std::time::Duration;

use photon_edge::FrontLimits;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::region;

struct Door {
    address: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<()>,
}

async fn open(limits: FrontLimits) -> Door {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let front = region::front(Vec::new(), limits);
    let served = photon_edge::serve(front, listener, stop.clone());
    #[expect(clippy::disallowed_methods, reason = "the test awaits it")]
    let served = tokio::spawn(served);
    Door { address, stop, served }
}

impl Door {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn close(self) {
        self.stop.cancel();
        self.served.await.unwrap();
    }
}

/// Reads until the peer closes.
async fn read_all(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    stream.read_to_end(&mut text).await.unwrap();
    String::from_utf8(text).unwrap()
}

/// Reads until the text contains `end`.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    let mut bytes = [0; 4096];
    while !text.contains(end) {
        let len = stream.read(&mut bytes).await.unwrap();
        assert_ne!(len, 0, "closed after: {text}");
        text.push_str(std::str::from_utf8(&bytes[..len]).unwrap());
    }
    text
}

/// Checks that a request is answered with a status line that begins so.
async fn check(door: &Door, request: &str, status: &str) -> String {
    let mut stream = door.connect().await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    answer
}

const ALIVE: &str = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
const ALIVE_AND_CLOSE: &str =
    "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

#[tokio::test]
async fn a_connection_too_many_is_told_so_and_the_next_is_served_once_there_is_room() {
    let door = open(FrontLimits { connections_max: 1, ..FrontLimits::default() }).await;
    let mut first = door.connect().await;
    first.write_all(ALIVE.as_bytes()).await.unwrap();
    read_until(&mut first, "alive").await;

    let answer = check(&door, ALIVE_AND_CLOSE, "503").await;
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("/problems/too-many-connections"), "{answer}");

    first.shutdown().await.unwrap();
    read_all(&mut first).await;
    // The place is free a moment after the client sees the end of its connection.
    loop {
        let mut stream = door.connect().await;
        stream.write_all(ALIVE_AND_CLOSE.as_bytes()).await.unwrap();
        if read_all(&mut stream).await.starts_with("HTTP/1.1 200") {
            break;
        }
    }
    door.close().await;
}

#[tokio::test]
async fn heads_and_bodies_that_are_too_large_are_refused() {
    let limits = FrontLimits { body_bytes_max: 1000, ..FrontLimits::default() };
    let door = open(limits).await;
    let head = format!("GET /healthz HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(40_000));
    check(&door, &head, "431").await;

    let mut stream = door.connect().await;
    let head = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 10000000\r\nconnection: close\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    // The client sends all of its body before it looks for an answer.
    for _ in 0..100 {
        stream.write_all(&[b' '; 100_000]).await.unwrap();
    }
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    check(&door, ALIVE_AND_CLOSE, "200").await;
    door.close().await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let limits =
        FrontLimits { request_timeout: Duration::from_millis(50), ..FrontLimits::default() };
    let door = open(limits).await;
    let head = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
        content-length: 10\r\nconnection: close\r\n\r\n{";
    let answer = check(&door, head, "408").await;
    assert!(answer.contains("/problems/body-timeout"), "{answer}");
    door.close().await;
}

#[tokio::test]
async fn a_door_that_closes_ends_streams_and_idle_connections() {
    let door = open(FrontLimits::default()).await;
    let mut idle = door.connect().await;
    idle.write_all(ALIVE.as_bytes()).await.unwrap();
    read_until(&mut idle, "alive").await;

    let post = |method: &str, path: &str, body: serde_json::Value| {
        let body = body.to_string();
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len(),
        )
    };
    check(&door, &post("PUT", "/v1/agents/a", json!({"skills": ["a"]})), "200").await;
    let task = post("POST", "/v1/tasks", json!({"skill": "a", "text": ""}));
    let answer = check(&door, &task, "201").await;
    let path = answer.split("location: ").nth(1).unwrap().split('\r').next().unwrap();
    let mut stream = door.connect().await;
    let follow = format!("GET {path}/events HTTP/1.1\r\nhost: localhost\r\n\r\n");
    stream.write_all(follow.as_bytes()).await.unwrap();
    let text = read_until(&mut stream, "event: submitted").await;
    assert!(text.contains("content-type: text/event-stream"), "{text}");

    door.close().await;
    assert_eq!(read_all(&mut idle).await, "");
    assert!(read_all(&mut stream).await.ends_with("0\r\n\r\n"));
}

#[tokio::test]
async fn http_2_is_spoken_on_the_same_port() {
    let door = open(FrontLimits::default()).await;
    let mut stream = door.connect().await;
    // The preface and an empty SETTINGS frame; the server answers with its own SETTINGS.
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut head = [0; 9];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[3], 4, "{head:?}");
    drop(stream);
    door.close().await;
}
