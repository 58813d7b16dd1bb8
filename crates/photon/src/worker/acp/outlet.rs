//! Where the answer of an agent goes while it is given: in pieces that are few, soon and whole.
//! Must not know who takes them.

use photon_edge::v1::types::Part;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::super::command::Begun;
use super::super::program::{BATCH_WAIT, Piece};
use super::super::stream::{Chunker, Rest};
use super::prompt::part;
use super::wire::Chunk;

/// Stands between two messages of an agent.
const BETWEEN: &str = "\n\n";

/// Takes an answer in.
#[derive(Debug)]
pub(super) struct Outlet {
    chunker: Chunker,
    due: Option<Instant>,
    /// Whether something was passed on, in this attempt or before the task was paused.
    pub(super) begun: Begun,
    /// Which message of the agent it is in.
    message: Option<String>,
    pieces: mpsc::Sender<Piece>,
    /// Cancelled when nobody wants the answer.
    stop: CancellationToken,
}

impl Outlet {
    pub(super) fn new(pieces: mpsc::Sender<Piece>, begun: Begun, stop: CancellationToken) -> Self {
        let (chunker, due, message) = (Chunker::default(), None, None);
        Self { chunker, due, begun, message, pieces, stop }
    }

    /// Takes a piece of an answer in.
    pub(super) async fn push(&mut self, chunk: Chunk) {
        let Some(part) = part(chunk.content) else { return };
        let is_other = self.message.is_some() && chunk.message_id.is_some();
        let is_other = is_other && self.message != chunk.message_id;
        self.message = chunk.message_id.or(self.message.take());
        let is_plain = part.filename.is_none() && part.media_type.is_none();
        match &part.text {
            Some(text) if is_plain => {
                if is_other {
                    self.chunker.push(BETWEEN.as_bytes());
                }
                self.chunker.push(text.as_bytes());
                self.due = self.due.or_else(|| Some(Instant::now() + BATCH_WAIT));
                if self.chunker.is_full() {
                    self.flush().await;
                }
            }
            Some(_) | None => {
                self.flush().await;
                self.send(part, End::No).await;
            }
        }
    }

    /// Waits until something is to be passed on.
    pub(super) async fn is_due(&self) {
        match self.due {
            Some(due) => sleep_until(due).await,
            None => std::future::pending().await,
        }
    }

    /// Passes on what there is.
    pub(super) async fn flush(&mut self) {
        self.due = None;
        while let Some(part) = self.chunker.next_part(Rest::None) {
            self.send(part, End::No).await;
        }
    }

    /// Takes back what was passed on before the beginning.
    pub(super) async fn clear(&mut self) {
        self.send(Part::text(""), End::No).await;
    }

    /// Passes on the rest.
    pub(super) async fn finish(&mut self) {
        let mut last = self.chunker.next_part(Rest::None);
        if last.is_none() && self.begun == Begun::Has {
            last = Some(Part::text(""));
        }
        while let Some(part) = last {
            last = self.chunker.next_part(Rest::None);
            let end = if last.is_none() { End::Yes } else { End::No };
            self.send(part, end).await;
        }
    }

    async fn send(&mut self, part: Part, end: End) {
        self.begun = Begun::Has;
        let piece = Piece { part, is_last: end == End::Yes };
        // Nobody takes it if the region does not want it.
        let _ = self.stop.run_until_cancelled(self.pieces.send(piece)).await;
    }
}

/// Whether it is the last piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Yes,
    No,
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    async fn check(chunks: &[Value], begun: Begun, expected: &[(Value, bool)]) {
        let (sender, mut receiver) = mpsc::channel(64);
        let mut outlet = Outlet::new(sender, begun, CancellationToken::new());
        for chunk in chunks {
            outlet.push(serde_json::from_value(chunk.clone()).unwrap()).await;
        }
        outlet.finish().await;
        drop(outlet);
        let mut told = Vec::new();
        while let Some(Piece { part, is_last }) = receiver.recv().await {
            told.push((serde_json::to_value(part).unwrap(), is_last));
        }
        assert_eq!(told, expected);
    }

    fn text(text: &str, message: Option<&str>) -> Value {
        json!({"content": {"type": "text", "text": text}, "messageId": message})
    }

    #[tokio::test]
    async fn text_is_put_together_and_other_things_stand_between() {
        check(&[], Begun::Not, &[]).await;
        check(&[], Begun::Has, &[(json!({"text": ""}), true)]).await;
        let hello = [text("hel", None), text("lo", None)];
        check(&hello, Begun::Not, &[(json!({"text": "hello"}), true)]).await;
        let image = json!({"content": {"type": "image", "data": "/w==", "mimeType": "image/png"}});
        let whole = json!({"raw": "/w==", "mediaType": "image/png"});
        let told = [(json!({"text": "hel"}), false), (whole, false), (json!({"text": "lo"}), true)];
        check(&[text("hel", None), image, text("lo", None)], Begun::Not, &told).await;
    }

    #[tokio::test]
    async fn messages_of_their_own_stand_apart() {
        let said = [text("a", Some("1")), text("b", Some("1")), text("c", Some("2"))];
        check(&said, Begun::Not, &[(json!({"text": "ab\n\nc"}), true)]).await;
        let said = [text("a", Some("1")), text("b", None)];
        check(&said, Begun::Not, &[(json!({"text": "ab"}), true)]).await;
    }
}
