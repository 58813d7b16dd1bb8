//! The Tasks extension (SEP-2663) over the tasks of the planet: a call of `send_task` is answered
//! with a task, which any region shows, and which outlives each of them.
//! Must not know who asks.

use rmcp::model::{
    CallToolResult, ContentBlock, DetailedTask, InputRequests, JsonObject, Task, TaskPayload,
    TaskStatus, UpdateTaskParams,
};
use serde_json::{Value, json};

use super::api::{Api, Ask};
use super::tools::path;
use crate::v1::types::Problem;

/// How often a client should look.
const POLL_MS: u64 = 1_000;

/// What a client is asked for by an agent: names the question by the generation of the task.
const QUESTION: &str = "answer-";

/// Shows a task that was just begun.
pub(super) fn task(shown: &Value) -> Task {
    let text = |name: &str| shown[name].as_str().unwrap_or_default().to_owned();
    let task = Task::new(text("id"), TaskStatus::Working, text("created_at"), text("changed_at"));
    let state = text("state").replace('_', " ");
    task.with_poll_interval_ms(POLL_MS).with_status_message(state)
}

/// Shows a task as it stands, with what came of it.
pub(super) fn detailed(shown: Value) -> DetailedTask {
    let task = task(&shown);
    let payload = match shown["state"].as_str().unwrap_or_default() {
        "input_required" | "auth_required" => {
            TaskPayload::InputRequired { input_requests: questions(&shown) }
        }
        "canceled" => TaskPayload::Cancelled,
        "failed" if !shown["last_message"]["metadata"]["photon/reason"].is_null() => {
            // No agent has failed: the planet gave it up.
            let said = asked(&shown["last_message"]["parts"]).join(" ");
            let error = json!({"code": -32603, "message": said});
            TaskPayload::Failed { error: object(error) }
        }
        "completed" | "failed" | "rejected" => {
            let result = serde_json::to_value(result(shown)).expect("a result is JSON");
            TaskPayload::Completed { result: object(result) }
        }
        _ => TaskPayload::Working,
    };
    DetailedTask::new(task, payload)
}

fn object(value: Value) -> JsonObject {
    match value {
        Value::Object(fields) => fields,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            JsonObject::new()
        }
    }
}

/// Returns what the agent of a task asks its client.
fn questions(shown: &Value) -> InputRequests {
    let generation = shown["generation"].as_u64().unwrap_or(0);
    let question = asked(&shown["last_message"]["parts"]).join("\n");
    let asked = json!({
        "method": "elicitation/create",
        "params": {
            "mode": "form",
            "message": if question.is_empty() { "The agent needs an answer." } else { &question },
            "requestedSchema": {
                "type": "object",
                "properties": {"answer": {"type": "string", "title": "Answer"}},
                "required": ["answer"],
            },
        },
    });
    let asked = serde_json::from_value(asked).expect("a question has the form of one");
    InputRequests::from([(format!("{QUESTION}{generation}"), asked)])
}

/// Shows what came of a task as what came of the call of a tool.
pub(super) fn result(shown: Value) -> CallToolResult {
    let artifacts = shown["artifacts"].as_array().into_iter().flatten();
    let mut said: Vec<String> = artifacts.flat_map(|it| words(&it["parts"])).collect();
    said.extend(words(&shown["last_message"]["parts"]));
    let state = shown["state"].as_str().unwrap_or_default();
    if said.is_empty() {
        let id = shown["id"].as_str().unwrap_or_default();
        said.push(format!("task {id} is {state}"));
    }
    let is_error = matches!(state, "failed" | "rejected");
    let mut result = CallToolResult::success(said.into_iter().map(ContentBlock::text).collect());
    result.structured_content = Some(shown);
    result.is_error = Some(is_error);
    result
}

/// Returns parts as text, each by itself: whoever reads texts alone misses no part.
fn words(parts: &Value) -> Vec<String> {
    parts.as_array().into_iter().flatten().map(word).collect()
}

/// Returns the same of what is said to people: without data if there is anything else, because
/// programs may find there what is said in words.
fn asked(parts: &Value) -> Vec<String> {
    let all = || parts.as_array().into_iter().flatten();
    let is_data = |it: &&Value| it.get("data").is_some();
    let has_words = all().any(|it| !is_data(&it));
    all().filter(|it| !(has_words && is_data(it))).map(word).collect()
}

