//! `ListTasks`: one page of tasks, the youngest first.
//! Must not keep anything between two pages: the token is the last task of a page.

use ::a2a::{ListTasksRequest, ListTasksResponse};
use photon_region::{Command, Reply, TaskFilter, TaskId, TaskState, TaskSummary};

use super::fault::Fault;
use super::incoming::{Call, Door};
use super::task::{self, HistoryLength};
use crate::names;
use crate::page::Page;

/// Tasks on one page, unless the client says otherwise.
const PAGE_SIZE: i32 = 50;
/// Tasks on one page at most; more are refused.
const PAGE_SIZE_MAX: i32 = 100;
/// Tasks that are looked at for one page and counted for `totalSize`; beyond, the page ends early
/// and the total stays at this.
const SCAN_MAX: usize = 1_000;

/// Which tasks a client wants to see.
struct Wanted {
    filter: TaskFilter,
    /// Only those that changed at this time (ms since 1970) or later.
    since_ms: Option<i64>,
}

/// A stretch of the list.
struct Stretch {
    tasks: Vec<TaskSummary>,
    /// The task after which the list goes on.
    next: Option<TaskId>,
}

impl Call {
    /// `ListTasks`.
    pub(super) async fn list(&self, request: ListTasksRequest) -> Result<ListTasksResponse, Fault> {
        let page_size = request.page_size.unwrap_or(PAGE_SIZE);
        if !(1..=PAGE_SIZE_MAX).contains(&page_size) {
            let help = format!("use 1 to {PAGE_SIZE_MAX}, not {page_size}");
            return Err(Fault::field("pageSize", help));
        }
        let history = HistoryLength::new(request.history_length, "historyLength")?;
        let after = request.page_token.as_deref().filter(|token| !token.is_empty());
        let after = after.map(|token| names::task_id("pageToken", token)).transpose()?;
        let empty = ListTasksResponse {
            tasks: Vec::new(),
            next_page_token: String::new(),
            page_size,
            total_size: 0,
        };
        let Some(wanted) = self.wanted(&request)? else { return Ok(empty) };
        let limit = usize::try_from(page_size).expect("1 to PAGE_SIZE_MAX: checked above");
        let page = self.stretch(&wanted, after, limit).await?;
        let total = match (&page.next, after) {
            (None, None) => page.tasks.len(),
            (Some(_), _) | (None, Some(_)) => {
                self.stretch(&wanted, None, SCAN_MAX).await?.tasks.len()
            }
        };
        if total == 0 {
            self.check_agent().await?;
        }
        let (mut tasks, mut next) = (Page::new(), page.next);
        for (at, summary) in page.tasks.iter().enumerate() {
            tasks.push(match request.include_artifacts {
                Some(true) => match self.detail(summary.id).await {
                    Ok(detail) => task::whole(&detail, history),
                    // It was forgotten, or given to another agent, since it was listed.
                    Err(fault) if fault.is_no_task() => continue,
                    Err(fault) => return Err(fault),
                },
                Some(false) | None => task::outline(summary, history),
            });
            if !tasks.has_room() {
                // What was found beyond is found again on the next page.
                next = (at + 1 < page.tasks.len()).then_some(summary.id).or(next);
                break;
            }
        }
        let tasks = tasks.into_items();
        let next_page_token = next.map(|it| it.to_string()).unwrap_or_default();
        let total_size = i32::try_from(total).expect("at most SCAN_MAX");
        Ok(ListTasksResponse { tasks, next_page_token, total_size, ..empty })
    }

    /// Returns what is wanted; `None` when no task of Photon can be.
    fn wanted(&self, request: &ListTasksRequest) -> Result<Option<Wanted>, Fault> {
        let state = match &request.status {
            None | Some(::a2a::TaskState::Unspecified) => None,
            Some(::a2a::TaskState::Submitted) => Some(TaskState::Submitted),
            Some(::a2a::TaskState::Working) => Some(TaskState::Working),
            Some(::a2a::TaskState::Completed) => Some(TaskState::Completed),
            Some(::a2a::TaskState::Failed) => Some(TaskState::Failed),
            Some(::a2a::TaskState::Canceled) => Some(TaskState::Canceled),
            Some(::a2a::TaskState::Rejected) => Some(TaskState::Rejected),
            Some(::a2a::TaskState::InputRequired) => Some(TaskState::InputRequired),
            Some(::a2a::TaskState::AuthRequired) => Some(TaskState::AuthRequired),
        };
        let context = request.context_id.as_deref().filter(|context| !context.is_empty());
        let context = context.map(|it| names::label("contextId", it)).transpose()?;
        let agent = match &self.door {
            Door::Agent(agent) => Some(agent.clone()),
            Door::Router => None,
        };
        let since_ms = request.status_timestamp_after.map(|it| it.timestamp_millis());
        Ok(Some(Wanted {
            filter: TaskFilter { state, context, agent, ..TaskFilter::default() },
            since_ms,
        }))
    }

    /// Returns at most `limit` tasks after one of them.
    async fn stretch(
        &self,
        wanted: &Wanted,
        after: Option<TaskId>,
        limit: usize,
    ) -> Result<Stretch, Fault> {
        // Without a look at the times there is nothing to pass over.
        let scan = wanted.since_ms.map_or(limit, |_| SCAN_MAX);
        let filter = wanted.filter.clone();
        let command = Command::Tasks { filter, before: after, limit: scan };
        let Reply::Tasks { tasks, more } = self.front.submit(command).await? else {
            unreachable!("the region answers `Tasks` with tasks")
        };
        let scanned = tasks.last().map(|it| it.id).filter(|_| more);
        let is_wanted = |task: &TaskSummary| {
            let changed_ms = i64::try_from(task.changed.wall_ms).unwrap_or(i64::MAX);
            wanted.since_ms.is_none_or(|since_ms| since_ms <= changed_ms)
        };
        let mut tasks: Vec<_> = tasks.into_iter().filter(is_wanted).collect();
        if tasks.len() <= limit {
            return Ok(Stretch { tasks, next: scanned });
        }
        tasks.truncate(limit);
        Ok(Stretch { next: tasks.last().map(|it| it.id), tasks })
    }

    /// An empty list of an agent that does not exist would hide a typing error.
    async fn check_agent(&self) -> Result<(), Fault> {
        if let Door::Agent(agent) = &self.door {
            self.front.submit(Command::Agent(agent.clone())).await?;
        }
        Ok(())
    }
}
