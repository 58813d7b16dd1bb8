//! Why an A2A call came to nothing, and the one table from refusals to the protocol's own errors.
//! Must not know how a call arrived, but for the forms in which its error leaves.

mod status;

use std::collections::HashMap;
use std::time::Duration;

use ::a2a::errordetails::{FieldViolation, PROTOCOL_DOMAIN, TypedDetail};
use ::a2a::{A2AError, JsonRpcError, JsonRpcId, JsonRpcResponse, error_code, error_reason};
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use photon_region::data::DataRefusal;
use photon_region::{Refusal, TaskId};
use serde_json::{Value, json};
use tonic::Code;

use crate::Failure;
use crate::body::BodyError;
use crate::gate::CHALLENGE;
use crate::names::Invalid;

const RETRY_INFO_TYPE: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// The media type of the HTTP+JSON binding.
pub(super) const MEDIA_TYPE: &str = "application/a2a+json";

/// `TaskGenerationMismatchError` (draft of A2A 1.1, section 5.4).
const GENERATION_MISMATCH: i32 = -32010;

/// Why a call came to nothing.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    kind: Kind,
    message: String,
    details: Vec<TypedDetail>,
    retry_after: Option<Duration>,
}

/// The errors that a client may meet: those of the protocol, then those that it has no code for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The body is not JSON.
    Parse,
    /// The body is JSON, but no request.
    Request,
    /// No such operation.
    Method,
    /// A parameter is missing or wrong.
    Params,
    /// Photon is at fault.
    Internal,
    /// No such task.
    TaskNotFound,
    /// The task has ended.
    TaskNotCancelable,
    /// Photon does not do that.
    Unsupported,
    /// The body is not of a type that is understood.
    ContentType,
    /// Another version of the protocol.
    Version,
    /// No agent lives at this address.
    NoAgent,
    /// The task has moved on since the client looked (draft of A2A 1.1, section 3.2.2).
    Generation,
    /// The idempotency key was used for something else.
    Conflict,
    /// Too large.
    TooLarge,
    /// The body did not arrive in time.
    Slow,
    /// The task may not live in this region.
    Misdirected,
    /// Too much is asked for.
    Busy,
    /// The region cannot, at the moment.
    Unavailable,
    /// A bearer token is missing or wrong.
    Unauthorized,
    /// The request was meant for another host.
    ForeignHost,
    /// There is nothing at this address.
    NoAddress,
    /// The address has other HTTP methods.
    HttpMethod,
}

