//! The gRPC binding: the service of the protocol's own definition, on the port of all others.
//! Must not know what an operation does.
//!
//! A service of gRPC has one address for all agents: `tenant` names the agent, or the host does.

use std::pin::Pin;
use std::sync::Arc;

use ::a2a::{
    AgentCard, DeleteTaskPushNotificationConfigRequest, GetTaskPushNotificationConfigRequest,
    ListTaskPushNotificationConfigsRequest, StreamResponse,
};
use a2a_pb::a2a_service_server::{A2aService, A2aServiceServer};
use a2a_pb::{self as pb, pbconv};
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::response::Response;
use futures_util::{Stream, stream};
use http_body_util::Full;
use serde_json::Value;
use tonic::Status;
use tower::ServiceExt;

use super::card::host;
use super::fault::{Fault, Kind};
use super::incoming::{Call, params};
use super::updates::Updates;
use crate::grpc::{not_grpc, understood};
use crate::{Front, body};

/// Where the service lies, as the protocol's definition names it.
pub(super) const ROUTE: &str = "/lf.a2a.v1.A2AService/{method}";
/// The same without the method.
pub(super) const PREFIX: &str = "/lf.a2a.v1.A2AService/";

/// Serves a call.
pub(super) async fn serve(State(front): State<Front>, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    if let Some(refusal) = not_grpc(&parts) {
        return refusal;
    }
    let host = host(&parts.headers, &parts.uri);
    // What a client sends is one message, and counts like the bodies of all others.
    let held = match body::read(&front, &parts.headers, body).await {
        Ok(held) => held,
        Err(err) => return refusal(&Fault::from(err)),
    };
    let max = front.limits().body_bytes_max;
    let service = A2aServiceServer::new(Service { front, host })
        .max_decoding_message_size(max)
        .max_encoding_message_size(usize::MAX);
    let bytes = held.bytes();
    parts.extensions.insert(Arc::new(held)); // Whoever has understood the message drops it.
    let request = Request::from_parts(parts, Full::new(bytes));
    match service.oneshot(request).await {
        Ok(response) => understood(response.map(Body::new)),
        Err(never) => match never {},
    }
}

/// Answers a call that came to nothing before it was understood.
pub(super) fn refusal(fault: &Fault) -> Response {
    fault.grpc().into_http::<Body>()
}

struct Service {
    front: Front,
    host: Option<Authority>,
}

type Answer<T> = Result<tonic::Response<T>, Status>;

impl Service {
    fn call<T>(&self, request: &tonic::Request<T>, tenant: &str) -> Result<Call, Fault> {
        Call::of_grpc(&self.front, self.host.as_ref(), tenant, request.metadata().as_ref())
    }

    async fn send(&self, request: tonic::Request<pb::SendMessageRequest>) -> Sent {
        let call = self.call(&request, &request.get_ref().tenant)?;
        let params = message_params(request.get_ref())?;
        drop(request); // An agent may take its time.
        Ok(pbconv::to_proto_send_message_response(&call.send(params).await?))
    }

    async fn stream(&self, request: tonic::Request<pb::SendMessageRequest>) -> Streamed {
        let call = self.call(&request, &request.get_ref().tenant)?;
        let params = message_params(request.get_ref())?;
        drop(request);
        Ok(updates(call.stream(params).await?))
    }

    async fn list(&self, request: tonic::Request<pb::ListTasksRequest>) -> Listed {
        let call = self.call(&request, &request.get_ref().tenant)?;
        let given = request.get_ref();
        let mut wanted = pbconv::from_proto_list_tasks_request(given);
        wanted.page_size = given.page_size;
        if pb::TaskState::try_from(given.status).is_err() {
            return Err(Fault::field("status", "there is no such state"));
        }
        if given.status_timestamp_after.is_some() && wanted.status_timestamp_after.is_none() {
            return Err(Fault::field("statusTimestampAfter", "there is no such time"));
        }
        Ok(pbconv::to_proto_list_tasks_response(&call.list(wanted).await?))
    }
}

