//! The socket by which `photon region stop`, `start` and `kill` reach `photon up`.
//! Must not carry the orders out.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use photon_state::RegionId;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Happening;
use super::folder::Folder;
use crate::exit::{NotFoundError, RefusedError, UnreachableError};

/// The most bytes of an order or an answer; a longer one is refused.
const LINE_BYTES_MAX: u64 = 16 << 10;
/// How long an order may take to arrive.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an order may take to be carried out.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What to do with a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Act {
    /// End it in good order.
    Stop,
    /// Let it run again.
    Start,
    /// End it as a power cut would.
    Kill,
}

/// What a user wants done.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// What to do.
    pub(crate) act: Act,
    /// With which region.
    pub(crate) region: String,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It was carried out.
    Done(String),
    /// There is no such region.
    NotFound(String),
    /// It does not fit the state of the region, or is no order.
    Refused(String),
    /// It was tried in vain.
    Failed(String),
}

/// An order, and the way back for its answer.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) order: Order,
    pub(super) answer: oneshot::Sender<Answer>,
}

/// Listens on the socket of the folder until `stop`, whose holder has the folder's lock.
pub(super) fn listen(
    folder: &Folder,
    happenings: mpsc::Sender<Happening>,
    tasks: &TaskTracker,
    stop: CancellationToken,
) -> Result<()> {
    let path = folder.socket();
    let shown = path.display();
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("failed to remove `{shown}`"));
        }
        _ => {}
    }
    let listener = UnixListener::bind(&path).with_context(|| {
        format!("failed to listen on `{shown}` (if the path is too long, choose another --data)")
    })?;
    let connections = tasks.clone();
    tasks.spawn(async move {
        let accepting = async {
            while let Ok((stream, _)) = listener.accept().await {
                let happenings = happenings.clone();
                let stop = stop.clone();
                connections.spawn(async move {
                    // Who hangs up does not wait for an answer.
                    let _ = stop.run_until_cancelled(serve(stream, happenings)).await;
                });
            }
        };
        stop.run_until_cancelled(accepting).await;
        let _ = fs::remove_file(&path);
    });
    Ok(())
}

async fn serve(stream: UnixStream, happenings: mpsc::Sender<Happening>) -> io::Result<()> {
    let (from, mut to) = stream.into_split();
    let mut line = String::new();
    let mut from = BufReader::new(from.take(LINE_BYTES_MAX));
    timeout(ORDER_TIMEOUT, from.read_line(&mut line)).await??;
    let answer = match serde_json::from_str::<Order>(&line) {
        Ok(order) => {
            let (sender, receiver) = oneshot::channel();
            let asked = Happening::Asked(Asked { order, answer: sender });
            let stopping = || Answer::Refused("the planet is stopping".to_owned());
            match happenings.send(asked).await {
                Ok(()) => receiver.await.unwrap_or_else(|_| stopping()),
                Err(_) => stopping(),
            }
        }
        Err(error) => Answer::Refused(format!("not an order: {error}")),
    };
    let mut text = serde_json::to_string(&answer).map_err(io::Error::other)?;
    text.push('\n');
    to.write_all(text.as_bytes()).await
}

/// Gives an order to the `photon up` that runs the planet in the folder.
pub(crate) async fn order(folder: &Folder, act: Act, region: RegionId) -> Result<String> {
    let socket = folder.socket();
    let answer = timeout(ANSWER_TIMEOUT, ask(&socket, act, region)).await;
    let text = answer.with_context(|| "`photon up` took too long to answer")??;
    let answer = serde_json::from_str(&text);
    match answer
        .context("the answer of `photon up` cannot be understood: is it another version?")?
    {
        Answer::Done(text) => Ok(text),
        Answer::NotFound(text) => Err(NotFoundError(text).into()),
        Answer::Refused(text) => Err(RefusedError(text).into()),
        Answer::Failed(text) => Err(anyhow::anyhow!(text)),
    }
}

async fn ask(socket: &Path, act: Act, region: RegionId) -> Result<String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| {
        let folder = socket.parent().unwrap_or(socket).display();
        UnreachableError(format!(
            "no `photon up` runs a planet in `{folder}` ({error}); --data names another folder"
        ))
    })?;
    let (from, mut to) = stream.into_split();
    let order = Order { act, region: region.to_string() };
    let mut text = serde_json::to_string(&order)?;
    text.push('\n');
    to.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(from.take(LINE_BYTES_MAX)).read_line(&mut answer).await?;
    Ok(answer)
}
