//! `/v1/topics`: what topics there are, how long they keep messages, and how one publishes.
//! Must not number messages.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use photon_region::{
    AtHome, Command, Json as Kept, Mark, Post, Reply, Retention, TopicAsk, TopicCommand, TopicName,
    TopicView, topic_id,
};
use photon_state::PlacementId;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::errors::{Absent, Always, Body, Conflict, Misdirected};
use super::regions::NoParams;
use super::tasks::ack;
use super::types::{
    PostMessage, Published, TOPIC_BYTES_MAX, TOPIC_BYTES_MIN, TOPIC_MS_MAX, TOPIC_MS_MIN, Topic,
    TopicPut, Topics,
};
use crate::body::{self, Params, Segment};
use crate::names::{self, Invalid};
use crate::problem::{Declined, Kind, Stood};
use crate::{Failure, Front};

pub(super) fn router() -> OpenApiRouter<Front> {
    OpenApiRouter::default()
        .routes(routes!(list))
        .routes(routes!(show, put))
        .routes(routes!(publish, purge))
}

/// Where the topic lives.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct TopicParams {
    /// The placement in which the topic lives; `global` when absent.
    #[param(required = false, pattern = "^[a-z][a-z0-9-]{0,62}$")]
    placement: Option<String>,
}

/// A topic that a request is about.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(super) placement: PlacementId,
    pub(super) name: TopicName,
}

impl Named {
    /// Reads which topic a request is about.
    pub(crate) fn read(
        front: &Front,
        name: &str,
        placement: Option<&str>,
    ) -> Result<Self, Declined> {
        let read = || -> Result<Self, Invalid> {
            let name = names::topic("topic", name)?;
            let placement = placement.map(|it| names::placement("placement", it)).transpose()?;
            let placement = placement.unwrap_or_else(PlacementId::global);
            Ok(Self { placement, name })
        };
        let named = read().map_err(|err| err.problem(Stood::Outside))?;
        if !front.planet().placements.contains_key(&named.placement) {
            let refusal = photon_region::Refusal::NoSuchPlacement(named.placement);
            return Err(Failure::from(refusal).into());
        }
        Ok(named)
    }

    fn ask(&self, ask: TopicAsk) -> Command {
        let topic = topic_id(self.placement, &self.name);
        Command::AtHome(AtHome::Topic { topic, name: self.name.clone(), ask: Box::new(ask) })
    }

    /// Publishes a message.
    pub(crate) async fn publish(
        &self,
        front: &Front,
        message: PostMessage,
    ) -> Result<Published, Declined> {
        let post = decode(&message).map_err(|err| err.problem(Stood::Inside))?;
        let (id, ack) = (post.id.to_string(), ack(message.ack));
        let reply = front.submit(self.ask(TopicAsk::Publish { post, ack })).await?;
        let Reply::Posted { mark, repeated } = reply else {
            unreachable!("the region answers `Publish` with a place")
        };
        Ok(Published { id, position: mark.generation, cursor: cursor(mark), repeated })
    }
}

/// Returns the text of a place.
pub(super) fn cursor(mark: Mark) -> String {
    format!("{}-{}", mark.epoch, mark.generation)
}

/// Reads a place: a position, or that with its epoch.
pub(super) fn read_cursor(field: &str, text: &str) -> Result<Mark, Invalid> {
    let (epoch, position) = text.split_once('-').unwrap_or(("0", text));
    let wrong =
        || Invalid::new(field, "use a cursor as it was told, such as `1-42`, or a position");
    let epoch = names::number(field, epoch, 0..=u32::MAX.into()).map_err(|_| wrong())?;
    let epoch = u32::try_from(epoch).map_err(|_| wrong())?;
    let generation = names::number(field, position, 0..=names::SAFE_MAX).map_err(|_| wrong())?;
    Ok(Mark { epoch, generation })
}

