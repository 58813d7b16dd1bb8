//! What a client of MCP may ask, and who answers it.
//! Must not know what a tool does.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use rmcp::model::{
    CacheScope, CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams,
    ContentBlock, CreateTaskResult, GetTaskParams, GetTaskResult, Implementation,
    ListPromptsResult, ListResourceTemplatesResult, ListResourcesResult, ListToolsResult,
    PaginatedRequestParams, ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse,
    ServerCapabilities, ServerConfig, Tool, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::Value;

use super::api::{Api, Ask};
use super::tools::{self, Called, follow};
use super::{resources, tasks};
use crate::Front;
use crate::problem::Kind;
use crate::v1::types::Problem;

/// The versions that are spoken.
const VERSIONS: &[ProtocolVersion] =
    &[ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

/// For how long a list of tools may be kept: until the program is another one.
const TOOLS_TTL_MS: u64 = 300_000;

const INSTRUCTIONS: &str = "Photon runs agents in many regions as one system. Find agents with \
    search_agents, give them work with send_task, and look at it with get_task, in any region.";

/// Answers clients of MCP.
#[derive(Clone)]
pub(super) struct Handler {
    front: Front,
    pub(super) api: Api,
    tools: Arc<Vec<Tool>>,
}

impl Handler {
    pub(super) fn new(front: Front, api: Api, document: &Bytes) -> Self {
        let document: Value =
            serde_json::from_slice(document).expect("the document was written as JSON");
        Self { front, api, tools: Arc::new(tools::all(&document)) }
    }

    /// Calls a tool. What it cannot do is for whoever chose its arguments to read.
    async fn call(
        &self,
        called: Called,
        takes_tasks: bool,
    ) -> Result<CallToolResponse, Box<Problem>> {
        let mut shown = called.answer(&self.front, &self.api).await?;
        if takes_tasks && called.begins_task() {
            return Ok(CreateTaskResult::new(tasks::task(&shown)).into());
        }
        if let Some(patience) = called.patience() {
            let stopping = self.front.stopping();
            let followed = stopping.run_until_cancelled(follow(&self.api, &shown, patience)).await;
            // Whatever comes between, the caller is told which task it is.
            if let Some(Ok(later)) = followed {
                shown = later;
            }
        }
        let is_task = called.patience().is_some() || called.shows_task();
        Ok(if is_task { tasks::result(shown) } else { CallToolResult::structured(shown) }.into())
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        let capabilities = ServerCapabilities::builder()
            .enable_tools()
            .enable_resources()
            .enable_prompts()
            .enable_tasks()
            .build();
        let version = self.front.planet().version.clone();
        ServerConfig::new(capabilities)
            .with_server_info(Implementation::new("photon", version))
            .with_instructions(INSTRUCTIONS)
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(VERSIONS)
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|it| it.name == name).cloned()
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let tools = ListToolsResult::with_all_items(self.tools.to_vec());
        Ok(tools.with_ttl_ms(TOOLS_TTL_MS).with_cache_scope(CacheScope::Public))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(called) = Called::of(&request.name, request.arguments.unwrap_or_default()) else {
            let text = format!("there is no tool `{}`", request.name);
            return Err(ErrorData::invalid_params(text, None));
        };
        let takes_tasks = context.client_capabilities().is_some_and(|it| it.supports_tasks());
        let answered = match called {
            Ok(called) => {
                let gone = || Box::new(Kind::TimedOut.problem("the client is gone"));
                let answer = context.ct.run_until_cancelled(self.call(called, takes_tasks));
                answer.await.unwrap_or_else(|| Err(gone()))
            }
            Err(problem) => Err(problem),
        };
        Ok(answered.unwrap_or_else(|it| refused(&it).into()))
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        Ok(ListPromptsResult::default())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        resources::list(&self.api, request.and_then(|it| it.cursor)).await
    }

    async fn list_resource_templates(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        Ok(resources::templates())
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        Ok(resources::read(&self.api, &request.uri).await?.into())
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let shown = self.api.ask(Ask::get(tools::path(&request.task_id, ""))).await;
        Ok(GetTaskResult::new(tasks::detailed(shown.map_err(|it| failed(&it))?)))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        tasks::update(&self.api, &request).await.map_err(|it| failed(&it))
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        tasks::cancel(&self.api, &request.task_id).await.map_err(|it| failed(&it))
    }
}

/// Says to the caller of a tool why it came to nothing.
fn refused(problem: &Problem) -> CallToolResult {
    let kind = problem.kind.rsplit('/').next().unwrap_or_default();
    CallToolResult::error(vec![ContentBlock::text(format!("{} ({kind})", problem.detail))])
}

/// Makes an error of the protocol of a problem.
pub(super) fn failed(problem: &Problem) -> ErrorData {
    let data = serde_json::to_value(problem).ok();
    if problem.status < 500 {
        return ErrorData::invalid_params(problem.detail.clone(), data);
    }
    ErrorData::internal_error(problem.detail.clone(), data)
}
