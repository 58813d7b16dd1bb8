//! What the exit code of `photon` says, and which failure has which.
//! Must not print anything.

use std::process::ExitCode;

use crate::client::ClientError;

/// Tells scripts how a command went. `docs/cli.md` has the same list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// It was done.
    Ok = 0,
    /// It failed, for a reason that has no code of its own.
    Failed = 1,
    /// The command line, the configuration or the request is wrong: asking again will not help.
    Usage = 2,
    /// There is no such task, agent, skill, region, dataset or record.
    NotFound = 3,
    /// It was refused: not allowed, or in conflict with what is there.
    Refused = 4,
    /// Nobody answered, or they are too busy: asking again may help.
    Unreachable = 5,
    /// The task failed, or its agent rejected it.
    TaskFailed = 6,
    /// The task was canceled.
    TaskCanceled = 7,
}

/// The list of exit codes as `photon help` shows it.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed, for a reason that has no code of its own
  2  the command line, the configuration or the request is wrong
  3  no such task, agent, skill, region, dataset or record
  4  refused: not allowed, or in conflict with what is there
  5  nobody answered, or they are too busy: asking again may help
  6  the task failed, or its agent rejected it
  7  the task was canceled";

/// A command that cannot be carried out as it was given.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// Something that was asked for by name and is not there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct NotFoundError(pub String);

/// Something that is in conflict with what is there.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct RefusedError(pub String);

/// Something that does not answer.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UnreachableError(pub String);

impl Exit {
    /// Finds the code of a failure by its causes.
    #[must_use]
    pub fn of(error: &anyhow::Error) -> Self {
        let code = |cause: &(dyn std::error::Error + 'static)| {
            if let Some(error) = cause.downcast_ref::<ClientError>() {
                return Some(error.exit());
            }
            let is_usage = cause.is::<UsageError>()
                || cause.is::<crate::config::LoadError>()
                || cause.is::<crate::wan::MatrixError>()
                || cause.is::<photon_node::AuthorityError>();
            let is_not_found = cause.is::<NotFoundError>();
            let is_refused = cause.is::<RefusedError>();
            let is_unreachable = cause.is::<UnreachableError>();
            is_usage
                .then_some(Self::Usage)
                .or(is_not_found.then_some(Self::NotFound))
                .or(is_refused.then_some(Self::Refused))
                .or(is_unreachable.then_some(Self::Unreachable))
        };
        error.chain().find_map(code).unwrap_or(Self::Failed)
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn the_code_of_a_failure_is_that_of_its_first_cause_that_has_one() {
        let check = |error: anyhow::Error, expected| assert_eq!(Exit::of(&error), expected);
        check(anyhow::anyhow!("anything"), Exit::Failed);
        check(UsageError("no".to_owned()).into(), Exit::Usage);
        check(NotFoundError("no".to_owned()).into(), Exit::NotFound);
        let nested = Err::<(), _>(RefusedError("no".to_owned())).context("outer").unwrap_err();
        check(nested, Exit::Refused);
    }

    #[test]
    fn the_list_of_codes_has_every_code() {
        for code in 0..=Exit::TaskCanceled as u8 {
            assert!(EXIT_CODES.contains(&format!("\n  {code}  ")), "{code}");
        }
    }
}