fn decode(message: &PostMessage) -> Result<Post, Invalid> {
    let label = |field, text: &Option<String>| {
        text.as_deref().map(|it| names::label(field, it)).transpose()
    };
    let id = label("id", &message.id)?;
    let id = id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string().into());
    let data = Kept(bytes::Bytes::copy_from_slice(message.data.as_str().as_bytes()));
    Ok(Post { id, key: label("key", &message.key)?, data })
}

/// List the topics that may be known in this region, by name.
#[utoipa::path(
    get, path = "/v1/topics", tag = "topics", operation_id = "list_topics",
    responses((status = 200, description = "The topics", body = Topics), Always),
)]
async fn list(State(front): State<Front>, _: Params<NoParams>) -> Result<Json<Topics>, Declined> {
    let topics = views(&front, TopicCommand::Show(None)).await?.iter().map(encode).collect();
    Ok(Json(Topics { topics }))
}

async fn views(front: &Front, command: TopicCommand) -> Result<Vec<TopicView>, Failure> {
    let Reply::Topics(all) = front.submit(Command::Topic(command)).await? else {
        unreachable!("the region answers `Show` with topics")
    };
    Ok(all)
}

async fn show_one(front: &Front, named: Named) -> Result<Json<Topic>, Declined> {
    let of = (named.placement, named.name.clone());
    let all = views(front, TopicCommand::Show(Some(of))).await?;
    let Some(view) = all.into_iter().next() else {
        let detail = format!("nothing was published to `{}` of `{}`", named.name, named.placement);
        return Err(Kind::NoSuchTopic.problem(detail).into());
    };
    Ok(Json(encode(&view)))
}

fn encode(view: &TopicView) -> Topic {
    Topic {
        name: view.name.to_string(),
        placement: view.placement.to_string(),
        home: view.home.to_string(),
        retention_ms: u64::try_from(view.retention.time.as_millis()).unwrap_or(u64::MAX),
        retention_bytes: view.retention.bytes,
        first: view.first,
        last: view.last,
        bytes: view.bytes,
    }
}

/// Show a topic.
#[utoipa::path(
    get, path = "/v1/topics/{topic}", tag = "topics", operation_id = "get_topic",
    params(("topic" = String, Path, description = "The topic",
        pattern = "^[a-z][a-z0-9._-]{0,63}$", example = "agent-coordination"), TopicParams),
    responses(
        (status = 200, description = "The topic", body = Topic),
        Always, Absent, Misdirected,
        (status = 422, description = "There is no such placement", body = super::types::Problem,
            content_type = "application/problem+json"),
    ),
)]
async fn show(
    State(front): State<Front>,
    Segment(topic): Segment,
    Params(params): Params<TopicParams>,
) -> Result<Json<Topic>, Declined> {
    let named = Named::read(&front, &topic, params.placement.as_deref())?;
    show_one(&front, named).await
}

/// Say for how long messages of a topic are kept.
///
/// A topic need not be made: it is there once something is published to it.
#[utoipa::path(
    put, path = "/v1/topics/{topic}", tag = "topics", operation_id = "put_topic",
    params(("topic" = String, Path, description = "The topic",
        pattern = "^[a-z][a-z0-9._-]{0,63}$", example = "agent-coordination"), TopicParams),
    request_body = TopicPut,
    responses(
        (status = 200, description = "The topic", body = Topic),
        Always, Body, Misdirected,
    ),
)]
async fn put(
    State(front): State<Front>,
    Segment(topic): Segment,
    Params(params): Params<TopicParams>,
    body::Json(put): body::Json<TopicPut>,
) -> Result<Json<Topic>, Declined> {
    let named = Named::read(&front, &topic, params.placement.as_deref())?;
    let retention = retention(&put).map_err(|err| err.problem(Stood::Inside))?;
    let (placement, name) = (named.placement, named.name.clone());
    let keep = Command::Topic(TopicCommand::Keep { placement, name, retention });
    front.submit(keep).await?;
    show_one(&front, named).await
}

