//! The one table of errors of `/v1`: which failure is which problem, with which status code.
//! Must not know of other protocols: A2A has its own table.

mod reply;

use axum::http::StatusCode;
use photon_region::data::DataRefusal;
use photon_region::{GovernRefusal, Large, Refusal, TaskId, TaskState};
use photon_state::RegionId;

use crate::body::BodyError;
use crate::front::Failure;
use crate::hold::BudgetFull;
use crate::v1::types::{Etag, Problem};

pub(crate) use reply::{Declined, Stood};

/// The media type of problems.
pub(crate) const PROBLEM_JSON: &str = "application/problem+json";

/// When to try again if nobody knows better.
const RETRY_AFTER_MS: u64 = 1000;

/// A kind of problem. `docs/errors.md` has a section for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    MalformedJson,
    InvalidParameter,
    BrokenBody,
    Unauthorized,
    ForeignHost,
    NotFound,
    NoSuchRegion,
    NoSuchAgent,
    NoSuchTask,
    NoSuchDataset,
    NoSuchTopic,
    NoSuchRecord,
    MethodNotAllowed,
    BodyTimeout,
    AttachedElsewhere,
    StaleToken,
    Ended,
    NotAsked,
    NotDead,
    KeyReused,
    MessageReused,
    NoteGap,
    DeclaredOtherwise,
    NotEmpty,
    UnsafeChange,
    Overdrawn,
    PositionTooOld,
    Unexpected,
    TooLarge,
    UnsupportedMediaType,
    OutsidePlacement,
    NotMaster,
    InvalidBody,
    NoSuchSkill,
    NoSuchPlacement,
    Confined,
    NoSuchTenant,
    Unplaced,
    LivesElsewhere,
    RecordMoves,
    SessionLost,
    NoSuchMove,
    WrongType,
    DoesNotFit,
    Overloaded,
    DiskFull,
    HomeUnreachable,
    NotAdmitted,
    ClockAhead,
    MasterMoves,
    CatchingUp,
    NotAgreed,
    LevelNotReached,
    ReadNotReached,
    DeciderUnreachable,
    TooManyFollowers,
    TooManyConnections,
    TooManyBodies,
    TimedOut,
    Starting,
    Stopping,
}

