//! What a client of A2A hears when its request comes to no operation, in the form of its address.
//! Must not decide who may come in, nor know which routes there are.

use ::a2a::JsonRpcId;
use axum::http::StatusCode;
use axum::response::Response;
use tonic::Code;

use super::fault::{Fault, Kind};
use super::{CARD, grpc};
use crate::gate::Turned;

/// The form in which an address of A2A answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON-RPC.
    Rpc,
    /// HTTP+JSON.
    Rest,
    /// gRPC.
    Grpc,
}

impl Form {
    /// Returns the form of a path; `None` if it is no address of A2A, nor of gRPC.
    pub(crate) fn of(path: &str) -> Option<Self> {
        if path == CARD {
            return Some(Self::Rest);
        }
        if path.starts_with(grpc::PREFIX) || path.starts_with(crate::grpc::PREFIX) {
            return Some(Self::Grpc);
        }
        let below = path.strip_prefix("/a2a").or_else(|| {
            let rest = path.strip_prefix("/agents/")?;
            Some(rest.find('/').map_or("", |at| &rest[at..]))
        })?;
        match below {
            "" | "/" => Some(Self::Rpc),
            _ => below.starts_with('/').then_some(Self::Rest),
        }
    }

    /// Returns the HTTP status that tells what came of a call, as far as its head tells.
    pub(crate) fn status(self, response: &Response) -> StatusCode {
        let code = response.headers().get("grpc-status").filter(|_| self == Self::Grpc);
        let Some(code) = code else { return response.status() };
        match Code::from_bytes(code.as_bytes()) {
            Code::Ok => StatusCode::OK,
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
                StatusCode::BAD_REQUEST
            }
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Aborted | Code::AlreadyExists => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Answers a request that was turned away; which call it was is not known.
    pub(crate) fn refuse(self, turned: Turned, message: &str) -> Response {
        let kind = match turned {
            Turned::Unauthorized => Kind::Unauthorized,
            Turned::ForeignHost => Kind::ForeignHost,
            Turned::NotFound => Kind::NoAddress,
            Turned::MethodNotAllowed => Kind::HttpMethod,
        };
        let fault = Fault::new(kind, message);
        match self {
            Self::Rpc => fault.rpc(JsonRpcId::Null),
            Self::Rest => fault.rest(),
            Self::Grpc => grpc::refusal(&fault),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_its_form() {
        for (path, form) in [
            ("/a2a", Some(Form::Rpc)),
            ("/a2a/", Some(Form::Rpc)),
            ("/agents/shout", Some(Form::Rpc)),
            ("/agents/shout/", Some(Form::Rpc)),
            ("/a2a/tasks/x", Some(Form::Rest)),
            ("/agents/shout/message:send", Some(Form::Rest)),
            (CARD, Some(Form::Rest)),
            ("/lf.a2a.v1.A2AService/GetTask", Some(Form::Grpc)),
            ("/photon.v1.Workers/Attach", Some(Form::Grpc)),
            ("/a2aa", None),
            ("/agents", None),
            ("/v1/agents/shout", None),
            ("/", None),
        ] {
            assert_eq!(Form::of(path), form, "{path}");
        }
    }
}