fn retention(put: &TopicPut) -> Result<Retention, Invalid> {
    let usual = Retention::default();
    let within = |field: &str, given: Option<u64>, least: u64, most: u64| match given {
        Some(it) if !(least..=most).contains(&it) => {
            Err(Invalid::new(field, format!("use a whole number from {least} to {most}")))
        }
        given => Ok(given),
    };
    let time = within("retention_ms", put.retention_ms, TOPIC_MS_MIN, TOPIC_MS_MAX)?;
    let bytes = within("retention_bytes", put.retention_bytes, TOPIC_BYTES_MIN, TOPIC_BYTES_MAX)?;
    let time = time.map_or(usual.time, Duration::from_millis);
    Ok(Retention { time, bytes: bytes.unwrap_or(usual.bytes) })
}

/// Publish a message.
///
/// Its home, a region that follows from the topic's name, gives it the next position. To publish
/// it again under the same `id` is safe.
#[utoipa::path(
    post, path = "/v1/topics/{topic}/messages", tag = "topics", operation_id = "publish",
    params(("topic" = String, Path, description = "The topic",
        pattern = "^[a-z][a-z0-9._-]{0,63}$", example = "agent-coordination"), TopicParams),
    request_body = PostMessage,
    responses(
        (status = 200, description = "It was there before", body = Published),
        (status = 201, description = "It is published", body = Published),
        Always, Body, Conflict, Misdirected,
    ),
)]
async fn publish(
    State(front): State<Front>,
    Segment(topic): Segment,
    Params(params): Params<TopicParams>,
    body::Json(message): body::Json<PostMessage>,
) -> Result<Response, Declined> {
    let named = Named::read(&front, &topic, params.placement.as_deref())?;
    let published = named.publish(&front, message).await?;
    let status = if published.repeated { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(published)).into_response())
}

/// Where the topic lives, and what of it is forgotten.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct PurgeParams {
    /// The placement in which the topic lives; `global` when absent.
    #[param(required = false, pattern = "^[a-z][a-z0-9-]{0,62}$")]
    placement: Option<String>,
    /// The position of the last message that is forgotten; the last of all when absent.
    #[param(value_type = u64, minimum = 1, maximum = 9_007_199_254_740_991_i64, required = false)]
    upto: Option<String>,
}

/// Forget the messages of a topic, in all regions, up to one of them.
///
/// Positions go on where they were.
#[utoipa::path(
    delete, path = "/v1/topics/{topic}/messages", tag = "topics", operation_id = "purge_topic",
    params(("topic" = String, Path, description = "The topic",
        pattern = "^[a-z][a-z0-9._-]{0,63}$", example = "agent-coordination"), PurgeParams),
    responses(
        (status = 204, description = "They are forgotten"),
        Always, Absent, Misdirected,
        (status = 422, description = "There is no such placement", body = super::types::Problem,
            content_type = "application/problem+json"),
    ),
)]
async fn purge(
    State(front): State<Front>,
    Segment(topic): Segment,
    Params(params): Params<PurgeParams>,
) -> Result<StatusCode, Declined> {
    let named = Named::read(&front, &topic, params.placement.as_deref())?;
    let upto = params.upto.as_deref();
    let upto = upto.map(|it| names::number("upto", it, 1..=names::SAFE_MAX)).transpose();
    let upto = upto.map_err(|err| err.problem(Stood::Outside))?;
    let Json(topic) = show_one(&front, named.clone()).await?;
    let upto = upto.unwrap_or(topic.last);
    front.submit(named.ask(TopicAsk::Purge { upto })).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_told() {
        for mark in [Mark { epoch: 0, generation: 0 }, Mark { epoch: 7, generation: 300 }] {
            assert_eq!(read_cursor("after", &cursor(mark)), Ok(mark));
        }
        assert_eq!(read_cursor("after", "42"), Ok(Mark { epoch: 0, generation: 42 }));
        for bad in ["", "-", "1-", "-1", "a-1", "1-2-3", "01-1", "4294967296-1", "1-1e3"] {
            assert!(read_cursor("after", bad).is_err(), "{bad}");
        }
    }
}
