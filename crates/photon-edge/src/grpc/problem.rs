//! Problems of `/v1` over gRPC: within a call as messages, at its end as statuses (AIP-193).
//! Must not know which problems there are.

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::pb;
use crate::problem::Declined;
use crate::v1::types::Problem;

/// Who names the reasons.
const DOMAIN: &str = "photon";

impl Declined {
    /// Returns the problem as a message.
    pub(super) fn message(self) -> pb::Problem {
        let problem = *self.0;
        pb::Problem {
            kind: kind(&problem).to_owned(),
            detail: problem.detail,
            status: problem.status.into(),
            field: problem.field.unwrap_or_default(),
            expected: problem.expected,
            retry_after_ms: problem.retry_after_ms,
            members: problem.members.unwrap_or_default(),
        }
    }

    /// Returns the problem as the end of a call.
    pub(super) fn status(self) -> Status {
        let problem = *self.0;
        let reason = kind(&problem).replace('-', "_").to_ascii_uppercase();
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
        if let Some(field) = &problem.field {
            details.add_bad_request_violation(field, &problem.detail);
        }
        if let Some(ms) = problem.retry_after_ms {
            details.set_retry_info(Some(Duration::from_millis(ms)));
        }
        let code = match kind(&problem).starts_with("invalid-") {
            true => Code::InvalidArgument,
            false => code(problem.status),
        };
        Status::with_error_details(code, problem.detail, details)
    }

    /// Whether the lease that it is about is of no use any more.
    pub(super) fn ends_lease(&self) -> bool {
        let lasts = kind(&self.0) == "note-gap" || self.0.retry_after_ms.is_some();
        // 421: it may be good elsewhere, and is of no use here.
        [400, 404, 409, 421].contains(&self.0.status) && !lasts
    }

    /// Whether to say the same again may help.
    pub(super) fn may_pass(&self) -> bool {
        self.0.retry_after_ms.is_some()
    }
}

fn kind(problem: &Problem) -> &str {
    problem.kind.rsplit('/').next().unwrap_or_default()
}

fn code(status: u16) -> Code {
    match status {
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 => Code::Aborted,
        408 => Code::DeadlineExceeded,
        412 | 421 | 422 => Code::FailedPrecondition,
        429 => Code::ResourceExhausted,
        503 | 507 => Code::Unavailable,
        400..=499 => Code::InvalidArgument,
        0..=399 | 500..=u16::MAX => Code::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Kind;

    #[test]
    fn each_problem_has_a_code_that_says_whether_to_try_again() {
        for kind in Kind::ALL {
            let declined = Declined::from(kind.problem("x"));
            let may_pass = declined.may_pass();
            let code = declined.status().code();
            let says_so = [Code::Unavailable, Code::ResourceExhausted].contains(&code);
            assert!(!may_pass || says_so, "{kind:?}: {code:?}");
            assert_ne!(code, Code::Ok, "{kind:?}");
        }
    }
}