/// Returns a part as text: data as JSON, a link as its address, and of a file what it is.
fn word(part: &Value) -> String {
    if let Some(text) = part["text"].as_str() {
        return text.to_owned();
    }
    if let Some(data) = part.get("data") {
        return data.to_string();
    }
    let name = part["filename"].as_str();
    if let Some(url) = part["url"].as_str() {
        return name.map_or_else(|| url.to_owned(), |name| format!("{name}: {url}"));
    }
    let name = name.map_or_else(|| "a file".to_owned(), |it| format!("the file {it}"));
    let kind = part["mediaType"].as_str().map(|it| format!(" ({it})"));
    name + &kind.unwrap_or_default()
}

/// Takes in what the client answers. What nobody asks any more is passed over.
pub(super) async fn update(api: &Api, update: &UpdateTaskParams) -> Result<(), Box<Problem>> {
    // Who is not there is told so, whatever is answered.
    api.ask(Ask::get(path(&update.task_id, ""))).await?;
    for (key, response) in &update.input_responses {
        let asked = key.strip_prefix(QUESTION).and_then(|it| it.parse::<u64>().ok());
        let Some(generation) = asked else { continue };
        let text = match response["action"].as_str() {
            Some("accept") => Some(accepted(&response["content"])),
            Some("decline") => Some("The client declines to answer.".to_owned()),
            Some(_) | None => None,
        };
        let Some(text) = text else { continue };
        let answer = json!({ "text": text, "generation": generation });
        let answer = Ask {
            idempotency_key: Some(key.clone()),
            ..Ask::post(path(&update.task_id, "/messages"), answer)
        };
        match api.ask(answer).await {
            Err(problem) if problem.status != 409 => return Err(problem),
            Ok(_) | Err(_) => {}
        }
    }
    Ok(())
}

/// Returns the answer as text: what was asked for, or all that was given instead.
fn accepted(content: &Value) -> String {
    content["answer"].as_str().map_or_else(|| content.to_string(), str::to_owned)
}

/// Calls a task off; one that has ended stays as it is.
pub(super) async fn cancel(api: &Api, id: &str) -> Result<(), Box<Problem>> {
    match api.ask(Ask::post(path(id, "/cancel"), json!({}))).await {
        Err(problem) if problem.status != 409 => Err(problem),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(state: &str) -> Value {
        json!({"id": "t", "state": state, "generation": 4, "created_at": "a", "changed_at": "b",
            "artifacts": [{"id": "out", "parts": [{"text": "HELLO"}, {"data": {"a": 1}}]}],
            "last_message": {"parts": [{"text": "which colour?"}, {"data": ["red"]},
                {"url": "https://a.b/c"}]}})
    }

    #[test]
    fn a_task_is_shown_as_its_state_is() {
        let check = |state: &str, expected: TaskStatus| {
            assert_eq!(detailed(shown(state)).status(), expected, "{state}");
        };
        check("submitted", TaskStatus::Working);
        check("working", TaskStatus::Working);
        check("auth_required", TaskStatus::InputRequired);
        check("completed", TaskStatus::Completed);
        check("failed", TaskStatus::Completed);
        check("canceled", TaskStatus::Cancelled);
    }

    #[test]
    fn what_failed_is_an_error_of_the_tool_and_says_why() {
        let done = serde_json::to_value(result(shown("completed"))).unwrap();
        assert_eq!(done["content"][0]["text"], "HELLO");
        assert_eq!(
            (&done["isError"], &done["structuredContent"]["id"]),
            (&json!(false), &json!("t"))
        );
        let failed = serde_json::to_value(result(shown("failed"))).unwrap();
        assert_eq!(failed["isError"], json!(true));
    }

    #[test]
    fn a_question_is_named_by_its_generation() {
        let TaskPayload::InputRequired { input_requests } =
            detailed(shown("input_required")).payload
        else {
            panic!("it asks");
        };
        let asked = serde_json::to_value(input_requests).unwrap();
        assert_eq!(asked["answer-4"]["params"]["message"], "which colour?\nhttps://a.b/c");
    }

    #[test]
    fn whoever_reads_texts_alone_misses_no_part() {
        let done = serde_json::to_value(result(shown("completed"))).unwrap();
        let texts = done["content"].as_array().unwrap().iter().map(|it| it["text"].clone());
        let texts: Vec<_> = texts.collect();
        let expected = ["HELLO", r#"{"a":1}"#, "which colour?", r#"["red"]"#, "https://a.b/c"];
        assert_eq!(texts, expected);
        let check = |part: Value, expected: &str| assert_eq!(word(&part), expected);
        check(json!({"url": "https://a.b/c", "filename": "c.png"}), "c.png: https://a.b/c");
        check(json!({"raw": "aGk=", "filename": "c", "mediaType": "a/b"}), "the file c (a/b)");
        check(json!({"raw": "aGk="}), "a file");
        check(json!({"data": null}), "null");
        assert_eq!(super::asked(&json!([{"data": 1}])), ["1"]);
    }
}