impl Kind {
    /// The JSON-RPC code, the HTTP status and the code of gRPC (A2A 1.0.1, section 5.4).
    fn row(self) -> (i32, StatusCode, Code) {
        let bad = StatusCode::BAD_REQUEST;
        let absent = StatusCode::NOT_FOUND;
        match self {
            Self::Parse => (error_code::PARSE_ERROR, bad, Code::InvalidArgument),
            Self::Request => (error_code::INVALID_REQUEST, bad, Code::InvalidArgument),
            Self::Method => (error_code::METHOD_NOT_FOUND, absent, Code::NotFound),
            Self::Params => (error_code::INVALID_PARAMS, bad, Code::InvalidArgument),
            Self::Internal => {
                (error_code::INTERNAL_ERROR, StatusCode::INTERNAL_SERVER_ERROR, Code::Internal)
            }
            Self::TaskNotFound => (error_code::TASK_NOT_FOUND, absent, Code::NotFound),
            Self::TaskNotCancelable => {
                (error_code::TASK_NOT_CANCELABLE, bad, Code::FailedPrecondition)
            }
            Self::Unsupported => (error_code::UNSUPPORTED_OPERATION, bad, Code::FailedPrecondition),
            Self::ContentType => (
                error_code::CONTENT_TYPE_NOT_SUPPORTED,
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::InvalidArgument,
            ),
            Self::Version => (error_code::VERSION_NOT_SUPPORTED, bad, Code::FailedPrecondition),
            Self::NoAgent => (error_code::INVALID_PARAMS, absent, Code::NotFound),
            Self::Generation => (GENERATION_MISMATCH, StatusCode::CONFLICT, Code::Aborted),
            Self::Conflict => (error_code::INVALID_PARAMS, StatusCode::CONFLICT, Code::Aborted),
            Self::TooLarge => {
                (error_code::INVALID_PARAMS, StatusCode::PAYLOAD_TOO_LARGE, Code::InvalidArgument)
            }
            Self::Slow => {
                (error_code::INVALID_REQUEST, StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded)
            }
            Self::Misdirected => (
                error_code::INVALID_PARAMS,
                StatusCode::MISDIRECTED_REQUEST,
                Code::FailedPrecondition,
            ),
            Self::Busy => {
                (error_code::INTERNAL_ERROR, StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted)
            }
            Self::Unavailable => {
                (error_code::INTERNAL_ERROR, StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::Unauthorized => {
                (error_code::INVALID_REQUEST, StatusCode::UNAUTHORIZED, Code::Unauthenticated)
            }
            Self::ForeignHost => {
                (error_code::INVALID_REQUEST, StatusCode::FORBIDDEN, Code::PermissionDenied)
            }
            Self::NoAddress => (error_code::METHOD_NOT_FOUND, absent, Code::NotFound),
            Self::HttpMethod => {
                (error_code::INVALID_REQUEST, StatusCode::METHOD_NOT_ALLOWED, Code::Unimplemented)
            }
        }
    }

    /// The HTTP status of a JSON-RPC answer: the error lies in the body, but what concerns the
    /// connection must be seen by those who do not read bodies.
    fn rpc_status(self) -> StatusCode {
        match self {
            Self::Busy
            | Self::Unavailable
            | Self::Slow
            | Self::TooLarge
            | Self::ContentType
            | Self::Unauthorized
            | Self::ForeignHost
            | Self::NoAddress
            | Self::HttpMethod => self.row().1,
            Self::Parse
            | Self::Request
            | Self::Method
            | Self::Params
            | Self::Internal
            | Self::TaskNotFound
            | Self::TaskNotCancelable
            | Self::Unsupported
            | Self::Version
            | Self::NoAgent
            | Self::Misdirected
            | Self::Generation
            | Self::Conflict => StatusCode::OK,
        }
    }
}

impl Fault {
    /// Makes a fault.
    pub(super) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), details: Vec::new(), retry_after: None }
    }

    /// Makes a fault that names the field and the fix.
    pub(super) fn field(field: &str, description: impl Into<String>) -> Self {
        Self::new(Kind::Params, "").about(field, description)
    }

    /// Whether a task is not known, or not to this address.
    pub(super) fn is_no_task(&self) -> bool {
        self.kind == Kind::TaskNotFound
    }

    /// Makes the fault of a task that is not known, or not to this address.
    pub(super) fn no_task(id: &str) -> Self {
        // What a client sent is repeated only as far as a name of a task can reach.
        let id: String = id.chars().take(64).collect();
        let fault = Self::new(Kind::TaskNotFound, format!("no task `{id}` is known here"));
        fault.with_info("taskId", &id)
    }

    /// Makes the fault of what cannot be done at the moment.
    pub(super) fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Kind::Unavailable, message).with_retry(RETRY_AFTER)
    }

    /// Makes the fault of a push configuration that is not known.
    pub(super) fn no_webhook(task: &str, id: &str) -> Self {
        let id: String = id.chars().take(64).collect();
        let message = format!("task `{task}` has no push notification config `{id}`");
        Self::new(Kind::TaskNotFound, message).with_info("taskId", task)
    }

    /// Makes the fault of a message to a task that has moved on since its client looked.
    pub(super) fn generation(task: &str, expected: u64, current: Option<u64>) -> Self {
        let message = format!(
            "task `{task}` is not at generation {expected} any more; get it, and send the message \
             again if it still fits"
        );
        let known = [("taskId", task.to_owned()), ("expectedGeneration", expected.to_string())];
        // A region that is behind the home does not know.
        let current = current.map(|it| ("currentGeneration", it.to_string()));
        let metadata = known.into_iter().chain(current);
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value)).collect();
        let mut fault = Self::new(Kind::Generation, message);
        let reason = error_reason(GENERATION_MISMATCH);
        fault.details.push(TypedDetail::error_info(reason, PROTOCOL_DOMAIN, Some(metadata)));
        fault
    }

    /// Returns what went wrong.
    pub(super) fn message(&self) -> &str {
        &self.message
    }

    /// Returns when to try again; `None` when that is of no use.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    fn about(mut self, field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        if self.message.is_empty() {
            self.message = format!("`{field}`: {description}");
        }
        let violation = FieldViolation { field: field.to_owned(), description };
        self.details.push(TypedDetail::bad_request(vec![violation]));
        self
    }

    fn with_info(mut self, key: &str, value: &str) -> Self {
        let reason = error_reason(self.kind.row().0);
        let metadata = HashMap::from([(key.to_owned(), value.to_owned())]);
        self.details.push(TypedDetail::error_info(reason, PROTOCOL_DOMAIN, Some(metadata)));
        self
    }

    fn with_retry(mut self, after: Duration) -> Self {
        let delay = Value::String(format!("{:.3}s", after.as_secs_f64()));
        let detail = HashMap::from([("retryDelay".to_owned(), delay)]);
        self.details.push(TypedDetail::new(RETRY_INFO_TYPE, detail));
        self.retry_after = Some(after);
        self
    }

    fn error(&self) -> JsonRpcError {
        let error = A2AError::new(self.kind.row().0, self.message.clone());
        let mut error = error.with_details(self.details.clone()).to_jsonrpc_error();
        // The library knows the reasons of 1.0 alone.
        if self.kind == Kind::Generation {
            let info = error.data.as_mut().and_then(|it| it.as_array_mut()?.last_mut());
            info.into_iter().for_each(|it| it["reason"] = "TASK_GENERATION_MISMATCH".into());
        }
        error
    }

    /// Returns the JSON-RPC response that says so.
    pub(super) fn rpc_body(&self, id: JsonRpcId) -> JsonRpcResponse {
        JsonRpcResponse::error(id, self.error())
    }

    /// Returns the `google.rpc.Status` that says so.
    pub(super) fn rest_body(&self) -> Value {
        let (_, status, code) = self.kind.row();
        let name = status::name(code);
        let error = self.error();
        let (message, details) = (error.message, error.data);
        let code = status.as_u16();
        json!({ "error": { "code": code, "status": name, "message": message, "details": details } })
    }

    /// Answers a JSON-RPC call.
    pub(super) fn rpc(&self, id: JsonRpcId) -> Response {
        let answer = (self.kind.rpc_status(), Json(self.rpc_body(id))).into_response();
        self.hint(answer)
    }

    /// Answers an HTTP+JSON call.
    pub(super) fn rest(&self) -> Response {
        let mut answer = (self.kind.row().1, Json(self.rest_body())).into_response();
        answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        self.hint(answer)
    }

    fn hint(&self, mut answer: Response) -> Response {
        if self.kind == Kind::Unauthorized {
            answer.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
        }
        if let Some(after) = self.retry_after {
            let seconds = after.as_millis().div_ceil(1_000).max(1);
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        answer
    }
}

