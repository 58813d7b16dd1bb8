//! Topics over gRPC: one publishes, and reads on and on.
//! Must not hold messages back, nor gather them.

use futures_util::stream::{self, StreamExt as _};
use tonic::{Request, Response, Status};

use super::Told;
use super::pb::{
    Ack, FollowRequest, OfTopic, PublishRequest, Published, Start, TopicMessage, TopicSaid,
};
use crate::Front;
use crate::names::Invalid;
use crate::problem::{Declined, Stood};
use crate::v1::messages::{Reader, Wish};
use crate::v1::topics::Named;
use crate::v1::types::{self, PostMessage, Raw, TaskAck};

/// Publishes a message.
pub(super) async fn publish(
    front: Front,
    request: Request<PublishRequest>,
) -> Result<Response<Published>, Status> {
    let published = published(&front, request.into_inner()).await.map_err(Declined::status)?;
    let types::Published { id, position, cursor, repeated } = published;
    Ok(Response::new(Published { id, position, cursor, repeated }))
}

async fn published(front: &Front, asked: PublishRequest) -> Result<types::Published, Declined> {
    let named = Named::read(front, &asked.topic, given(&asked.placement))?;
    let data = serde_json::from_str::<Raw<_>>(&asked.data);
    let data = data.map_err(|err| Invalid::new("data", err.to_string()).problem(Stood::Inside))?;
    let ack = match Ack::try_from(asked.ack) {
        Ok(Ack::Region) => TaskAck::Region,
        Ok(Ack::Quorum) => TaskAck::Quorum,
        Err(_) => {
            return Err(Invalid::new("ack", "use `REGION` or `QUORUM`").problem(Stood::Inside));
        }
    };
    let (id, key) = (given(&asked.id), given(&asked.key));
    let (id, key) = (id.map(str::to_owned), key.map(str::to_owned));
    named.publish(front, PostMessage { id, key, data, ack: Some(ack) }).await
}

/// Reads a topic without an end.
pub(super) async fn follow(
    front: Front,
    request: Request<FollowRequest>,
) -> Result<Response<Told<TopicSaid>>, Status> {
    let told = told(front, &request.into_inner()).await.map_err(Declined::status)?;
    Ok(Response::new(told))
}

async fn told(front: Front, asked: &FollowRequest) -> Result<Told<TopicSaid>, Declined> {
    let named = Named::read(&front, &asked.topic, given(&asked.placement))?;
    let from = match Start::try_from(asked.start) {
        Ok(Start::First) => "first",
        Ok(Start::Last) => "last",
        Err(_) => {
            return Err(Invalid::new("start", "use `FIRST` or `LAST`").problem(Stood::Inside));
        }
    };
    let (after, since) = (given(&asked.after), given(&asked.since));
    let wish = Wish { from: Some(from), after, since, key: given(&asked.key) };
    let start = wish.read().map_err(|err| err.problem(Stood::Inside))?;
    let mut reader = Reader::new(front, named, start);
    let (first, slot) = reader.begin().await?;
    let rest = stream::unfold((reader, slot), |(mut reader, slot)| async move {
        let posts = reader.next().await?;
        Some((posts, (reader, slot)))
    });
    let all = stream::once(async { first }).chain(rest).flat_map(|posts| {
        let gap = posts.is_cut.then_some(OfTopic::Gap(posts.first));
        let all = posts.posts.iter().map(|it| OfTopic::Message(message(it)));
        let all: Vec<_> = gap.into_iter().chain(all).collect();
        stream::iter(all.into_iter().map(|said| Ok(TopicSaid { said: Some(said) })))
    });
    // The reader ends when the door closes, or the region cannot be asked.
    let end = stream::once(async { Err(Status::unavailable("go on after the last cursor")) });
    Ok(Box::pin(all.chain(end)))
}

fn message(posted: &photon_region::Posted) -> TopicMessage {
    let told = crate::v1::messages::encode(posted);
    TopicMessage {
        position: told.position,
        cursor: told.cursor,
        id: told.id,
        key: told.key.unwrap_or_default(),
        at: told.at,
        data: told.data.as_str().to_owned(),
    }
}

/// What is empty in Protocol Buffers was not given.
fn given(text: &str) -> Option<&str> {
    Some(text).filter(|it| !it.is_empty())
}
