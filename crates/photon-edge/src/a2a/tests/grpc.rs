//! What a client of gRPC may count on, by the client that the protocol's definition gives.
//! Must not look behind the wire.

use a2a_pb::a2a_service_client::A2aServiceClient;
use a2a_pb::send_message_response::Payload;
use a2a_pb::stream_response::Payload as Said;
use a2a_pb::{self as pb, Role, TaskState};
use axum::http::Uri;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::Step::{Ask, Begin, Claim, Go};
use super::stories::SHOUT;
use super::*;

impl Client {
    fn grpc(&self) -> A2aServiceClient<Router> {
        A2aServiceClient::with_origin(self.0.clone(), Uri::from_static("http://localhost:1"))
    }
}

fn request(text: &str) -> pb::SendMessageRequest {
    let part = pb::Part { content: Some(pb::part::Content::Text(text.into())), ..blank() };
    let message = pb::Message {
        message_id: "m-1".into(),
        context_id: "c-1".into(),
        role: Role::User.into(),
        parts: vec![part],
        ..blank()
    };
    pb::SendMessageRequest { tenant: "shout".into(), message: Some(message), ..blank() }
}

fn blank<T: Default>() -> T {
    T::default()
}

fn task(response: tonic::Response<pb::SendMessageResponse>) -> pb::Task {
    match response.into_inner().payload {
        Some(Payload::Task(task)) => task,
        other => panic!("{other:?}"),
    }
}

fn state(task: &pb::Task) -> TaskState {
    task.status.as_ref().unwrap().state()
}

fn get(id: &str) -> pb::GetTaskRequest {
    pb::GetTaskRequest { id: id.into(), ..blank() }
}

#[tokio::test]
async fn a_message_is_answered_with_the_finished_task() {
    let client = Client::new(SHOUT);
    let done = task(client.grpc().send_message(request("hello")).await.unwrap());
    assert_eq!((state(&done), &*done.context_id), (TaskState::Completed, "c-1"));
    assert_eq!(done.artifacts[0].parts.len(), 2, "{done:?}");
    // Through Photon's own address, too, since no two tasks have one name.
    let again = client.grpc().get_task(get(&done.id)).await.unwrap().into_inner();
    assert_eq!(again, done);
    let of_agent = pb::ListTasksRequest { tenant: "shout".into(), ..blank() };
    let listed = client.grpc().list_tasks(of_agent).await.unwrap().into_inner();
    assert_eq!((listed.total_size, &listed.tasks[0].id), (1, &done.id));
}

#[tokio::test]
async fn a_stream_tells_of_each_step() {
    let client = Client::new(SHOUT);
    let mut stream =
        client.grpc().send_streaming_message(request("hello")).await.unwrap().into_inner();
    let mut said = Vec::new();
    while let Some(next) = stream.message().await.unwrap() {
        said.push(match next.payload.unwrap() {
            Said::Task(_) => "task".to_owned(),
            Said::StatusUpdate(it) => format!("{:?}", it.status.unwrap().state()),
            Said::ArtifactUpdate(it) => format!("append {}", it.append),
            Said::Message(it) => panic!("{it:?}"),
        });
    }
    assert_eq!(said.first().map(String::as_str), Some("task"), "{said:?}");
    assert!(said.ends_with(&["append false".into(), "append true".into(), "Completed".into()]));
}

#[tokio::test]
async fn a_task_goes_on_once_its_question_is_answered_and_can_be_canceled() {
    let script = [Claim, Begin("IN "), Ask("?"), Claim, Go("BLUE"), Ask("sure?")];
    let client = Client::new(&script);
    let asked = task(client.grpc().send_message(request("paint")).await.unwrap());
    assert_eq!(state(&asked), TaskState::InputRequired);
    let mut blue = request("blue");
    blue.message.as_mut().unwrap().task_id.clone_from(&asked.id);
    let asked = task(client.grpc().send_message(blue).await.unwrap());
    assert_eq!((state(&asked), asked.history.len()), (TaskState::InputRequired, 4), "{asked:?}");
    let cancel = pb::CancelTaskRequest { id: asked.id.clone(), ..blank() };
    let canceled = client.grpc().cancel_task(cancel).await.unwrap().into_inner();
    assert_eq!(state(&canceled), TaskState::Canceled);
    let subscribe = pb::SubscribeToTaskRequest { id: asked.id, ..blank() };
    let refused = client.grpc().subscribe_to_task(subscribe).await.unwrap_err();
    check(&refused, Code::FailedPrecondition, "UNSUPPORTED_OPERATION", "has ended");
}

#[tokio::test]
async fn the_host_names_the_agent_where_no_tenant_does() {
    let client = Client::new(SHOUT);
    let mut plain = request("hello");
    plain.tenant.clear();
    let refused = client.grpc().send_message(plain.clone()).await.unwrap_err();
    check(&refused, Code::InvalidArgument, "INVALID_PARAMS", "message.metadata.skill");
    let host = Uri::from_static("http://shout.localhost:1");
    let mut at_host = A2aServiceClient::with_origin(client.0.clone(), host);
    assert_eq!(
        state(&task(at_host.send_message(plain.clone()).await.unwrap())),
        TaskState::Completed
    );
    plain.tenant = "other".into();
    let refused = at_host.send_message(plain).await.unwrap_err();
    check(&refused, Code::InvalidArgument, "INVALID_PARAMS", "tenant");
}

#[tokio::test]
async fn the_card_of_an_agent_can_be_asked_for() {
    let client = Client::new(&[]);
    let wanted = pb::GetExtendedAgentCardRequest { tenant: "shout".into() };
    let card = client.grpc().get_extended_agent_card(wanted).await.unwrap().into_inner();
    assert_eq!((&*card.name, card.supported_interfaces.len()), ("Shout", 4));
    assert_eq!(card.supported_interfaces[2].tenant, "shout");
}

