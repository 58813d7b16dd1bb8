//! The requests of `/v1`, one method each.
//! Must not know why they are made.

use std::time::Duration;

use photon_edge::v1::types::{
    Agent, AgentPut, Agents, AnswerPost, CancelPost, CompletePost, FailPost, HeartbeatPost,
    LeasePost, Leases, NotesPost, PausePost, Regions, Replication, Route, Standing, Task, TaskPost,
    Tasks, Topology,
};
use photon_state::RegionId;
use reqwest::Method;
use reqwest::header::ACCEPT;
use serde_json::Value;

use super::{Client, ClientError, Endpoint, Events};
use crate::exit::NotFoundError;

/// Which agents to list.
#[derive(Clone, Debug, Default)]
pub struct AgentQuery {
    /// Only those with this skill.
    pub skill: Option<String>,
    /// Only those that are attached to this region.
    pub region: Option<RegionId>,
}

/// Which tasks to list.
#[derive(Clone, Debug, Default)]
pub struct TaskQuery {
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those asked of, or done by, this agent.
    pub agent: Option<String>,
    /// Only those of this conversation.
    pub context: Option<String>,
}

/// Which task to explain the way of.
#[derive(Clone, Debug, Default)]
pub struct RouteQuery {
    /// One for any agent with this skill.
    pub skill: Option<String>,
    /// One for this agent.
    pub agent: Option<String>,
    /// Where it may be kept.
    pub placement: Option<String>,
    /// Which skills the agent must have, too.
    pub required_skills: Vec<String>,
    /// To which regions it may be attached; any if there are none.
    pub regions: Vec<String>,
    /// What it may ask for a task at the most.
    pub max_cost: Option<f64>,
    /// How many candidates to show at most.
    pub limit: u16,
}

/// The most items that are asked for at once.
const PAGE_MAX: usize = 500;

impl Client {
    /// Whether the region is ready to serve.
    pub async fn ready(&self) -> Result<(), ClientError> {
        self.order(self.request(Method::GET, &["readyz"])).await
    }

    /// Asks for what is at a path, as JSON as it comes.
    pub async fn json(&self, path: &[&str]) -> Result<Value, ClientError> {
        self.call(self.request(Method::GET, path), Duration::ZERO).await
    }

    /// Lists the regions.
    pub async fn regions(&self) -> Result<Regions, ClientError> {
        self.call(self.request(Method::GET, &["v1", "regions"]), Duration::ZERO).await
    }

    /// Shows who sends whose changes to whom.
    pub async fn topology(&self) -> Result<Topology, ClientError> {
        let path = ["v1", "replication", "topology"];
        self.call(self.request(Method::GET, &path), Duration::ZERO).await
    }

    /// Shows how replication goes, as the region sees it.
    pub async fn replication(&self) -> Result<Replication, ClientError> {
        self.call(self.request(Method::GET, &["v1", "replication"]), Duration::ZERO).await
    }

    /// Returns a client of the region of this name, whose address this region knows.
    pub async fn region(&self, name: RegionId) -> anyhow::Result<Self> {
        let regions = self.regions().await?.regions;
        let Some(region) = regions.iter().find(|it| it.name == name.as_str()) else {
            let known: Vec<_> = regions.iter().map(|it| it.name.as_str()).collect();
            let known = known.join(", ");
            let text = format!("the planet has no region `{name}`; it has: {known}");
            return Err(NotFoundError(text).into());
        };
        Ok(self.at(region.api.parse::<Endpoint>()?))
    }

    /// Announces an agent that is attached to this region.
    pub async fn register(&self, name: &str, agent: &AgentPut) -> Result<Agent, ClientError> {
        let request = self.request(Method::PUT, &["v1", "agents", name]).json(agent);
        self.call(request, Duration::ZERO).await
    }

    /// Removes an agent from the registry.
    pub async fn deregister(&self, name: &str) -> Result<(), ClientError> {
        self.order(self.request(Method::DELETE, &["v1", "agents", name])).await
    }

    /// Shows an agent.
    pub async fn agent(&self, name: &str) -> Result<Agent, ClientError> {
        self.call(self.request(Method::GET, &["v1", "agents", name]), Duration::ZERO).await
    }

