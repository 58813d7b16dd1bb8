//! The OpenAPI document: what the derives cannot say is added to what they do.
//! Must not describe what the handlers do not enforce.

use bytes::Bytes;
use serde_json::{Value, json};
use utoipa::openapi::{ComponentsBuilder, LicenseBuilder};
use utoipa::openapi::{ContactBuilder, Info, OpenApi, OpenApiBuilder, Server};
use utoipa::{PartialSchema, ToSchema};

use super::data::RECORD_PATH;
use super::types::Problem;
use crate::Front;

/// Returns the document's head.
pub(super) fn head(front: &Front) -> OpenApi {
    let mut info = Info::new("Photon", &front.planet().version);
    info.description = Some(
        "AI agents in many regions as one system: agents, durable tasks, leases, and data that \
         every region may change. Errors are problem details (RFC 9457), explained in \
         `docs/errors.md`."
            .to_owned(),
    );
    info.license =
        Some(LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build());
    info.contact = Some(ContactBuilder::new().name(Some("Photon")).build());
    let components = ComponentsBuilder::new().schema(Problem::name(), Problem::schema()).build();
    OpenApiBuilder::new()
        .info(info)
        .components(Some(components))
        .servers(Some([Server::new("/")]))
        .build()
}

/// Adds what the derives cannot say, and writes the document.
pub(super) fn finish(front: &Front, document: &OpenApi) -> Bytes {
    let mut document = serde_json::to_value(document).expect("a document can be written as json");
    for (schema, groups) in ALTERNATIVES {
        let choices: Vec<Value> = groups.iter().map(choice).collect();
        document["components"]["schemas"][schema]["allOf"] = Value::Array(choices);
    }
    for named in ["tenants", "residencies"] {
        document["components"]["schemas"]["Dataset"]["properties"][named]["minProperties"] =
            1.into();
    }
    // A whole record has all that a tag has, so that both fit.
    let either = document["components"]["schemas"]["BatchRecord"].as_object_mut();
    let either = either.expect("the document has the schema");
    if let Some(choices) = either.remove("oneOf") {
        either.insert("anyOf".to_owned(), choices);
    }
    let paths = document["paths"].as_object_mut().expect("the document has paths");
    if let Some(record) = paths.remove(RECORD_PATH) {
        paths.insert("/v1/data/{dataset}/{key}".to_owned(), record);
    }
    if !front.tokens().is_empty() {
        document["components"]["securitySchemes"] =
            json!({"bearer": {"type": "http", "scheme": "bearer"}});
        document["security"] = json!([{"bearer": []}]);
        for path in ["/healthz", "/readyz"] {
            document["paths"][path]["get"]["security"] = json!([]);
        }
    }
    serde_json::to_vec(&document).expect("a document can be written as json").into()
}

/// The fields of which exactly one is to be given, by schema.
const ALTERNATIVES: [(&str, &[Choice]); 6] = [
    ("TaskPost", &[Choice::One(&["skill", "agent"]), Choice::One(&["text", "parts", "message"])]),
    ("Part", &[Choice::One(&["text", "raw", "url", "data"])]),
    ("NotePost", &[Choice::One(&["status", "artifact", "checkpoint"])]),
    ("ArtifactNote", &[Choice::One(&["text", "parts"])]),
    ("BatchWrite", &[Choice::One(&["put", "add", "patch", "delete"])]),
    ("CompletePost", &[Choice::NotBoth("message", "text")]),
];

/// A rule about which fields are given together.
enum Choice {
    /// Exactly one of these.
    One(&'static [&'static str]),
    /// Not both of these.
    NotBoth(&'static str, &'static str),
}

fn choice(choice: &Choice) -> Value {
    match choice {
        Choice::One(fields) => {
            let one = |field: &&str| json!({"required": [field]});
            json!({"oneOf": fields.iter().map(one).collect::<Vec<_>>()})
        }
        Choice::NotBoth(one, other) => json!({"not": {"required": [one, other]}}),
    }
}
