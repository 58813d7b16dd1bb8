//! The socket by which `photon region`, `photon planet` and `photon drill` reach `photon up`.
//! Must not carry the orders out.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
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
const LINE_BYTES_MAX: u64 = 256 << 10;
/// What is said of an answer that makes no sense.
const STRANGE: &str = "the answer of `photon up` cannot be understood: is it another version?";
/// How long an order may take to arrive.
const ORDER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an order may take to be carried out.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// What a user wants done. Durations are in milliseconds; without one a fault stays until it is
/// healed by hand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "act", rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Order {
    /// End a region in good order.
    Stop { region: String },
    /// Let a region run again.
    Start { region: String },
    /// End a region as a power cut would, and start it again after a while.
    Kill { region: String, for_ms: Option<u64> },
    /// Let a region stand still.
    Stall { region: String, for_ms: Option<u64> },
    /// Let a region that stands still go on.
    Resume { region: String },
    /// Let bytes vanish.
    Cut { paths: Ways, for_ms: Option<u64> },
    /// Let bytes take longer.
    Slow { paths: Ways, by_ms: u64, for_ms: Option<u64> },
    /// Let the clock of a region be wrong.
    Clock { region: String, by_ms: i64, for_ms: Option<u64> },
    /// Let a region find no room on its disk.
    Fill { region: String, for_ms: Option<u64> },
    /// Open all paths that were cut or slowed.
    Mend,
    /// Tell how the planet is.
    Show,
}

/// Paths between regions: between one and all others, or between pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Ways {
    /// The region whose paths are meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) of: Option<String>,
    /// The pairs that are meant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) between: Vec<(String, String)>,
    /// Whether only the direction from the first of each is meant.
    #[serde(default)]
    pub(crate) one_way: bool,
}

/// How a planet is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shown {
    /// Its regions, in the order of their ports.
    pub(crate) regions: Vec<ShownRegion>,
    /// What is in force.
    pub(crate) faults: Vec<ShownFault>,
    /// Whether links pass a relay, so that they can be cut.
    pub(crate) has_relay: bool,
}

/// A region of a planet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShownRegion {
    /// Its name.
    pub(crate) name: String,
    /// Where its front door is.
    pub(crate) api: String,
    /// How it is: `up`, `starting`, `ending` or `down`.
    pub(crate) state: String,
    /// Where it keeps its state.
    pub(crate) folder: PathBuf,
}

/// A fault that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShownFault {
    /// Its kind, as `photon drill` names it.
    pub(crate) kind: String,
    /// What it is, in words.
    pub(crate) text: String,
    /// How long it has been in force.
    pub(crate) since_ms: u64,
    /// How long it will be; for ever if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left_ms: Option<u64>,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// It was carried out.
    Done(String),
    /// How the planet is.
    Shown(Shown),
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

/// Gives an order to the `photon up` that runs the planet in the folder; returns what it did.
pub(crate) async fn order(folder: &Folder, order: &Order) -> Result<String> {
    match ask(folder, order).await? {
        Answer::Done(text) => Ok(text),
        Answer::Shown(_) => Err(anyhow::anyhow!(STRANGE)),
        Answer::NotFound(text) => Err(NotFoundError(text).into()),
        Answer::Refused(text) => Err(RefusedError(text).into()),
        Answer::Failed(text) => Err(anyhow::anyhow!(text)),
    }
}

/// Asks the `photon up` that runs the planet in the folder how the planet is.
pub(crate) async fn show(folder: &Folder) -> Result<Shown> {
    match ask(folder, &Order::Show).await? {
        Answer::Shown(shown) => Ok(shown),
        Answer::Done(_) => Err(anyhow::anyhow!(STRANGE)),
        Answer::NotFound(text) | Answer::Refused(text) => Err(RefusedError(text).into()),
        Answer::Failed(text) => Err(anyhow::anyhow!(text)),
    }
}

async fn ask(folder: &Folder, order: &Order) -> Result<Answer> {
    let socket = folder.socket();
    let answer = timeout(ANSWER_TIMEOUT, exchange(&socket, order)).await;
    let text = answer.with_context(|| "`photon up` took too long to answer")??;
    serde_json::from_str(&text).context(STRANGE)
}

async fn exchange(socket: &Path, order: &Order) -> Result<String> {
    let stream = UnixStream::connect(socket).await.map_err(|error| {
        let folder = socket.parent().unwrap_or(socket).display();
        UnreachableError(format!(
            "no `photon up` runs a planet in `{folder}` ({error}); --data names another folder"
        ))
    })?;
    let (from, mut to) = stream.into_split();
    let mut text = serde_json::to_string(order)?;
    text.push('\n');
    to.write_all(text.as_bytes()).await?;
    let mut answer = String::new();
    BufReader::new(from.take(LINE_BYTES_MAX)).read_line(&mut answer).await?;
    Ok(answer)
}
