//! `ListTasks`: one page of tasks, the youngest first.
//! Must not keep anything between two pages: the token is the last task of a page.

use ::a2a::{ListTasksRequest, ListTasksResponse, Task};
use photon_region::{Command, Reply, TaskFilter, TaskId, TaskState, TaskSummary};

use super::fault::{Fault, Kind};
use super::incoming::{Call, Door};
use super::task::{self, HistoryLength};
use crate::names;

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
        let after = after.map(str::parse).transpose();
        let after: Option<TaskId> = after.map_err(|_| {
            Fault::field("pageToken", "give back the `nextPageToken` of the page before")
        })?;
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
        let mut tasks = Vec::with_capacity(page.tasks.len());
        for summary in &page.tasks {
            tasks.push(match request.include_artifacts {
                Some(true) => task::whole(&self.detail(summary.id).await?, history),
                Some(false) | None => task::outline(summary, history),
            });
        }
        let next_page_token = page.next.map(|it| it.to_string()).unwrap_or_default();
        let total_size = i32::try_from(total).expect("at most SCAN_MAX");
        Ok(ListTasksResponse { tasks, next_page_token, total_size, ..empty })
    }
}
