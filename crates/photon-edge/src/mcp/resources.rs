//! Resources: the regions, agents and tasks of the planet, as JSON.
//! Must not know how `/v1` comes by them.

use rmcp::ErrorData;
use rmcp::model::{
    CacheScope, ListResourceTemplatesResult, ListResourcesResult, ReadResourceResult, Resource,
    ResourceContents, ResourceTemplate,
};

use super::api::{Api, Ask, escaped};
use super::handler::failed;

const REGIONS: &str = "photon://regions";
const AGENTS: &str = "photon://agents/";
const TASKS: &str = "photon://tasks/";
const JSON: &str = "application/json";

/// Lists the regions as one, and each agent; tasks are too many to be listed.
pub(super) async fn list(
    api: &Api,
    cursor: Option<String>,
) -> Result<ListResourcesResult, ErrorData> {
    let is_first = cursor.is_none();
    let shown = api.ask(Ask::get("/v1/agents").query("cursor", cursor)).await;
    let shown = shown.map_err(|it| failed(&it))?;
    let regions = Resource::new(REGIONS, "regions")
        .with_description("All regions of the planet, and how they are")
        .with_mime_type(JSON);
    let agents = shown["agents"].as_array().into_iter().flatten().filter_map(|it| {
        let name = it["name"].as_str()?;
        let text = format!("The agent `{name}`: its skills, where it is, how busy it is");
        let resource = Resource::new(format!("{AGENTS}{name}"), name);
        Some(resource.with_description(text).with_mime_type(JSON))
    });
    let all = is_first.then_some(regions).into_iter().chain(agents).collect();
    let mut list = ListResourcesResult::with_all_items(all);
    list.next_cursor = shown["next_cursor"].as_str().map(str::to_owned);
    Ok(list.with_ttl_ms(1_000).with_cache_scope(CacheScope::Private))
}

/// Returns the forms of addresses.
pub(super) fn templates() -> ListResourceTemplatesResult {
    let agent = ResourceTemplate::new(format!("{AGENTS}{{name}}"), "agent")
        .with_description("An agent: its skills, where it is, how busy it is")
        .with_mime_type(JSON);
    let task = ResourceTemplate::new(format!("{TASKS}{{id}}"), "task")
        .with_description("A task with its artifacts")
        .with_mime_type(JSON);
    ListResourceTemplatesResult::with_all_items(vec![agent, task])
}

/// Reads one.
pub(super) async fn read(api: &Api, uri: &str) -> Result<ReadResourceResult, ErrorData> {
    let path = match (uri.strip_prefix(AGENTS), uri.strip_prefix(TASKS)) {
        _ if uri == REGIONS => "/v1/regions".to_owned(),
        (Some(name), _) => format!("/v1/agents/{}", escaped(name)),
        (None, Some(id)) => format!("/v1/tasks/{}", escaped(id)),
        (None, None) => return Err(missing(uri)),
    };
    let shown = match api.ask(Ask::get(path)).await {
        Ok(shown) => shown,
        Err(problem) if matches!(problem.status, 400 | 404) => return Err(missing(uri)),
        Err(problem) => return Err(failed(&problem)),
    };
    let contents = ResourceContents::text(shown.to_string(), uri).with_mime_type(JSON);
    let result = ReadResourceResult::new(vec![contents]);
    Ok(result.with_ttl_ms(0).with_cache_scope(CacheScope::Private))
}

fn missing(uri: &str) -> ErrorData {
    let data = serde_json::json!({ "uri": uri });
    ErrorData::resource_not_found(format!("there is no resource `{uri}`"), Some(data))
}
