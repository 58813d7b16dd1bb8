//! The tools, prompts and resources that the conformance kit of MCP asks for by name, in front of
//! those of the product. Only tests are built with them. Its tasks are tasks of the planet, done by
//! an agent with the skill `kit.job` (`tests/mcp_agent.py`).
//! Must not be part of a release, nor answer anything that the product answers.

mod listed;
mod rounds;
mod talk;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, CancelTaskParams, ClientCapabilities,
    CompleteRequestParams, CompleteResult, CreateTaskResult, DetailedTask, GetPromptRequestParams,
    GetPromptResponse, GetTaskParams, GetTaskResult, ListPromptsResult,
    ListResourceTemplatesResult, ListResourcesResult, ListToolsResult, PaginatedRequestParams,
    ProtocolVersion, ReadResourceRequestParams, ReadResourceResponse, ServerConfig,
    SubscribeRequestParams, TaskPayload, Tool, UnsubscribeRequestParams, UpdateTaskParams,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::api::Ask;
use super::handler::{Handler, failed};
use super::tools::follow;
use super::{tasks, tools};

/// The environment variable that lets a binary that has them answer with them.
pub(super) const WANTED: &str = "PHOTON_MCP_KIT";

/// Answers the kit, and asks the product for the rest.
#[derive(Clone)]
pub(super) struct Kit {
    product: Handler,
    /// Which of several questions of a task were answered.
    answered: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
}

/// Reads what was written as JSON.
fn made<T: DeserializeOwned>(value: Value) -> Result<T, ErrorData> {
    serde_json::from_value(value).map_err(|err| ErrorData::internal_error(err.to_string(), None))
}

fn text(text: impl Into<String>) -> Value {
    json!({"resultType": "complete", "content": [{"type": "text", "text": text.into()}]})
}

impl Kit {
    pub(super) fn new(product: Handler) -> Self {
        Self { product, answered: Arc::default() }
    }

    /// Calls a tool of the kit's tasks, if it is one.
    async fn job(
        &self,
        request: &CallToolRequestParams,
        takes_tasks: bool,
    ) -> Option<Result<CallToolResponse, ErrorData>> {
        let given = |name: &str| request.arguments.as_ref().and_then(|it| it.get(name));
        let must_be_task = matches!(&*request.name, "failing_job" | "test_tool_with_task");
        if must_be_task && !takes_tasks {
            let extensions = json!({"extensions": {rmcp::model::TASKS_EXTENSION_ID: {}}});
            return Some(made(extensions).and_then(|it: ClientCapabilities| {
                Err(ErrorData::missing_required_client_capability(it))
            }));
        }
        let (job, options) = match &*request.name {
            "slow_compute" => {
                let label = given("label").and_then(Value::as_str).unwrap_or("done");
                (json!({"seconds": given("seconds"), "text": label}), json!({}))
            }
            "failing_job" => (json!({"seconds": 1, "fails": "it was to fail"}), json!({})),
            "protocol_error_job" => {
                (json!({"seconds": 30}), json!({"schedule_to_close_timeout_ms": 1_000}))
            }
            "confirm_delete" => {
                (json!({"asks": "Really delete it?", "text": "deleted"}), json!({}))
            }
            "multi_input" => (json!({"asks": MULTI, "text": "both are known"}), json!({})),
            "test_tool_with_task" => match rounds::name(request) {
                Some(name) => (json!({"seconds": 0, "text": format!("Hello, {name}!")}), json!({})),
                None => return Some(rounds::ask_name().and_then(made).map(into_response)),
            },
            _ => return None,
        };
        Some(self.begin(job, options, takes_tasks).await)
    }

    async fn begin(
        &self,
        job: Value,
        options: Value,
        takes_tasks: bool,
    ) -> Result<CallToolResponse, ErrorData> {
        let post = json!({"skill": "kit.job", "parts": [{"data": job}], "options": options});
        let api = &self.product.api;
        let shown = api.ask(Ask::post("/v1/tasks", post)).await.map_err(|it| failed(&it))?;
        if takes_tasks {
            return Ok(CreateTaskResult::new(tasks::task(&shown)).into());
        }
        let patience = std::time::Duration::from_secs(25);
        let shown = follow(api, &shown, patience).await.map_err(|it| failed(&it))?;
        Ok(tasks::result(shown).into())
    }

    /// Shows the two questions of `multi_input` one by one.
    fn split(&self, detailed: DetailedTask) -> DetailedTask {
        let TaskPayload::InputRequired { input_requests } = &detailed.payload else {
            return detailed;
        };
        let Some((key, asked)) = input_requests.first_key_value() else { return detailed };
        if !serde_json::to_string(asked).is_ok_and(|it| it.contains(MULTI)) {
            return detailed;
        }
        let answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let done = answered.get(&detailed.task.task_id).cloned().unwrap_or_default();
        let both = ["first", "second"].map(|it| format!("{key}-{it}"));
        let left = both.into_iter().filter(|it| !done.contains(it));
        let input_requests = left.map(|it| (it, asked.clone())).collect();
        DetailedTask::new(detailed.task, TaskPayload::InputRequired { input_requests })
    }

