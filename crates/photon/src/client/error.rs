//! Why a region did not do what it was asked.
//! Must not decide whether to try again; it says only whether that can help.

use std::time::Duration;

use photon_edge::v1::types::Problem;

use super::Endpoint;
use crate::exit::Exit;

/// Why a request came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody answered, or the answer broke off.
    #[error("{} at {endpoint}: {}", unanswered(.cause), root(.cause))]
    Unreachable {
        /// Who was asked.
        endpoint: Endpoint,
        /// What went wrong, wrapped in the layers that it came through.
        cause: reqwest::Error,
    },
    /// What was asked cannot be put into a request.
    #[error("the request cannot be made: {}", root(.cause))]
    Unsendable {
        /// Why not.
        cause: reqwest::Error,
    },
    /// The region answered with a problem.
    #[error("{}: {}", .0.title, .0.detail)]
    Problem(Box<Problem>),
    /// The answer cannot be understood.
    #[error("the answer of {endpoint} is not one of Photon: {what}")]
    Garbled {
        /// Who was asked.
        endpoint: Endpoint,
        /// What is wrong with it.
        what: String,
    },
}

fn unanswered(cause: &reqwest::Error) -> &'static str {
    if cause.is_timeout() {
        "no answer in time from the region"
    } else if cause.is_connect() {
        "cannot reach the region"
    } else {
        "lost the connection to the region"
    }
}

/// Returns what lies at the bottom: only that is of use to people.
pub(crate) fn root(error: &dyn std::error::Error) -> String {
    let mut root = error;
    while let Some(cause) = root.source() {
        root = cause;
    }
    root.to_string()
}

impl ClientError {
    /// Returns the exit code that tells of it.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unreachable { .. } => Exit::Unreachable,
            Self::Unsendable { .. } => Exit::Usage,
            Self::Garbled { .. } => Exit::Failed,
            Self::Problem(problem) if problem.kind.starts_with("/problems/no-such-") => {
                Exit::NotFound
            }
            Self::Problem(problem) => match problem.status {
                400 | 413..=415 | 422 | 431 => Exit::Usage,
                404 | 410 => Exit::NotFound,
                408 | 429 | 502..=504 => Exit::Unreachable,
                401..=499 => Exit::Refused,
                _ => Exit::Failed,
            },
        }
    }

    /// Whether the same may succeed later.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => matches!(problem.status, 408 | 429 | 500..=599),
            Self::Unsendable { .. } | Self::Garbled { .. } => false,
        }
    }

    /// Whether there is no such thing.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.status == 404,
            Self::Unreachable { .. } | Self::Unsendable { .. } | Self::Garbled { .. } => false,
        }
    }

    /// Whether the region itself is not there: it does not answer, or says that it does not serve.
    #[must_use]
    pub fn is_silence(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Problem(problem) => match problem.kind.strip_prefix("/problems/") {
                Some(kind) => matches!(kind, "starting" | "stopping"),
                // A gateway says so in the region's place.
                None => matches!(problem.status, 502..=504),
            },
            Self::Unsendable { .. } | Self::Garbled { .. } => false,
        }
    }

    /// Returns the status code of the answer, if there was one.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Unreachable { .. } | Self::Unsendable { .. } | Self::Garbled { .. } => None,
        }
    }

    /// Returns the regions of which one is to be asked instead, if this one may not know of it.
    #[must_use]
    pub fn members(&self) -> Option<&[String]> {
        match self {
            Self::Problem(problem) if problem.status == 421 => problem.members.as_deref(),
            Self::Problem(_)
            | Self::Unreachable { .. }
            | Self::Unsendable { .. }
            | Self::Garbled { .. } => None,
        }
    }

    /// Whether the agent is attached to another region.
    #[must_use]
    pub fn is_attached_elsewhere(&self) -> bool {
        match self {
            Self::Problem(problem) => problem.kind == "/problems/attached-elsewhere",
            Self::Unreachable { .. } | Self::Unsendable { .. } | Self::Garbled { .. } => false,
        }
    }

    /// Returns the number of the note that is due, if some are missing before those that were told.
    #[must_use]
    pub fn expected_note(&self) -> Option<u64> {
        match self {
            Self::Problem(problem) if problem.kind == "/problems/note-gap" => problem.expected,
            Self::Problem(_)
            | Self::Unreachable { .. }
            | Self::Unsendable { .. }
            | Self::Garbled { .. } => None,
        }
    }

    /// Returns when the region wants to be asked again, if it said so.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Problem(problem) => problem.retry_after_ms.map(Duration::from_millis),
            Self::Unreachable { .. } | Self::Unsendable { .. } | Self::Garbled { .. } => None,
        }
    }

    /// Says what the user can do about it, where the error itself does not.
    #[must_use]
    pub fn fix(&self) -> Option<String> {
        match self {
            Self::Unreachable { endpoint, cause } if cause.is_connect() => Some(format!(
                "is it up? `photon up` starts a planet here; --url names another region than \
                 {endpoint}"
            )),
            Self::Problem(problem) if problem.status == 401 => {
                Some("give the token with --token or PHOTON_TOKEN".to_owned())
            }
            Self::Problem(problem) => {
                problem.field.as_ref().map(|field| format!("the field at fault is `{field}`"))
            }
            Self::Unreachable { .. } => None,
            Self::Unsendable { .. } => {
                Some("headers take printable ASCII: look at --token and the keys".to_owned())
            }
            Self::Garbled { .. } => {
                Some("does --url name the api of a region, not another server?".to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_has_an_exit_code_and_says_whether_to_try_again() {
        let check = |status, exit, is_passing| {
            let error = ClientError::Problem(Box::new(Problem { status, ..Problem::default() }));
            assert_eq!((error.exit(), error.is_passing()), (exit, is_passing), "{status}");
        };
        check(400, Exit::Usage, false);
        check(401, Exit::Refused, false);
        check(404, Exit::NotFound, false);
        check(409, Exit::Refused, false);
        check(413, Exit::Usage, false);
        check(429, Exit::Unreachable, true);
        check(500, Exit::Failed, true);
        check(503, Exit::Unreachable, true);
    }

    #[test]
    fn a_region_that_refuses_is_there_and_one_that_does_not_serve_is_not() {
        let check = |kind: &str, status, expected| {
            let problem = Problem { kind: kind.to_owned(), status, ..Problem::default() };
            let error = ClientError::Problem(Box::new(problem));
            assert_eq!(error.is_silence(), expected, "{kind} {status}");
        };
        check("/problems/starting", 503, true);
        check("/problems/stopping", 503, true);
        check("/problems/home-away", 503, false);
        check("/problems/overloaded", 429, false);
        check("/problems/stale-token", 409, false);
        check("", 503, true);
        check("about:blank", 502, true);
        check("", 500, false);
    }
}