type Sent = Result<pb::SendMessageResponse, Fault>;
type Streamed = Result<UpdateStream, Fault>;
type Listed = Result<pb::ListTasksResponse, Fault>;
type UpdateStream = Pin<Box<dyn Stream<Item = Result<pb::StreamResponse, Status>> + Send>>;

/// Returns the parameters as the other bindings have them.
pub(super) fn message_params(given: &pb::SendMessageRequest) -> Result<Value, Fault> {
    let Some(message) = &given.message else {
        return Err(Fault::field("message", "say what is asked"));
    };
    if let Some(at) = message.parts.iter().position(|it| it.content.is_none()) {
        let field = format!("message.parts[{at}]");
        return Err(Fault::field(&field, "give one of `text`, `raw`, `url` and `data`"));
    }
    if PARTS_MAX < message.parts.len() {
        return Err(Fault::field("message.parts", format!("use {PARTS_MAX} at most")));
    }
    let request = pbconv::from_proto_send_message_request(given);
    let mut params =
        serde_json::to_value(request).map_err(|err| Fault::new(Kind::Params, err.to_string()))?;
    whole_numbers(&mut params);
    Ok(params)
}

/// Parts of one message: each takes much more room once it is understood than on the wire.
const PARTS_MAX: usize = 10_000;