impl Kind {
    /// All kinds, for the documents.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 61] = [
        Self::MalformedJson,
        Self::InvalidParameter,
        Self::BrokenBody,
        Self::Unauthorized,
        Self::ForeignHost,
        Self::NotFound,
        Self::NoSuchRegion,
        Self::NoSuchAgent,
        Self::NoSuchTask,
        Self::NoSuchDataset,
        Self::NoSuchTopic,
        Self::NoSuchRecord,
        Self::MethodNotAllowed,
        Self::BodyTimeout,
        Self::AttachedElsewhere,
        Self::StaleToken,
        Self::Ended,
        Self::NotAsked,
        Self::NotDead,
        Self::KeyReused,
        Self::MessageReused,
        Self::NoteGap,
        Self::DeclaredOtherwise,
        Self::NotEmpty,
        Self::UnsafeChange,
        Self::Overdrawn,
        Self::PositionTooOld,
        Self::Unexpected,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::OutsidePlacement,
        Self::NotMaster,
        Self::InvalidBody,
        Self::NoSuchSkill,
        Self::NoSuchPlacement,
        Self::Confined,
        Self::NoSuchTenant,
        Self::Unplaced,
        Self::LivesElsewhere,
        Self::RecordMoves,
        Self::SessionLost,
        Self::NoSuchMove,
        Self::WrongType,
        Self::DoesNotFit,
        Self::Overloaded,
        Self::DiskFull,
        Self::HomeUnreachable,
        Self::NotAdmitted,
        Self::ClockAhead,
        Self::MasterMoves,
        Self::CatchingUp,
        Self::NotAgreed,
        Self::LevelNotReached,
        Self::ReadNotReached,
        Self::DeciderUnreachable,
        Self::TooManyFollowers,
        Self::TooManyConnections,
        Self::TooManyBodies,
        Self::TimedOut,
        Self::Starting,
        Self::Stopping,
    ];

    /// Returns the status code, the last segment of the type, and the title.
    pub(crate) fn row(self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        let (away, odd) = (S::SERVICE_UNAVAILABLE, S::UNPROCESSABLE_ENTITY);
        let (media, wrong) = (S::UNSUPPORTED_MEDIA_TYPE, S::MISDIRECTED_REQUEST);
        match self {
            Self::MalformedJson => (S::BAD_REQUEST, "malformed-json", "Malformed JSON"),
            Self::InvalidParameter => (S::BAD_REQUEST, "invalid-parameter", "Invalid parameter"),
            Self::BrokenBody => (S::BAD_REQUEST, "broken-body", "Broken body"),
            Self::Unauthorized => (S::UNAUTHORIZED, "unauthorized", "Unauthorized"),
            Self::ForeignHost => (S::FORBIDDEN, "foreign-host", "Foreign host"),
            Self::NotFound => (S::NOT_FOUND, "not-found", "Not found"),
            Self::NoSuchRegion => (S::NOT_FOUND, "no-such-region", "No such region"),
            Self::NoSuchAgent => (S::NOT_FOUND, "no-such-agent", "No such agent"),
            Self::NoSuchTask => (S::NOT_FOUND, "no-such-task", "No such task"),
            Self::NoSuchDataset => (S::NOT_FOUND, "no-such-dataset", "No such dataset"),
            Self::NoSuchTopic => (S::NOT_FOUND, "no-such-topic", "No such topic"),
            Self::NoSuchRecord => (S::NOT_FOUND, "no-such-record", "No such record"),
            Self::MethodNotAllowed => (S::METHOD_NOT_ALLOWED, "method-not-allowed", "Wrong method"),
            Self::BodyTimeout => (S::REQUEST_TIMEOUT, "body-timeout", "Body timeout"),
            Self::AttachedElsewhere => (S::CONFLICT, "attached-elsewhere", "Attached elsewhere"),
            Self::StaleToken => (S::CONFLICT, "stale-token", "Stale token"),
            Self::Ended => (S::CONFLICT, "ended", "Task has ended"),
            Self::NotAsked => (S::CONFLICT, "not-asked", "Nobody asked for a message"),
            Self::NotDead => (S::CONFLICT, "not-dead", "Not a dead letter"),
            Self::KeyReused => (S::CONFLICT, "key-reused", "Idempotency key reused"),
            Self::MessageReused => (S::CONFLICT, "message-reused", "Message id reused"),
            Self::NoteGap => (S::CONFLICT, "note-gap", "Notes have a gap"),
            Self::DeclaredOtherwise => (S::CONFLICT, "declared-otherwise", "Declared otherwise"),
            Self::NotEmpty => (S::CONFLICT, "not-empty", "Dataset is not empty"),
            Self::UnsafeChange => (S::CONFLICT, "unsafe-change", "Unsafe change of the planet"),
            Self::Overdrawn => (S::CONFLICT, "overdrawn", "Counter overdrawn"),
            Self::PositionTooOld => (S::GONE, "position-too-old", "Position too old"),
            Self::Unexpected => (S::PRECONDITION_FAILED, "unexpected", "Precondition failed"),
            Self::TooLarge => (S::PAYLOAD_TOO_LARGE, "too-large", "Too large"),
            Self::UnsupportedMediaType => (media, "unsupported-media-type", "Unsupported type"),
            Self::OutsidePlacement => (wrong, "outside-placement", "Outside the placement"),
            Self::NotMaster => (wrong, "not-master", "Not the master"),
            Self::InvalidBody => (odd, "invalid-body", "Invalid body"),
            Self::NoSuchSkill => (odd, "no-such-skill", "No such skill"),
            Self::NoSuchPlacement => (odd, "no-such-placement", "No such placement"),
            Self::Confined => (odd, "confined", "Agent confined"),
            Self::NoSuchTenant => (odd, "no-such-tenant", "No placement for the tenant"),
            Self::Unplaced => (odd, "unplaced", "Record without a place"),
            Self::LivesElsewhere => (S::CONFLICT, "lives-elsewhere", "Record lives elsewhere"),
            Self::RecordMoves => (S::CONFLICT, "record-moves", "Record moves"),
            Self::SessionLost => (S::CONFLICT, "session-lost", "Session lost"),
            Self::NoSuchMove => (S::NOT_FOUND, "no-such-move", "No such move"),
            Self::WrongType => (odd, "wrong-type", "Wrong type of change"),
            Self::DoesNotFit => (odd, "does-not-fit", "Does not fit the dataset"),
            Self::Overloaded => (S::TOO_MANY_REQUESTS, "overloaded", "Overloaded"),
            Self::DiskFull => (away, "disk-full", "Disk full"),
            Self::HomeUnreachable => (away, "home-unreachable", "Home unreachable"),
            Self::NotAdmitted => (away, "not-admitted", "Region not admitted"),
            Self::ClockAhead => (away, "clock-ahead", "Clock ahead"),
            Self::MasterMoves => (away, "master-moves", "Master moves"),
            Self::CatchingUp => (away, "catching-up", "Catching up"),
            Self::NotAgreed => (away, "not-agreed", "Not agreed"),
            Self::LevelNotReached => (away, "level-not-reached", "Consistency level not reached"),
            Self::ReadNotReached => (away, "read-not-reached", "Read level not reached"),
            Self::DeciderUnreachable => (away, "decider-unreachable", "Decider unreachable"),
            Self::TooManyFollowers => (away, "too-many-followers", "Too many followers"),
            Self::TooManyConnections => (away, "too-many-connections", "Too many connections"),
            Self::TooManyBodies => (away, "too-many-bodies", "Too many bodies"),
            Self::TimedOut => (away, "timed-out", "Timed out"),
            Self::Starting => (away, "starting", "Starting"),
            Self::Stopping => (away, "stopping", "Stopping"),
        }
    }

    /// Makes a problem of this kind. The caller may try again later where that can help.
    pub(crate) fn problem(self, detail: impl Into<String>) -> Problem {
        let (status, slug, title) = self.row();
        let may_pass =
            [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS].contains(&status);
        Problem {
            kind: format!("/problems/{slug}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            retry_after_ms: may_pass.then_some(RETRY_AFTER_MS),
            ..Problem::default()
        }
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let detail = failure.to_string();
        let bounded = |kind: Kind, max: usize| Problem {
            max: Some(max as u64),
            ..kind.problem(detail.clone())
        };
        match failure {
            Failure::Refused(refusal) => refusal.into(),
            Failure::Full { max } => bounded(Kind::Overloaded, max),
            Failure::FollowersFull { max } | Failure::WatchesFull { max } => {
                bounded(Kind::TooManyFollowers, max)
            }
            Failure::TimedOut(_) => Kind::TimedOut.problem(detail),
            Failure::Stopping => Kind::Stopping.problem(detail),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let about = |kind: Kind, id: TaskId| Problem {
            task: Some(id.to_string()),
            ..kind.problem(detail.clone())
        };
        let stands = |kind: Kind, id: TaskId, state: TaskState| Problem {
            state: Some(state.as_str().to_owned()),
            ..about(kind, id)
        };
        let at = |kind: Kind, region: RegionId| Problem {
            region: Some(region.to_string()),
            ..kind.problem(detail.clone())
        };
        let field = |kind: Kind, field: &str| Problem {
            field: Some(field.to_owned()),
            ..kind.problem(detail.clone())
        };
        match refusal {
            Refusal::Overloaded { retry_after, max, what: _ } => {
                let retry_after_ms = u64::try_from(retry_after.as_millis()).ok();
                Problem { retry_after_ms, max: Some(max), ..Kind::Overloaded.problem(detail) }
            }
            Refusal::DiskFull { region } => at(Kind::DiskFull, region),
            Refusal::NoSuchAgent(_) => Kind::NoSuchAgent.problem(detail),
            Refusal::NoSuchSkill(_) => field(Kind::NoSuchSkill, "skill"),
            Refusal::NoSuchTask(task) => about(Kind::NoSuchTask, task),
            Refusal::NoSuchPlacement(_) => field(Kind::NoSuchPlacement, "placement"),
            Refusal::Confined { placement: _ } => field(Kind::Confined, "placement"),
            Refusal::OutsidePlacement { members, region: _, placement: _ } => {
                let members = Some(members.iter().map(ToString::to_string).collect());
                Problem { members, ..field(Kind::OutsidePlacement, "placement") }
            }
            Refusal::AttachedElsewhere { region, agent: _ } => at(Kind::AttachedElsewhere, region),
            Refusal::StaleToken { task, tokens: _ } => about(Kind::StaleToken, task),
            Refusal::Ended { task, state } => stands(Kind::Ended, task, state),
            Refusal::NotAsked { task, state } => stands(Kind::NotAsked, task, state),
            Refusal::KeyReused { task } => about(Kind::KeyReused, task),
            Refusal::PostReused { position: _ } => field(Kind::MessageReused, "id"),
            Refusal::NoteGap { expected, first: _ } => {
                Problem { expected: Some(expected), ..Kind::NoteGap.problem(detail) }
            }
            Refusal::TooLarge { what, max, bytes: _ } => {
                let name = match what {
                    Large::Message => "message",
                    Large::Card => "card",
                    Large::Note | Large::Checkpoint | Large::Task => "notes",
                    Large::Key => "key",
                    Large::Content => "value",
                    Large::Fields => "fields",
                    Large::Batch => "writes",
                    Large::Webhook | Large::Webhooks => "taskPushNotificationConfig",
                    Large::Post => "data",
                };
                Problem { max: Some(max), ..field(Kind::TooLarge, name) }
            }
            Refusal::HomeUnreachable { region } => at(Kind::HomeUnreachable, region),
            Refusal::Govern(refusal) => refusal.into(),
            Refusal::NotAdmitted { region } => at(Kind::NotAdmitted, region),
            Refusal::ClockAhead { region, ahead_ms: _ } => at(Kind::ClockAhead, region),
            Refusal::Data(refusal) => refusal.into(),
        }
    }
}

impl From<GovernRefusal> for Problem {
    fn from(refusal: GovernRefusal) -> Self {
        use GovernRefusal as R;
        let detail = refusal.to_string();
        let at = |kind: Kind, region: RegionId| Self {
            region: Some(region.to_string()),
            ..kind.problem(detail.clone())
        };
        let voters =
            |kind: Kind| Self { field: Some("voters".to_owned()), ..kind.problem(detail.clone()) };
        match refusal {
            R::NotMember(region) => at(Kind::NoSuchRegion, region),
            R::AlreadyMember(region)
            | R::NotConfigured(region)
            | R::NotHeard(region)
            | R::Votes(region)
            | R::HasShards { region, shards: _ }
            | R::NobodyElse { region, placement: _ } => at(Kind::UnsafeChange, region),
            R::NoVoter | R::TooManyVoters(_) => voters(Kind::InvalidBody),
            R::WouldLoseQuorum { .. } => voters(Kind::UnsafeChange),
            R::NotAgreed => Kind::NotAgreed.problem(detail),
        }
    }
}

impl From<DataRefusal> for Problem {
    fn from(refusal: DataRefusal) -> Self {
        let detail = refusal.to_string();
        let at = |kind: Kind, region: RegionId| Problem {
            region: Some(region.to_string()),
            ..kind.problem(detail.clone())
        };
        let field = |kind: Kind, field: &str| Problem {
            field: Some(field.to_owned()),
            ..kind.problem(detail.clone())
        };
        match refusal {
            DataRefusal::NoSuchDataset(_) => Kind::NoSuchDataset.problem(detail),
            // What the configuration declares is no field of the request.
            DataRefusal::DeclaredOtherwise { what, dataset: _ } if what.contains(' ') => {
                Kind::DeclaredOtherwise.problem(detail)
            }
            DataRefusal::DeclaredOtherwise { what, dataset: _ } => {
                field(Kind::DeclaredOtherwise, what)
            }
            DataRefusal::NotEmpty(_) => Kind::NotEmpty.problem(detail),
            DataRefusal::NoSuchTenant { .. } => field(Kind::NoSuchTenant, "key"),
            DataRefusal::Unplaced { .. } => field(Kind::Unplaced, "residency"),
            DataRefusal::LivesElsewhere { .. } => field(Kind::LivesElsewhere, "residency"),
            DataRefusal::NothingToMove { .. } => field(Kind::NoSuchRecord, "from"),
            DataRefusal::RecordMoves { .. } => field(Kind::RecordMoves, "to"),
            DataRefusal::NoSuchMove(_) => Kind::NoSuchMove.problem(detail),
            DataRefusal::WrongKind { .. } => Kind::WrongType.problem(detail),
            DataRefusal::NotMaster { master, dataset: _ } => at(Kind::NotMaster, master),
            DataRefusal::MasterMoves { to, dataset: _ } => at(Kind::MasterMoves, to),
            DataRefusal::CatchingUp { region, .. } => at(Kind::CatchingUp, region),
            DataRefusal::Unexpected { found } => {
                let etag = found.map(|it| Etag(it).to_string());
                Problem { etag, ..Kind::Unexpected.problem(detail) }
            }
            DataRefusal::Overdrawn { value, asked: _ } => {
                Problem { max: Some(value), ..Kind::Overdrawn.problem(detail) }
            }
            DataRefusal::LevelNotReached { durable_in, members, level: _ } => Problem {
                durable_in: Some(durable_in as u64),
                of: Some(members as u64),
                ..Kind::LevelNotReached.problem(detail)
            },
            DataRefusal::SessionLost { origin, placement: _ } => {
                let region = Some(origin.to_string());
                Problem { region, ..field(Kind::SessionLost, "session") }
            }
            DataRefusal::ReadNotReached { .. } => Kind::ReadNotReached.problem(detail),
            DataRefusal::DeciderUnreachable { region, was_sent: _ } => {
                at(Kind::DeciderUnreachable, region)
            }
            DataRefusal::PositionTooOld => field(Kind::PositionTooOld, "position"),
            DataRefusal::Senseless { field: name, why: _ } => field(Kind::DoesNotFit, name),
        }
    }
}

impl From<BodyError> for Problem {
    fn from(err: BodyError) -> Self {
        let detail = err.to_string();
        let bounded = |kind: Kind, max: usize| Problem {
            max: Some(max as u64),
            ..kind.problem(detail.clone())
        };
        match err {
            BodyError::TooLarge { max } => bounded(Kind::TooLarge, max),
            BodyError::Full(BudgetFull { max }) => bounded(Kind::TooManyBodies, max),
            BodyError::TimedOut(_) => Kind::BodyTimeout.problem(detail),
            BodyError::Broken(_) => Kind::BrokenBody.problem(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
    use axum::response::IntoResponse;

    use super::*;

    #[test]
    fn every_kind_of_problem_has_a_section_in_the_documents() {
        let page = include_str!("../../../docs/errors.md");
        for kind in Kind::ALL {
            let (status, slug, _) = kind.row();
            let heading = format!("## {slug} ({})\n", status.as_u16());
            assert!(page.contains(&heading), "docs/errors.md lacks `{}`", heading.trim());
        }
        assert_eq!(page.matches("\n## ").count(), Kind::ALL.len());
    }

    #[test]
    fn what_may_pass_says_when_to_try_again() {
        let response = Kind::DiskFull.problem("full").into_response();
        assert_eq!(response.headers()[RETRY_AFTER], "1");
        assert_eq!(response.headers()[CONTENT_TYPE], PROBLEM_JSON);
        assert!(!Kind::NotFound.problem("").into_response().headers().contains_key(RETRY_AFTER));
    }
}