/// When to try again where the region does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        let message = failure.to_string();
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Full { .. } => Self::new(Kind::Busy, message).with_retry(RETRY_AFTER),
            Failure::FollowersFull { .. }
            | Failure::WatchesFull { .. }
            | Failure::TimedOut(_)
            | Failure::Stopping => Self::new(Kind::Unavailable, message).with_retry(RETRY_AFTER),
        }
    }
}

impl From<BodyError> for Fault {
    fn from(err: BodyError) -> Self {
        let fault = |kind| Self::new(kind, err.to_string());
        match err {
            BodyError::TooLarge { .. } => fault(Kind::TooLarge),
            BodyError::Full(_) => fault(Kind::Unavailable).with_retry(RETRY_AFTER),
            BodyError::TimedOut(_) => fault(Kind::Slow),
            BodyError::Broken(_) => fault(Kind::Request),
        }
    }
}

impl From<Invalid> for Fault {
    fn from(invalid: Invalid) -> Self {
        Self::field(&invalid.field, invalid.rule)
    }
}

/// The table: what each refusal of a region is to a client of A2A.
impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        let message = refusal.to_string();
        let fault = |kind| Self::new(kind, message.clone());
        match refusal {
            Refusal::Overloaded { retry_after, what: _, max: _ } => {
                fault(Kind::Busy).with_retry(retry_after)
            }
            Refusal::DiskFull { region }
            | Refusal::HomeUnreachable { region }
            | Refusal::NotAdmitted { region }
            | Refusal::ClockAhead { region, ahead_ms: _ } => fault(Kind::Unavailable)
                .with_info("region", region.as_str())
                .with_retry(RETRY_AFTER),
            Refusal::NoSuchAgent(agent) => fault(Kind::NoAgent).with_info("agent", &agent),
            Refusal::NoSuchSkill(_) => {
                fault(Kind::Params).about("message.metadata.skill", message.clone())
            }
            Refusal::NoSuchPlacement(_) => {
                fault(Kind::Params).about("message.metadata.placement", message.clone())
            }
            Refusal::Confined { .. } => {
                fault(Kind::Params).about("message.metadata.placement", message.clone())
            }
            Refusal::OutsidePlacement { .. } => {
                fault(Kind::Misdirected).about("message.metadata.placement", message.clone())
            }
            Refusal::NoSuchTask(task) => Self::no_task(&task.to_string()),
            Refusal::Ended { task, .. } => task_info(fault(Kind::TaskNotCancelable), task),
            Refusal::NotAsked { task, .. } => task_info(fault(Kind::Unsupported), task),
            Refusal::KeyReused { task } => task_info(fault(Kind::Conflict), task),
            Refusal::TooLarge { .. } => fault(Kind::TooLarge),
            // Whether it may be sent again is for the client to know.
            Refusal::Data(DataRefusal::LevelNotReached { .. }) => fault(Kind::Unavailable),
            // Only workers are told these, and workers do not speak A2A.
            Refusal::AttachedElsewhere { .. }
            | Refusal::StaleToken { .. }
            | Refusal::NoteGap { .. }
            | Refusal::Govern(_)
            // Nor do those who publish, or ask for records.
            | Refusal::PostReused { .. }
            | Refusal::Data(_) => fault(Kind::Internal),
        }
    }
}

fn task_info(fault: Fault, task: TaskId) -> Fault {
    fault.with_info("taskId", &task.to_string())
}