#[tokio::test]
async fn what_is_wrong_is_said_with_its_reason() {
    let client = Client::new(&[]);
    let mut grpc = client.grpc();
    let unknown = grpc.get_task(get("01mcc5rp5gcxzxbkqenh80mxd0")).await.unwrap_err();
    check(&unknown, Code::NotFound, "TASK_NOT_FOUND", "01mcc5rp5gcxzxbkqenh80mxd0");
    let nothing = grpc.send_message(pb::SendMessageRequest::default()).await.unwrap_err();
    check(&nothing, Code::InvalidArgument, "INVALID_PARAMS", "message");
    let mut empty = request("x");
    empty.message.as_mut().unwrap().parts[0].content = None;
    let empty = grpc.send_message(empty).await.unwrap_err();
    check(&empty, Code::InvalidArgument, "INVALID_PARAMS", "message.parts[0]");
    let nobody = pb::SendMessageRequest { tenant: "nobody".into(), ..request("x") };
    let nobody = grpc.send_message(nobody).await.unwrap_err();
    check(&nobody, Code::NotFound, "INVALID_PARAMS", "nobody");
    let time = prost_types::Timestamp { seconds: i64::MAX, nanos: -1 };
    let strange = pb::ListTasksRequest { status: 77, ..blank() };
    let strange = grpc.list_tasks(strange).await.unwrap_err();
    check(&strange, Code::InvalidArgument, "INVALID_PARAMS", "status");
    let late = pb::ListTasksRequest { status_timestamp_after: Some(time), ..blank() };
    let late = grpc.list_tasks(late).await.unwrap_err();
    check(&late, Code::InvalidArgument, "INVALID_PARAMS", "statusTimestampAfter");
    let negative = pb::GetTaskRequest { history_length: Some(-1), ..get("x") };
    let negative = grpc.get_task(negative).await.unwrap_err();
    check(&negative, Code::InvalidArgument, "INVALID_PARAMS", "historyLength");
    let mut old = tonic::Request::new(get("x"));
    old.metadata_mut().insert("a2a-version", "9.9".parse().unwrap());
    let old = grpc.get_task(old).await.unwrap_err();
    check(&old, Code::FailedPrecondition, "VERSION_NOT_SUPPORTED", "9.9");
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused() {
    let limits = FrontLimits { body_bytes_max: 1_000, ..FrontLimits::default() };
    let client = Client::with_limits(&[], Limits::default(), limits);
    let refused = client.grpc().send_message(request(&"x".repeat(2_000))).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
    assert!(refused.message().contains("1000 bytes"), "{refused:?}");
}

#[tokio::test]
async fn what_is_no_call_is_refused() {
    let client = Client::new(&[]);
    let call = |version, kind: &'static str, method: &str| {
        let uri = format!("http://localhost:1/lf.a2a.v1.A2AService/{method}");
        let request = Request::builder().method("POST").uri(uri).version(version);
        let request = request.header("content-type", kind).body(Body::from("no frame")).unwrap();
        client.0.clone().oneshot(request)
    };
    let (h1, h2) = (axum::http::Version::HTTP_11, axum::http::Version::HTTP_2);
    for (version, kind) in [(h1, "application/grpc"), (h2, "text/plain"), (h2, "application/json")]
    {
        let got = call(version, kind, "GetTask").await.unwrap();
        assert_eq!(got.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
    for (method, code) in [("GetTask", "3"), ("Nothing", "12")] {
        let got = call(h2, "application/grpc+proto", method).await.unwrap();
        assert_eq!(got.headers()["grpc-status"], code, "{got:?}");
    }
}

#[tokio::test]
async fn messages_count_among_the_bodies_of_all_requests_until_their_calls_are_over() {
    let limits = FrontLimits { bodies_bytes_max: 100_000, ..FrontLimits::default() };
    // Each call comes to nothing, and leaves its room to the next.
    let handle = Handle::from_fn(|_| Err(Refusal::DiskFull { region: here() }));
    let front = front(handle, Vec::new(), limits);
    let router = super::super::router().with_state(front);
    let mut client = A2aServiceClient::with_origin(router, Uri::from_static("http://localhost:1"));
    for _ in 0..3 {
        let refused = client.send_message(request(&"x".repeat(90_000))).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable, "{refused:?}");
        assert!(!refused.message().contains("bodies"), "{refused:?}");
    }
    let refused = client.send_message(request(&"x".repeat(200_000))).await.unwrap_err();
    assert!(refused.message().contains("bodies"), "{refused:?}");
}

#[test]
fn numbers_are_kept_as_the_other_bindings_have_them() {
    let number =
        |it: f64| prost_types::Value { kind: Some(prost_types::value::Kind::NumberValue(it)) };
    let list = prost_types::ListValue { values: [5.0, -0.5, 1e300].map(number).to_vec() };
    let data = prost_types::Value { kind: Some(prost_types::value::Kind::ListValue(list)) };
    let mut given = request("x");
    given.message.as_mut().unwrap().parts[0].content = Some(pb::part::Content::Data(data));
    let params = super::super::grpc::message_params(&given).unwrap();
    assert_eq!(params["message"]["parts"][0]["data"].to_string(), "[5,-0.5,1e+300]");
}

fn check(refused: &Status, code: Code, reason: &str, hint: &str) {
    assert_eq!(refused.code(), code, "{refused:?}");
    assert!(refused.message().contains(hint), "{refused:?}");
    let info = refused.get_details_error_info().unwrap();
    assert_eq!((&*info.reason, &*info.domain), (reason, "a2a-protocol.org"), "{refused:?}");
}
