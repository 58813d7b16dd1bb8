//! What the kit finds listed, and what is the same each time.
//! Must not speak with anybody.

use rmcp::model::{CallToolRequestParams, GetPromptRequestParams, Tool};
use serde_json::{Value, json};

use super::text;

/// A picture of one pixel, and a sound of none.
const PNG: &str = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAA\
                   AABJRU5ErkJggg==";
const WAV: &str = "UklGRiQAAABXQVZFZm10IBAAAAABAAEARKwAAIhYAQACABAAZGF0YQAAAAA=";

/// The tools that take nothing.
const PLAIN: [&str; 28] = [
    "test_simple_text",
    "test_image_content",
    "test_audio_content",
    "test_embedded_resource",
    "test_multiple_content_types",
    "test_error_handling",
    "test_tool_with_progress",
    "test_tool_with_logging",
    "test_elicitation_sep1034_defaults",
    "test_elicitation_sep1330_enums",
    "test_missing_capability",
    "test_streaming_elicitation",
    "test_logging_tool",
    "test_trigger_tool_change",
    "test_trigger_prompt_change",
    "test_input_required_result_elicitation",
    "test_input_required_result_sampling",
    "test_input_required_result_list_roots",
    "test_input_required_result_request_state",
    "test_input_required_result_multiple_inputs",
    "test_input_required_result_multi_round",
    "test_input_required_result_tampered_state",
    "test_input_required_result_capabilities",
    "failing_job",
    "protocol_error_job",
    "multi_input",
    "test_tool_with_task",
    "test_nothing",
];

pub(super) fn tools() -> Vec<Tool> {
    let of = |name: &str, input: Value| {
        let tool = json!({"name": name, "description": "For tests", "inputSchema": input});
        serde_json::from_value(tool).expect("a tool that is constant")
    };
    let object = |properties: Value| json!({"type": "object", "properties": properties});
    let string = || json!({"type": "string"});
    let plain = PLAIN.iter().map(|it| of(it, object(json!({}))));
    let header = json!({"type": "string", "x-mcp-header": "Value"});
    let seconds = json!({"seconds": {"type": "number"}, "label": string()});
    let others = [
        of("test_sampling", object(json!({"prompt": string()}))),
        of("test_elicitation", object(json!({"message": string()}))),
        of("test_custom_header", object(json!({"value": header}))),
        of("greet", object(json!({"name": string()}))),
        of("slow_compute", object(seconds)),
        of("confirm_delete", object(json!({"filename": string()}))),
        of("json_schema_2020_12_tool", json_schema()),
    ];
    plain.chain(others).collect()
}

fn json_schema() -> Value {
    let address = json!({"$anchor": "addressDef", "type": "object", "properties": {
        "street": {"type": "string"}, "city": {"type": "string"}}});
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {"address": address},
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": false,
    })
}

