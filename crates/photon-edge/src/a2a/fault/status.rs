//! A fault as a status of gRPC, with its details (`google.rpc.Status`, AIP-193).
//! Must not decide which status a fault is.

use std::collections::HashMap;

use ::a2a::errordetails::{BAD_REQUEST_TYPE, ERROR_INFO_TYPE};
use serde_json::Value;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use super::{Fault, RETRY_INFO_TYPE};

impl Fault {
    /// Returns the status that says so.
    pub(in crate::a2a) fn grpc(&self) -> Status {
        let error = self.error();
        let mut details = ErrorDetails::new();
        for detail in error.data.iter().filter_map(Value::as_array).flatten() {
            match detail["@type"].as_str() {
                Some(ERROR_INFO_TYPE) => {
                    let (reason, domain) = (text(&detail["reason"]), text(&detail["domain"]));
                    details.set_error_info(reason, domain, texts(&detail["metadata"]));
                }
                Some(BAD_REQUEST_TYPE) => {
                    let violations = detail["fieldViolations"].as_array().into_iter().flatten();
                    let violations = violations.map(|it| {
                        FieldViolation::new(text(&it["field"]), text(&it["description"]))
                    });
                    details.set_bad_request(violations.collect::<Vec<_>>());
                }
                Some(RETRY_INFO_TYPE) => {
                    details.set_retry_info(self.retry_after);
                }
                _ => {}
            }
        }
        Status::with_error_details(self.kind.row().2, self.message.clone(), details)
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> HashMap<String, String> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(key, value)| (key.clone(), text(value))).collect()
}

/// Returns the name of a code (`google.rpc.Code`).
pub(super) fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
