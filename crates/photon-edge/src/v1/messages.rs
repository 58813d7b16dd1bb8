//! Reading a topic: page by page, as a stream of server-sent events, or over a WebSocket.
//! Must not hold messages back, nor gather them: a reader has no buffer.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures_util::stream::{self, Stream, StreamExt};
use photon_region::{Command, Mark, Posted, Posts, Reply, Start, TopicCommand, TopicRead};
use serde::Deserialize;
use serde_json::json;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Always, Misdirected};
use super::events::KEEP_ALIVE;
use super::topics::{Named, cursor, read_cursor};
use super::types::{LIMIT_MAX, PostMessage, Raw, TopicMessage, TopicMessages, WAIT_MS_MAX};
use crate::body::{self, Params, Segment};
use crate::front::FollowerSlot;
use crate::names::{self, Invalid};
use crate::problem::{Declined, Kind, Stood};
use crate::time::rfc3339;
use crate::{Failure, Front};

/// How long one question waits before it is asked anew.
const WAIT: Duration = Duration::from_secs(20);
/// How long a client of a WebSocket may take to take what it is sent.
const SEND_WITHIN: Duration = Duration::from_secs(30);
/// How long a client has to hear that its WebSocket is closed.
const CLOSE_WITHIN: Duration = Duration::from_secs(2);
/// How many messages are read at once for a stream.
const AT_ONCE: usize = 100;

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default().routes(routes!(read))
}

/// Returns the route of WebSockets, which OpenAPI has no words for.
pub(super) fn socket_router() -> Router<Front> {
    Router::new().route("/v1/topics/{topic}/socket", axum::routing::get(socket))
}

/// Where to begin, what to read, and how long to wait.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ReadParams {
    /// The placement in which the topic lives; `global` when absent.
    #[param(required = false, pattern = "^[a-z][a-z0-9-]{0,62}$")]
    placement: Option<String>,
    /// From the `first` message that is kept, or only what comes after the `last`; `first` when
    /// absent.
    #[param(required = false, pattern = "^(first|last)$")]
    from: Option<String>,
    /// After a message: its cursor, or its position. Goes before `since` and `from`.
    #[param(
        required = false,
        pattern = "^(0|[1-9][0-9]{0,14}|(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,14}))$"
    )]
    after: Option<String>,
    /// From a time on (RFC 3339).
    #[param(required = false, format = DateTime)]
    since: Option<String>,
    /// Only messages of this key.
    #[param(required = false, pattern = "^[!-~]{1,128}$")]
    key: Option<String>,
    /// Of a long poll: how many messages at most; 100 when absent.
    #[param(value_type = u32, minimum = 1, maximum = 1_000, required = false)]
    limit: Option<String>,
    /// Of a long poll: how long to wait for a message, in milliseconds; 0 when absent.
    #[param(value_type = u32, minimum = 0, maximum = 30_000, required = false)]
    wait_ms: Option<String>,
}

