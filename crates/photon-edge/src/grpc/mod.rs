//! Workers and topics over gRPC, as `proto/photon/v1/photon.proto` has them, on the port of all
//! others.
//! Must not decide anything: what is said here is what `/v1` is asked, in other words.

mod attach;
mod attached;
mod beats;
mod pb;
mod problem;
mod said;
mod topics;

use std::future::ready;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use futures_util::Stream;
use http_body_util::Full;
use prost::Message;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use tower::service_fn;

pub(crate) use self::attached::Attachments;
use crate::problem::Declined;
use crate::{Front, body};

/// Where the services lie.
pub(crate) const PREFIX: &str = "/photon.v1.";

/// What is told on and on.
type Told<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// Returns the routes of both services.
pub(crate) fn router() -> Router<Front> {
    Router::new()
        .route("/photon.v1.Workers/Attach", post(attach))
        .route("/photon.v1.Topics/Publish", post(publish))
        .route("/photon.v1.Topics/Follow", post(follow))
        .route("/photon.v1.Workers/{method}", post(unknown))
        .route("/photon.v1.Topics/{method}", post(unknown))
}

/// Answers what is no call of gRPC: a web page may send other types to any host without asking
/// first.
pub(crate) fn not_grpc(parts: &Parts) -> Option<Response> {
    let is_typed =
        body::essence(&parts.headers).is_some_and(|it| it.starts_with("application/grpc"));
    let help = "send `application/grpc` over HTTP/2";
    let refusal = || (StatusCode::UNSUPPORTED_MEDIA_TYPE, help).into_response();
    (!is_typed || parts.version != Version::HTTP_2).then(refusal)
}

/// Says that whoever sent what is no message is at fault: of its own accord the library says that
/// the region is. What the region says has details.
pub(crate) fn understood(mut response: Response) -> Response {
    let headers = response.headers_mut();
    let code = headers.get(Status::GRPC_STATUS).map(|it| Code::from_bytes(it.as_bytes()));
    if code == Some(Code::Internal) && !headers.contains_key(Status::GRPC_STATUS_DETAILS) {
        headers.insert(Status::GRPC_STATUS, HeaderValue::from(Code::InvalidArgument as i32));
    }
    response
}

async fn unknown(request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let unknown = || Status::unimplemented("the service has no such method").into_http();
    not_grpc(&parts).unwrap_or_else(unknown)
}

async fn attach(State(front): State<Front>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    if let Some(refusal) = not_grpc(&parts) {
        return refusal;
    }
    // What is somewhat too large is answered; what is much too large is not read.
    let max = front.limits().body_bytes_max;
    let mut grpc = wire(&front).max_decoding_message_size(max.saturating_mul(2));
    let service = service_fn(move |request| ready(attach::serve(&front, request)));
    grpc.streaming(service, Request::from_parts(parts, body)).await.map(Body::new)
}

async fn publish(State(front): State<Front>, request: Request) -> Response {
    let request = match whole(&front, request).await {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let mut grpc = wire(&front);
    let service = service_fn(move |request| topics::publish(front.clone(), request));
    understood(grpc.unary(service, request).await.map(Body::new))
}

async fn follow(State(front): State<Front>, request: Request) -> Response {
    let request = match whole(&front, request).await {
        Ok(request) => request,
        Err(refusal) => return *refusal,
    };
    let mut grpc = wire(&front);
    let service = service_fn(move |request| topics::follow(front.clone(), request));
    understood(grpc.server_streaming(service, request).await.map(Body::new))
}

/// Reads the one message of a call, which counts like the bodies of all others.
async fn whole(
    front: &Front,
    request: Request,
) -> Result<axum::http::Request<Full<bytes::Bytes>>, Box<Response>> {
    let (mut parts, body) = request.into_parts();
    if let Some(refusal) = not_grpc(&parts) {
        return Err(Box::new(refusal));
    }
    let held = match body::read(front, &parts.headers, body).await {
        Ok(held) => held,
        Err(err) => return Err(Box::new(Declined::from(err).status().into_http())),
    };
    let bytes = held.bytes();
    parts.extensions.insert(Arc::new(held));
    Ok(Request::from_parts(parts, Full::new(bytes)))
}

fn wire<T, U>(front: &Front) -> Grpc<ProstCodec<T, U>>
where
    T: Message + Send + 'static,
    U: Message + Default + Send + 'static,
{
    Grpc::new(ProstCodec::default())
        .max_decoding_message_size(front.limits().body_bytes_max)
        .max_encoding_message_size(usize::MAX)
}
