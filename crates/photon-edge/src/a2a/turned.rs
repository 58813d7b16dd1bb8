//! What a client of A2A hears when its request comes to no operation, in the form of its address.
//! Must not decide who may come in, nor know which routes there are.

use ::a2a::JsonRpcId;
use axum::response::Response;

use super::CARD;
use super::fault::{Fault, Kind};
use crate::gate::Turned;

/// The form in which an address of A2A answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// JSON-RPC.
    Rpc,
    /// HTTP+JSON.
    Rest,
}

impl Form {
    /// Returns the form of a path; `None` if it is no address of A2A.
    pub(crate) fn of(path: &str) -> Option<Self> {
        if path == CARD {
            return Some(Self::Rest);
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
            ("/a2aa", None),
            ("/agents", None),
            ("/v1/agents/shout", None),
            ("/", None),
        ] {
            assert_eq!(Form::of(path), form, "{path}");
        }
    }
}