/// Read a topic message by message.
///
/// With `accept: text/event-stream` (or none) it is a stream of server-sent events without an end:
/// `id` is the cursor, `event` is `message`, `data` a `TopicMessage`. An event `gap` says that
/// messages before the next one are kept no more. With `accept: application/json` it is a long
/// poll.
#[utoipa::path(
    get, path = "/v1/topics/{topic}/messages", tag = "topics", operation_id = "read_topic",
    params(
        ("topic" = String, Path, description = "The topic",
            pattern = "^[a-z][a-z0-9._-]{0,63}$", example = "agent-coordination"),
        ReadParams,
        ("Last-Event-ID" = Option<String>, Header, nullable = false,
            pattern = "^(0|[1-9][0-9]{0,14}|(0|[1-9][0-9]{0,8})-(0|[1-9][0-9]{0,14}))$",
            description = "The cursor of the last message that was heard; goes before `after`"),
    ),
    responses(
        (status = 200, description = "The messages", content(
            (TopicMessages = "application/json"),
            (String = "text/event-stream"),
        )),
        Always, Misdirected,
        (status = 422, description = "There is no such placement", body = super::types::Problem,
            content_type = "application/problem+json"),
    ),
)]
async fn read(
    State(front): State<Front>,
    Segment(topic): Segment,
    Params(params): Params<ReadParams>,
    headers: HeaderMap,
) -> Result<Response, Declined> {
    let named = Named::read(&front, &topic, params.placement.as_deref())?;
    let wanted = begin(&params, &headers).map_err(|err| err.problem(Stood::Outside))?;
    let mut reader = Reader::new(front, named, wanted.from);
    if body::wants_json(&headers, &["text/event-stream"]) {
        // Whoever does not wait takes nobody's place.
        let _slot = match wanted.wait.is_zero() {
            true => None,
            false => Some(reader.front.follower_slot()?),
        };
        let posts = reader.ask(wanted.limit, wanted.wait).await?.ok_or(Failure::Stopping)?;
        return Ok(Json(encode_all(&posts)).into_response());
    }
    let (first, slot) = reader.begin().await?;
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE).text("alive");
    Ok(Sse::new(frames(reader, first, slot)).keep_alive(keep_alive).into_response())
}

/// What a client wants to read.
struct Wanted {
    from: Begin,
    limit: usize,
    wait: Duration,
}

fn begin(params: &ReadParams, headers: &HeaderMap) -> Result<Wanted, Invalid> {
    let last_event_id = HeaderName::from_static("last-event-id");
    let heard = body::header(headers, &last_event_id)?.filter(|it| !it.is_empty());
    let heard = heard.map(|it| read_cursor(last_event_id.as_str(), it)).transpose()?;
    let ReadParams { from, after, since, key, .. } = params;
    let (from, after) = (from.as_deref(), after.as_deref());
    let wish = Wish { from, after, since: since.as_deref(), key: key.as_deref() };
    let mut from = wish.read()?;
    from.start = heard.map_or(from.start, Start::After);
    let limit = params.limit.as_deref();
    let limit = limit.map(|it| names::number("limit", it, 1..=LIMIT_MAX as u64)).transpose()?;
    let limit = limit.and_then(|it| usize::try_from(it).ok()).unwrap_or(AT_ONCE);
    let wait_ms = params.wait_ms.as_deref();
    let wait_ms = wait_ms.map(|it| names::number("wait_ms", it, 0..=WAIT_MS_MAX)).transpose()?;
    let wait = Duration::from_millis(wait_ms.unwrap_or(0));
    Ok(Wanted { from, limit, wait })
}

/// Where a client wants to begin, in its own words, and what to read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// From the `first` message that is kept, or only what comes after the `last`.
    pub(crate) from: Option<&'a str>,
    /// After a message: its cursor, or its position. Goes before `since` and `from`.
    pub(crate) after: Option<&'a str>,
    /// From a time on. Goes before `from`.
    pub(crate) since: Option<&'a str>,
    /// Only messages of this key.
    pub(crate) key: Option<&'a str>,
}

/// Where to begin, and what to read.
#[derive(Clone, Debug)]
pub(crate) struct Begin {
    start: Start,
    key: Option<Arc<str>>,
}

impl Wish<'_> {
    /// Checks it.
    pub(crate) fn read(self) -> Result<Begin, Invalid> {
        let after = self.after.map(|it| read_cursor("after", it)).transpose()?;
        let since = self.since.map(|it| names::moment("since", it)).transpose()?;
        let from = match self.from {
            None | Some("first") => Start::First,
            Some("last") => Start::Last,
            Some(_) => return Err(Invalid::new("from", "use `first` or `last`")),
        };
        let start = after.map(Start::After).or(since.map(Start::At)).unwrap_or(from);
        let key = self.key.map(|it| names::label("key", it)).transpose()?;
        Ok(Begin { start, key })
    }
}

/// A client that reads a topic on and on.
#[derive(Debug)]
pub(crate) struct Reader {
    front: Front,
    named: Named,
    start: Start,
    key: Option<Arc<str>>,
}