/// Writes numbers without a fraction as the other bindings get them: `5`, not `5.0`. On the wire
/// all are floating-point numbers (`google.protobuf.Value`).
fn whole_numbers(value: &mut Value) {
    /// Up to here a floating-point number says which whole number it is (2^53).
    const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|it| it.fract() == 0.0 && it.abs() <= WHOLE_MAX);
            if let (Some(whole), true) = (whole, number.is_f64()) {
                #[expect(clippy::cast_possible_truncation, reason = "it is whole and in range")]
                let whole = whole as i64;
                *value = Value::from(whole);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(whole_numbers),
        Value::Object(fields) => fields.values_mut().for_each(whole_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// Sends updates as they come; who resumes counts generations, which are in their metadata.
fn updates(updates: Updates) -> UpdateStream {
    let send = |response: &StreamResponse| Ok(pbconv::to_proto_stream_response(response));
    Box::pin(stream::unfold(Some(updates), move |updates| async move {
        let mut updates = updates?;
        match updates.next().await {
            Ok(Some(update)) => Some((send(&update.response), Some(updates))),
            Ok(None) => None,
            Err(fault) => Some((Err(fault.grpc()), None)),
        }
    }))
}

fn answer<T>(result: Result<T, Fault>) -> Answer<T> {
    result.map(tonic::Response::new).map_err(|fault| fault.grpc())
}

#[tonic::async_trait]
impl A2aService for Service {
    type SendStreamingMessageStream = UpdateStream;
    type SubscribeToTaskStream = UpdateStream;

    async fn send_message(
        &self,
        request: tonic::Request<pb::SendMessageRequest>,
    ) -> Answer<pb::SendMessageResponse> {
        answer(self.send(request).await)
    }

    async fn send_streaming_message(
        &self,
        request: tonic::Request<pb::SendMessageRequest>,
    ) -> Answer<UpdateStream> {
        answer(self.stream(request).await)
    }

    async fn get_task(&self, request: tonic::Request<pb::GetTaskRequest>) -> Answer<pb::Task> {
        let get = async {
            let call = self.call(&request, &request.get_ref().tenant)?;
            let wanted = pbconv::from_proto_get_task_request(request.get_ref());
            Ok(pbconv::to_proto_task(&call.task(wanted, None).await?))
        };
        answer(get.await)
    }

    async fn list_tasks(
        &self,
        request: tonic::Request<pb::ListTasksRequest>,
    ) -> Answer<pb::ListTasksResponse> {
        answer(self.list(request).await)
    }

    async fn cancel_task(
        &self,
        request: tonic::Request<pb::CancelTaskRequest>,
    ) -> Answer<pb::Task> {
        let cancel = async {
            let call = self.call(&request, &request.get_ref().tenant)?;
            let wanted = pbconv::from_proto_cancel_task_request(request.get_ref());
            Ok(pbconv::to_proto_task(&call.cancel(wanted).await?))
        };
        answer(cancel.await)
    }

    async fn subscribe_to_task(
        &self,
        request: tonic::Request<pb::SubscribeToTaskRequest>,
    ) -> Answer<UpdateStream> {
        let subscribe = async {
            let call = self.call(&request, &request.get_ref().tenant)?;
            let wanted = pbconv::from_proto_subscribe_to_task_request(request.get_ref());
            Ok(updates(call.subscribe(wanted).await?))
        };
        answer(subscribe.await)
    }

    async fn create_task_push_notification_config(
        &self,
        request: tonic::Request<pb::TaskPushNotificationConfig>,
    ) -> Answer<pb::TaskPushNotificationConfig> {
        let create = async {
            let call = self.call(&request, &request.get_ref().tenant)?;
            let wanted = pbconv::from_proto_task_push_notification_config(request.get_ref());
            let created = call.create_push(wanted).await?;
            Ok(pbconv::to_proto_task_push_notification_config(&created))
        };
        answer(create.await)
    }

    async fn get_task_push_notification_config(
        &self,
        request: tonic::Request<pb::GetTaskPushNotificationConfigRequest>,
    ) -> Answer<pb::TaskPushNotificationConfig> {
        let get = async {
            let call = self.call(&request, &request.get_ref().tenant)?;
            let pb::GetTaskPushNotificationConfigRequest { task_id, id, .. } = request.into_inner();
            let wanted = GetTaskPushNotificationConfigRequest { task_id, id, tenant: None };
            Ok(pbconv::to_proto_task_push_notification_config(&call.push(wanted).await?))
        };
        answer(get.await)
    }

    async fn list_task_push_notification_configs(
        &self,
        request: tonic::Request<pb::ListTaskPushNotificationConfigsRequest>,
    ) -> Answer<pb::ListTaskPushNotificationConfigsResponse> {
        let list = async {
            let call = self.call(&request, &request.get_ref().tenant)?;
            let wanted = ListTaskPushNotificationConfigsRequest {
                task_id: request.into_inner().task_id,
                page_size: None,
                page_token: None,
                tenant: None,
            };
            let listed = call.pushes(wanted).await?.configs;
            let configs = listed.iter().map(pbconv::to_proto_task_push_notification_config);
            let (configs, next_page_token) = (configs.collect(), String::new());
            Ok(pb::ListTaskPushNotificationConfigsResponse { configs, next_page_token })
        };
        answer(list.await)
    }

    async fn delete_task_push_notification_config(
        &self,
        request: tonic::Request<pb::DeleteTaskPushNotificationConfigRequest>,
    ) -> Answer<()> {
        let delete = async {
            let call = self.call(&request, &request.get_ref().tenant)?;
            let given = request.into_inner();
            let pb::DeleteTaskPushNotificationConfigRequest { task_id, id, .. } = given;
            let wanted = DeleteTaskPushNotificationConfigRequest { task_id, id, tenant: None };
            call.delete_push(wanted).await
        };
        answer(delete.await)
    }

    async fn get_extended_agent_card(
        &self,
        request: tonic::Request<pb::GetExtendedAgentCardRequest>,
    ) -> Answer<pb::AgentCard> {
        let card = async {
            let call = self.call(&request, &request.get_ref().tenant)?;
            let card = params::<AgentCard>(call.extended_card().await?)
                .map_err(|_| Fault::new(Kind::Internal, "the agent's card is not one of A2A"))?;
            Ok(pbconv::to_proto_agent_card(&card))
        };
        answer(card.await)
    }
}
