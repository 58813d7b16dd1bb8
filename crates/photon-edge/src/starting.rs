//! What clients hear while a region reads its log: it lives, and is not ready yet.
//! Must not wait for the region, nor know any route but that of life.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use photon_state::RegionId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::health::{Health, HealthStatus};
use crate::problem::{Kind, PROBLEM_JSON};
use crate::server::endure;

/// Most starts are over by then, so that clients are let wait.
const SILENT_FOR: Duration = Duration::from_secs(1);
/// Clients that are answered at the same time; beyond them connections are closed without a word.
const ANSWERS_MAX: usize = 256;
/// How long a client may take to ask, and to read the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// What is read of a request: its first line says enough.
const ASKED_BYTES_MAX: usize = 1 << 10;

/// Answers whoever asks before the region is ready, until it is dropped: 503, and on `/healthz`
/// that it lives.
pub async fn say_starting(listener: &TcpListener, region: RegionId, version: &str) -> Infallible {
    sleep(SILENT_FOR).await;
    let (alive, starting) = (alive(region, version), starting());
    let mut answers = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                while answers.try_join_next().is_some() {}
                if answers.len() < ANSWERS_MAX {
                    let (alive, starting) = (alive.clone(), starting.clone());
                    answers.spawn(timeout(ANSWER_TIMEOUT, answer(stream, alive, starting)));
                }
            }
            Err(err) => endure(&err).await,
        }
    }
}

/// Answers one request, and closes the connection.
async fn answer(mut stream: TcpStream, alive: String, starting: String) -> io::Result<()> {
    let mut asked = Vec::new();
    while asked.len() < ASKED_BYTES_MAX && !asked.contains(&b'\n') {
        if stream.read_buf(&mut asked).await? == 0 {
            return Ok(());
        }
    }
    let is_alive = asked.starts_with(b"GET /healthz");
    stream.write_all(if is_alive { alive } else { starting }.as_bytes()).await?;
    stream.shutdown().await?;
    // Closing with unread bytes would reset the connection and lose the answer.
    let mut unread = [0; 1024];
    while stream.read(&mut unread).await? != 0 {}
    Ok(())
}

fn alive(region: RegionId, version: &str) -> String {
    let (status, version) = (HealthStatus::Alive, version.to_owned());
    let health = Health { status, region: region.to_string(), version, warnings: Vec::new() };
    let body = serde_json::to_string(&health).expect("text can be written as json");
    reply("200 OK\r\ncontent-type: application/json", &body)
}

fn starting() -> String {
    let detail = "the region reads its log, and will be ready once it has; try again";
    let problem = Kind::Starting.problem(detail);
    let body = serde_json::to_string(&problem).expect("text and numbers can be written as json");
    let head = "503 Service Unavailable\r\nretry-after: 1\r\ncontent-type: ";
    reply(&format!("{head}{PROBLEM_JSON}"), &body)
}

fn reply(head: &str, body: &str) -> String {
    let len = body.len();
    format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {len}\r\n\r\n{body}")
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn check(request: &str, status: &str, says: &str) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let region = RegionId::try_from("eu-west-1").unwrap();
        let served = answer(accepted, alive(region, "1.2.3"), starting());
        let asked = async {
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            drop(stream);
            answer
        };
        let (served, answer) = tokio::join!(served, asked);
        served.unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        assert!(answer.contains(says), "{answer}");
    }

    #[tokio::test]
    async fn a_region_that_starts_lives_and_is_not_ready() {
        check("GET /healthz HTTP/1.1\r\n\r\n", "200", "\"alive\"").await;
        check("GET /readyz HTTP/1.1\r\n\r\n", "503", "/problems/starting").await;
        check("POST /v1/tasks HTTP/1.1\r\ncontent-length: 9\r\n\r\n", "503", "retry-after").await;
    }
}