impl Reader {
    /// Makes a reader that has read nothing.
    pub(crate) fn new(front: Front, named: Named, from: Begin) -> Self {
        let Begin { start, key } = from;
        Self { front, named, start, key }
    }

    /// Reads what is there, and takes a place among those who follow.
    pub(crate) async fn begin(&mut self) -> Result<(Posts, FollowerSlot), Failure> {
        let first = self.ask(AT_ONCE, Duration::ZERO).await?.ok_or(Failure::Stopping)?;
        let slot = self.front.follower_slot()?;
        Ok((first, slot))
    }

    /// Reads the next messages within `wait`; nothing when the front door closes.
    async fn ask(&mut self, limit: usize, wait: Duration) -> Result<Option<Posts>, Failure> {
        let (placement, name) = (self.named.placement, self.named.name.clone());
        let (start, key) = (self.start, self.key.clone());
        let command = TopicCommand::Read(TopicRead { placement, name, start, key, limit, wait });
        let stopping = self.front.stopping().clone();
        let asking = self.front.submit_as_follower(Command::Topic(command));
        let Some(reply) = stopping.run_until_cancelled(asking).await else { return Ok(None) };
        let Reply::Posts(posts) = reply? else {
            unreachable!("the region answers `Read` with messages")
        };
        // What is wanted from a time on that is to come is not there yet.
        if !matches!(self.start, Start::At(_)) || !posts.posts.is_empty() {
            self.start = Start::After(posts.next);
        }
        Ok(Some(*posts))
    }

    /// Reads on; nothing when the front door closes, or the region cannot be asked.
    pub(crate) async fn next(&mut self) -> Option<Posts> {
        loop {
            match self.ask(AT_ONCE, WAIT).await {
                Ok(Some(posts)) if posts.posts.is_empty() && !posts.is_cut => {}
                Ok(posts) => return posts,
                // The client resumes after the last message that it heard, and learns why then.
                Err(err) => {
                    tracing::debug!(%err, "a stream of messages ends early");
                    return None;
                }
            }
        }
    }
}

fn frames(
    reader: Reader,
    first: Posts,
    slot: FollowerSlot,
) -> impl Stream<Item = Result<sse::Event, Infallible>> + Send {
    let rest = stream::unfold((reader, slot), |(mut reader, slot)| async move {
        let posts = reader.next().await?;
        Some((posts, (reader, slot)))
    });
    stream::once(async { first }).chain(rest).flat_map(|posts| {
        let gap = posts.is_cut.then(|| {
            let data = json!({ "first": posts.first }).to_string();
            sse::Event::default().event("gap").data(data)
        });
        let all: Vec<sse::Event> = posts.posts.iter().map(frame).collect();
        stream::iter(gap.into_iter().chain(all).map(Ok))
    })
}

fn frame(posted: &Posted) -> sse::Event {
    let data = serde_json::to_string(&encode(posted)).expect("our own types can be written");
    sse::Event::default().id(cursor(posted.mark)).event("message").data(data)
}

fn encode_all(posts: &Posts) -> TopicMessages {
    TopicMessages {
        messages: posts.posts.iter().map(encode).collect(),
        next: cursor(posts.next),
        first: posts.first,
        last: posts.last,
        gap: posts.is_cut,
    }
}

/// Returns a message as clients read it.
pub(crate) fn encode(posted: &Posted) -> TopicMessage {
    let Mark { generation: position, .. } = posted.mark;
    TopicMessage {
        position,
        cursor: cursor(posted.mark),
        id: posted.post.id.to_string(),
        key: posted.post.key.as_ref().map(ToString::to_string),
        at: rfc3339(posted.at),
        data: Raw::from_kept(&posted.post.data),
    }
}

