//! Requests that are too large or too slow.
//! Must not send them through a client that keeps the rules.

use std::time::Duration;

use super::raw::Raw;
use crate::harness::{Region, RegionOptions, peak_memory_bytes};

/// What a region may grow by while it refuses bodies that are larger.
const GROWTH_BYTES_MAX: u64 = 48 << 20;

const BODY_BYTES: usize = 100 << 20;
static PIECE: [u8; 64 << 10] = [b'a'; 64 << 10];

/// Longer than a region waits for the head of a request, and for the first byte of a connection.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_100_mib_is_refused_early_and_takes_no_memory() {
    let region = Region::start(&RegionOptions::default()).await;
    region.api.lives_on().await;
    let before = peak_memory_bytes(region.process.pid());
    let head = "POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

    let mut told = Raw::connect(region.address()).await;
    told.say(format!("{head}content-length: {BODY_BYTES}\r\n\r\n").as_bytes()).await;
    // The answer comes before the body has been sent.
    told.hears("/problems/too-large").await;
    send_body(&mut told, |piece| piece.to_vec()).await;

    let mut untold = Raw::connect(region.address()).await;
    untold.say(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes()).await;
    send_body(&mut untold, |piece| {
        [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat()
    })
    .await;
    untold.hears("/problems/too-large").await;

    let growth = peak_memory_bytes(region.process.pid()) - before;
    assert!(growth < GROWTH_BYTES_MAX, "memory grew by {growth} bytes");
    region.api.lives_on().await;
}

/// Sends as much of a body of 100 MiB as the region takes.
async fn send_body(raw: &mut Raw, frame: impl Fn(&[u8]) -> Vec<u8>) {
    let piece = frame(&PIECE);
    for _ in 0..BODY_BYTES / PIECE.len() {
        if !raw.say(&piece).await {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn huge_headers_are_refused() {
    let region = Region::start(&RegionOptions::default()).await;
    let mut raw = Raw::connect(region.address()).await;
    let header = "a".repeat(200 << 10);
    raw.say(format!("GET /v1/tasks HTTP/1.1\r\nhost: localhost\r\nx-big: {header}").as_bytes())
        .await;
    raw.say(b"\r\n\r\n").await;
    raw.hears("HTTP/1.1 431 ").await;
    region.api.lives_on().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_is_too_slow_is_let_go() {
    let config = "[limits]\nrequest_timeout = \"1s\"".to_owned();
    let region = Region::start(&RegionOptions { config, ..RegionOptions::default() }).await;

    let mut body = Raw::connect(region.address()).await;
    body.say(
        b"POST /v1/tasks HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
          content-length: 100\r\n\r\n{\"sk",
    )
    .await;
    body.hears("/problems/body-timeout").await;

    let mut head = Raw::connect(region.address()).await;
    head.say(b"GET /v1/tasks HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await;
    let silent = Raw::connect(region.address()).await;
    let drip = Duration::from_millis(300);
    tokio::join!(head.sees_it_closed(drip, PATIENCE), silent.sees_it_closed(PATIENCE, PATIENCE));
    region.api.lives_on().await;
}