/// Returns what a tool always says, if it is one of these.
pub(super) fn content(request: &CallToolRequestParams) -> Option<Value> {
    let given = |name: &str| {
        let it = request.arguments.as_ref().and_then(|it| it.get(name));
        it.and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let image = || json!({"type": "image", "data": PNG, "mimeType": "image/png"});
    let resource = |uri: &str, mime: &str, text: &str| {
        let resource = json!({"uri": uri, "mimeType": mime, "text": text});
        json!({"type": "resource", "resource": resource})
    };
    let of = |content: Value| json!({"resultType": "complete", "content": content});
    Some(match &*request.name {
        "test_simple_text" => text("This is a simple text response for testing."),
        "test_image_content" => of(json!([image()])),
        "test_audio_content" => {
            of(json!([{"type": "audio", "data": WAV, "mimeType": "audio/wav"}]))
        }
        "test_embedded_resource" => of(json!([resource(
            "test://embedded-resource",
            "text/plain",
            "This is an embedded resource content."
        )])),
        "test_multiple_content_types" => {
            let mixed = r#"{"test":"data","value":123}"#;
            let mixed = resource("test://mixed-content-resource", "application/json", mixed);
            of(json!([{"type": "text", "text": "Multiple content types test:"}, image(), mixed]))
        }
        "test_error_handling" => {
            let mut error = text("This tool intentionally returns an error for testing");
            error["isError"] = json!(true);
            error
        }
        "greet" => text(format!("Hello, {}!", given("name"))),
        "test_custom_header" => text(given("value")),
        "test_trigger_tool_change"
        | "test_trigger_prompt_change"
        | "test_nothing"
        | "json_schema_2020_12_tool" => text("done"),
        _ => return None,
    })
}

pub(super) fn prompts() -> Value {
    let of = |name: &str, arguments: &[&str]| {
        let arguments = arguments.iter().map(|it| json!({"name": it, "required": true}));
        let arguments: Vec<Value> = arguments.collect();
        json!({"name": name, "description": "For tests", "arguments": arguments})
    };
    json!({"resultType": "complete", "prompts": [
        of("test_simple_prompt", &[]),
        of("test_prompt_with_arguments", &["arg1", "arg2"]),
        of("test_prompt_with_embedded_resource", &["resourceUri"]),
        of("test_prompt_with_image", &[]),
        of("test_input_required_result_prompt", &[]),
    ]})
}

pub(super) fn prompt(request: &GetPromptRequestParams) -> Option<Value> {
    let given = |name: &str| {
        let it = request.arguments.as_ref().and_then(|it| it.get(name));
        it.and_then(|it| serde_json::to_value(it).ok())
            .and_then(|it| it.as_str().map(str::to_owned))
            .unwrap_or_default()
    };
    let said = |text: String| json!({"role": "user", "content": {"type": "text", "text": text}});
    let messages = match request.name.as_str() {
        "test_simple_prompt" => json!([said("This is a simple prompt for testing.".into())]),
        "test_prompt_with_arguments" => {
            json!([said(format!("arg1='{}', arg2='{}'", given("arg1"), given("arg2")))])
        }
        "test_prompt_with_embedded_resource" => {
            let resource = json!({"uri": given("resourceUri"), "mimeType": "text/plain",
                "text": "Embedded resource content for testing."});
            let first = json!({"role": "user",
                "content": {"type": "resource", "resource": resource}});
            json!([first, said("Please process the embedded resource above.".into())])
        }
        "test_prompt_with_image" => {
            let image = json!({"type": "image", "data": PNG, "mimeType": "image/png"});
            json!([{"role": "user", "content": image}, said("Please look at the image.".into())])
        }
        _ => return None,
    };
    Some(json!({"resultType": "complete", "messages": messages}))
}

pub(super) fn resources() -> Value {
    json!([
        {"uri": "test://static-text", "name": "static-text", "mimeType": "text/plain"},
        {"uri": "test://static-binary", "name": "static-binary", "mimeType": "image/png"},
    ])
}

pub(super) fn templates() -> Value {
    json!([{"uriTemplate": "test://template/{id}/data", "name": "template",
        "mimeType": "application/json"}])
}

pub(super) fn read(uri: &str) -> Option<Value> {
    let id = uri.strip_prefix("test://template/").and_then(|it| it.strip_suffix("/data"));
    let contents = match (uri, id) {
        ("test://static-text", _) => json!({"uri": uri, "mimeType": "text/plain",
            "text": "This is the content of the static text resource."}),
        ("test://static-binary", _) => json!({"uri": uri, "mimeType": "image/png", "blob": PNG}),
        (_, Some(id)) => {
            let data =
                json!({"id": id, "templateTest": true, "data": format!("Data for ID: {id}")});
            json!({"uri": uri, "mimeType": "application/json", "text": data.to_string()})
        }
        (_, None) => return None,
    };
    Some(json!({"resultType": "complete", "ttlMs": 0, "cacheScope": "private",
        "contents": [contents]}))
}