/// Reads a topic and publishes to it over a WebSocket: texts, each one JSON.
async fn socket(
    State(front): State<Front>,
    Segment(topic): Segment,
    Params(params): Params<ReadParams>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Result<Response, Declined> {
    let named = Named::read(&front, &topic, params.placement.as_deref())?;
    let wanted = begin(&params, &headers).map_err(|err| err.problem(Stood::Outside))?;
    let upgrade = upgrade.map_err(|err| {
        Invalid::new("upgrade", format!("open a WebSocket: {err}")).problem(Stood::Outside)
    })?;
    let mut reader = Reader::new(front, named, wanted.from);
    let (first, slot) = reader.begin().await?;
    let max = reader.front.limits().body_bytes_max;
    let tasks = reader.front.tasks().clone();
    let upgrade = upgrade.max_message_size(max).max_frame_size(max);
    Ok(upgrade.on_upgrade(move |socket| async move {
        // It counts among what is awaited when the door closes.
        let stopping = reader.front.stopping().clone();
        let talking = talk(socket, reader, first, slot);
        let talking = tasks.spawn(async move {
            // Who does not listen is not waited for when the door closes.
            let too_late = async {
                stopping.cancelled().await;
                tokio::time::sleep(CLOSE_WITHIN).await;
            };
            tokio::select! {
                () = talking => {}
                () = too_late => {}
            }
        });
        if let Err(err) = talking.await {
            tracing::debug!(%err, "a WebSocket broke off");
        }
    }))
}

async fn talk(mut socket: WebSocket, mut reader: Reader, first: Posts, slot: FollowerSlot) {
    let (front, named) = (reader.front.clone(), reader.named.clone());
    let mut posts = Some(first);
    // Whether anything was heard since the client was asked whether it lives.
    let mut is_heard = true;
    let mut asks = tokio::time::interval(KEEP_ALIVE);
    while let Some(heard) = posts.take() {
        for text in texts(&heard) {
            if !send(&mut socket, Message::text(text)).await {
                return;
            }
        }
        // What comes first: a message of the topic, one of the client, or the time to ask.
        let next = reader.next();
        tokio::pin!(next);
        posts = loop {
            let answer = tokio::select! {
                posts = &mut next => break posts,
                _ = asks.tick() => {
                    if !std::mem::take(&mut is_heard) {
                        return;
                    }
                    Message::Ping(bytes::Bytes::new())
                }
                said = socket.recv() => {
                    is_heard = true;
                    let text = match said {
                        Some(Ok(Message::Text(text))) => text.as_bytes().to_vec(),
                        Some(Ok(Message::Binary(bytes))) => bytes.to_vec(),
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                        Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    };
                    Message::text(publish(&front, &named, &String::from_utf8_lossy(&text)).await)
                }
            };
            if !send(&mut socket, answer).await {
                return;
            }
        };
    }
    drop(slot);
    // The client resumes elsewhere, or later.
    let close = axum::extract::ws::CloseFrame { code: 1012, reason: "try again".into() };
    send(&mut socket, Message::Close(Some(close))).await;
}

/// Sends something; says whether the client took it in time.
async fn send(socket: &mut WebSocket, message: Message) -> bool {
    tokio::time::timeout(SEND_WITHIN, socket.send(message)).await.is_ok_and(|it| it.is_ok())
}

fn texts(posts: &Posts) -> Vec<String> {
    let gap = posts.is_cut.then(|| json!({ "gap": { "first": posts.first } }).to_string());
    let message = |it: &Posted| {
        let message = serde_json::to_string(&encode(it)).expect("our own types can be written");
        format!("{{\"message\":{message}}}")
    };
    gap.into_iter().chain(posts.posts.iter().map(message)).collect()
}

/// Publishes what a client says over a WebSocket; returns the answer.
async fn publish(front: &Front, named: &Named, text: &str) -> String {
    let message: Result<PostMessage, _> = serde_json::from_str(text);
    let message = match message {
        Ok(it) => it,
        Err(err) => {
            let problem = Kind::InvalidBody.problem(err.to_string());
            return json!({ "problem": problem }).to_string();
        }
    };
    match named.publish(front, message).await {
        Ok(published) => json!({ "published": published }).to_string(),
        Err(declined) => json!({ "problem": declined.0 }).to_string(),
    }
}