    /// Lists all agents that match, page by page.
    pub async fn agents(&self, query: &AgentQuery) -> Result<Vec<Agent>, ClientError> {
        let (mut agents, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let request = self
                .request(Method::GET, &["v1", "agents"])
                .query(&[("limit", PAGE_MAX)])
                .query(&[("skill", &query.skill)])
                .query(&[("region", query.region.map(|it| it.to_string()))])
                .query(&[("cursor", &cursor)]);
            let page: Agents = self.call(request, Duration::ZERO).await?;
            agents.extend(page.agents);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok(agents);
            }
        }
    }

    /// Explains who would be given a task that this region is home of.
    pub async fn route(&self, query: &RouteQuery) -> Result<Route, ClientError> {
        let list = |all: &[String]| Some(all.join(",")).filter(|it| !it.is_empty());
        let request = self
            .request(Method::GET, &["v1", "route"])
            .query(&[("required_skills", list(&query.required_skills))])
            .query(&[("regions", list(&query.regions))])
            .query(&[("max_cost", query.max_cost)])
            .query(&[("skill", &query.skill)])
            .query(&[("agent", &query.agent)])
            .query(&[("placement", &query.placement)])
            .query(&[("limit", query.limit)]);
        self.call(request, Duration::ZERO).await
    }

    /// Submits a task, with this region as its home.
    pub async fn submit(&self, task: &TaskPost, key: Option<&str>) -> Result<Task, ClientError> {
        let request = self.request(Method::POST, &["v1", "tasks"]).json(task);
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        self.call(request, Duration::ZERO).await
    }

    /// Submits a task as JSON, of which an older region may not know every field.
    pub async fn submit_json(&self, task: &Value, key: &str) -> Result<Value, ClientError> {
        let request = self.request(Method::POST, &["v1", "tasks"]).json(task);
        self.call(request.header("idempotency-key", key), Duration::ZERO).await
    }

    /// Shows a task.
    pub async fn task(&self, id: &str) -> Result<Task, ClientError> {
        self.call(self.request(Method::GET, &["v1", "tasks", id]), Duration::ZERO).await
    }

    /// Lists the youngest tasks that match, page by page.
    pub async fn tasks(
        &self,
        query: &TaskQuery,
        tasks_max: usize,
    ) -> Result<Vec<Task>, ClientError> {
        let only = [
            ("state", query.state.as_deref()),
            ("agent", query.agent.as_deref()),
            ("context_id", query.context.as_deref()),
        ];
        self.task_pages("tasks", &only, tasks_max).await
    }

    /// Lists the youngest dead letters that match, page by page.
    pub async fn dead_letters(
        &self,
        skill: Option<&str>,
        agent: Option<&str>,
        tasks_max: usize,
    ) -> Result<Vec<Task>, ClientError> {
        self.task_pages("dead-letters", &[("skill", skill), ("agent", agent)], tasks_max).await
    }

    async fn task_pages(
        &self,
        of: &str,
        only: &[(&str, Option<&str>)],
        tasks_max: usize,
    ) -> Result<Vec<Task>, ClientError> {
        let (mut tasks, mut cursor) = (Vec::new(), None::<String>);
        loop {
            let request = self
                .request(Method::GET, &["v1", of])
                .query(&[("limit", PAGE_MAX.min(tasks_max - tasks.len()))])
                .query(only)
                .query(&[("cursor", &cursor)]);
            let page: Tasks = self.call(request, Duration::ZERO).await?;
            tasks.extend(page.tasks);
            tasks.truncate(tasks_max);
            cursor = page.next_cursor;
            if cursor.is_none() || tasks.len() == tasks_max {
                return Ok(tasks);
            }
        }
    }

    /// Asks again for what a task asked for that failed; returns the new task.
    pub async fn redrive(&self, id: &str) -> Result<Task, ClientError> {
        let path = ["v1", "dead-letters", id, "redrive"];
        self.call(self.request(Method::POST, &path), Duration::ZERO).await
    }

    /// Calls a task off.
    pub async fn cancel(&self, id: &str, cancel: &CancelPost) -> Result<Standing, ClientError> {
        let request = self.request(Method::POST, &["v1", "tasks", id, "cancel"]).json(cancel);
        self.call(request, Duration::ZERO).await
    }

    /// Answers what the agent of a task asked.
    pub async fn answer(
        &self,
        id: &str,
        answer: &AnswerPost,
        key: &str,
    ) -> Result<Standing, ClientError> {
        let request = self.request(Method::POST, &["v1", "tasks", id, "messages"]).json(answer);
        self.call(request.header("idempotency-key", key), Duration::ZERO).await
    }

    /// Follows a task from the event after generation `after`.
    pub async fn events(&self, id: &str, after: u64) -> Result<Events, ClientError> {
        let request = self
            .request(Method::GET, &["v1", "tasks", id, "events"])
            .header(ACCEPT, "text/event-stream")
            .header("last-event-id", after);
        let reply = self.send(request).await?;
        Ok(Events::new(self.clone(), reply))
    }

    /// Waits for work.
    pub async fn acquire(&self, lease: &LeasePost) -> Result<Leases, ClientError> {
        let wait = Duration::from_millis(u64::from(lease.wait_ms));
        self.call(self.request(Method::POST, &["v1", "leases"]).json(lease), wait).await
    }

    /// Tells that the worker lives.
    pub async fn heartbeat(
        &self,
        task: &str,
        post: &HeartbeatPost,
    ) -> Result<Standing, ClientError> {
        let request = self.request(Method::POST, &["v1", "leases", task, "heartbeat"]).json(post);
        self.call(request, Duration::ZERO).await
    }

    /// Tells what the worker has to tell.
    pub async fn note(&self, task: &str, post: &NotesPost) -> Result<Standing, ClientError> {
        let request = self.request(Method::POST, &["v1", "leases", task, "events"]).json(post);
        self.call(request, Duration::ZERO).await
    }

    /// Tells that the worker has finished.
    pub async fn complete(&self, task: &str, post: &CompletePost) -> Result<Standing, ClientError> {
        let request = self.request(Method::POST, &["v1", "leases", task, "complete"]).json(post);
        self.call(request, Duration::ZERO).await
    }

    /// Tells that the worker asks something of the client.
    pub async fn pause(&self, task: &str, post: &PausePost) -> Result<Standing, ClientError> {
        let request = self.request(Method::POST, &["v1", "leases", task, "pause"]).json(post);
        self.call(request, Duration::ZERO).await
    }

    /// Tells that the worker gives up.
    pub async fn fail(&self, task: &str, post: &FailPost) -> Result<Standing, ClientError> {
        let request = self.request(Method::POST, &["v1", "leases", task, "fail"]).json(post);
        self.call(request, Duration::ZERO).await
    }
}