    /// Takes note of an answer to one of two questions; returns what the product is to hear.
    fn join(&self, mut update: UpdateTaskParams) -> UpdateTaskParams {
        let mut answered = self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        let done = answered.entry(update.task_id.clone()).or_default();
        let mut whole = None;
        for key in update.input_responses.keys() {
            let of = key.strip_suffix("-first").or_else(|| key.strip_suffix("-second"));
            if let Some(of) = of {
                done.insert(key.clone());
                let both = ["first", "second"].map(|it| format!("{of}-{it}"));
                whole = both.iter().all(|it| done.contains(it)).then(|| of.to_owned()).or(whole);
            }
        }
        if let Some(key) = whole {
            let answer = json!({"action": "accept", "content": {"answer": "both"}});
            update.input_responses.insert(key, answer);
        }
        update
    }
}

/// What the agent asks who wants two things at once.
const MULTI: &str = "Both, please.";

fn into_response(result: rmcp::model::InputRequiredResult) -> CallToolResponse {
    CallToolResponse::InputRequired(result)
}

#[expect(deprecated, reason = "the version of 2025-11-25 has what was given up since")]
impl ServerHandler for Kit {
    fn get_info(&self) -> ServerConfig {
        let mut info = self.product.get_info();
        info.capabilities.completions = Some(rmcp::model::JsonObject::new());
        info
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        self.product.supported_protocol_versions()
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        let own = || listed::tools().into_iter().find(|it| it.name == name);
        self.product.get_tool(name).or_else(own)
    }

    async fn list_tools(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        let mut tools = self.product.list_tools(request, context).await?;
        tools.tools.extend(listed::tools());
        Ok(tools)
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let takes_tasks = context.client_capabilities().is_some_and(|it| it.supports_tasks());
        if let Some(answer) = self.job(&request, takes_tasks).await {
            return answer;
        }
        if let Some(answer) = rounds::answer(&request, &context) {
            return answer;
        }
        let own = match listed::content(&request) {
            Some(content) => Some(Ok(content)),
            None => talk::answer(&request, &context).await,
        };
        match own {
            Some(own) => Ok(made::<CallToolResult>(own?)?.into()),
            None => self.product.call_tool(request, context).await,
        }
    }

    async fn list_prompts(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        made(listed::prompts())
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        if request.name == "test_input_required_result_prompt" {
            return rounds::prompt(&request);
        }
        let Some(prompt) = listed::prompt(&request) else {
            return Err(ErrorData::invalid_params("there is no such prompt", None));
        };
        Ok(GetPromptResponse::Complete(made(prompt)?))
    }

    async fn complete(
        &self,
        _: CompleteRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<CompleteResult, ErrorData> {
        Ok(CompleteResult::default())
    }

    async fn set_level(
        &self,
        _: rmcp::model::SetLevelRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        if context.protocol_version() == Some(ProtocolVersion::V_2026_07_28) {
            return Err(ErrorData::new(rmcp::model::ErrorCode::METHOD_NOT_FOUND, "no", None));
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        _: SubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn unsubscribe(
        &self,
        _: UnsubscribeRequestParams,
        _: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        Ok(())
    }

    async fn list_resources(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        let mut all = self.product.list_resources(request, context).await?;
        all.resources.extend(made::<Vec<_>>(listed::resources())?);
        Ok(all)
    }

    async fn list_resource_templates(
        &self,
        request: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        let mut all = self.product.list_resource_templates(request, context).await?;
        all.resource_templates.extend(made::<Vec<_>>(listed::templates())?);
        Ok(all)
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        match listed::read(&request.uri) {
            Some(read) => Ok(ReadResourceResponse::Complete(made(read)?)),
            None => self.product.read_resource(request, context).await,
        }
    }

    async fn get_task(
        &self,
        request: GetTaskParams,
        _: RequestContext<RoleServer>,
    ) -> Result<GetTaskResult, ErrorData> {
        let shown = self.product.api.ask(Ask::get(tools::path(&request.task_id, ""))).await;
        let detailed = tasks::detailed(shown.map_err(|it| failed(&it))?);
        Ok(GetTaskResult::new(self.split(detailed)))
    }

    async fn update_task(
        &self,
        request: UpdateTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        let request = self.join(request);
        self.product.update_task(request, context).await
    }

    async fn cancel_task(
        &self,
        request: CancelTaskParams,
        context: RequestContext<RoleServer>,
    ) -> Result<(), ErrorData> {
        self.product.cancel_task(request, context).await
    }
}
