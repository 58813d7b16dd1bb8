//! What is asked of an agent, in the blocks of a prompt; and its blocks as parts of our artifact.
//! Must not talk to anybody.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use photon_edge::v1::types::{Lease, Message, Part, Raw, Role};

use super::wire::{Content, Resource, Takes};

/// Says what an agent asked of its client in a session that is lost.
const ASKED: &str = "Earlier in this task you asked:";
/// Says what the client answered.
const ANSWERED: &str = "The answer was:";

/// An agent cannot be given something.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the program takes no files of the type `{0}`")]
pub(super) struct NotTaken(String);

/// Returns the prompt of a task: what was asked, and what the agent and its client have said to
/// each other since.
pub(super) fn prompt(lease: &Lease, takes: Takes) -> Result<Vec<Content>, NotTaken> {
    let mut blocks = blocks_of(&lease.message, takes)?;
    for turn in &lease.turns {
        match turn.parse() {
            Ok(Message { role: Role::Agent, parts, .. }) => {
                blocks.push(text(ASKED));
                // What was asked in words is there as data once more, for programs of clients.
                blocks.extend(parts.into_iter().filter_map(|it| it.text).map(text));
            }
            Ok(Message { role: Role::User, .. }) | Err(_) => {
                blocks.push(text(ANSWERED));
                blocks.extend(blocks_of(turn, takes)?);
            }
        }
    }
    Ok(blocks)
}

fn blocks_of(message: &Raw<Message>, takes: Takes) -> Result<Vec<Content>, NotTaken> {
    match message.parse() {
        Ok(message) => message.parts.into_iter().map(|it| block(it, takes)).collect(),
        // A message that is none of A2A is still JSON, which some agents may understand.
        Err(_) => Ok(vec![text(message.as_str())]),
    }
}

fn text(text: impl Into<String>) -> Content {
    Content::Text { text: text.into() }
}

fn block(part: Part, takes: Takes) -> Result<Content, NotTaken> {
    let Part { text: said, raw, url, data, filename, media_type, metadata: _ } = part;
    if let Some(said) = said {
        return Ok(text(said));
    }
    if let Some(uri) = url {
        let name = filename.unwrap_or_else(|| last_segment(&uri).to_owned());
        return Ok(Content::ResourceLink { uri, name, mime_type: media_type });
    }
    let Some(raw) = raw else {
        return Ok(text(data.unwrap_or_default().to_string()));
    };
    let mime_type = media_type.unwrap_or_else(|| "application/octet-stream".to_owned());
    if takes.image && mime_type.starts_with("image/") {
        return Ok(Content::Image { data: raw, mime_type });
    }
    if takes.audio && mime_type.starts_with("audio/") {
        return Ok(Content::Audio { data: raw, mime_type });
    }
    let plain = STANDARD.decode(&raw).ok().and_then(|it| String::from_utf8(it).ok());
    let plain = plain.filter(|_| is_text(&mime_type));
    match (takes.embedded_context, plain) {
        (true, plain) => {
            let uri = format!("file:///{}", filename.as_deref().unwrap_or("unnamed"));
            let blob = plain.is_none().then_some(raw);
            let resource = Resource { uri, mime_type: Some(mime_type), text: plain, blob };
            Ok(Content::Resource { resource })
        }
        (false, Some(plain)) => Ok(text(plain)),
        (false, None) => Err(NotTaken(mime_type)),
    }
}

/// Whether a file may be read as text.
fn is_text(mime_type: &str) -> bool {
    let kinds = ["text/", "application/json", "application/xml", "application/octet-stream"];
    kinds.iter().any(|it| mime_type.starts_with(it))
}

fn last_segment(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    path.rsplit('/').next().filter(|it| !it.is_empty()).unwrap_or(uri)
}

/// Returns what an agent says, as a part of an artifact; none for what nobody knows.
pub(super) fn part(content: Content) -> Option<Part> {
    Some(match content {
        Content::Text { text } => Part::text(text),
        Content::Image { data, mime_type } | Content::Audio { data, mime_type } => {
            Part { raw: Some(data), media_type: Some(mime_type), ..Part::default() }
        }
        Content::ResourceLink { uri, name, mime_type } => {
            let (url, filename) = (Some(uri), Some(name));
            Part { url, filename, media_type: mime_type, ..Part::default() }
        }
        Content::Resource { resource: Resource { uri, mime_type, text, blob } } => {
            let filename = Some(last_segment(&uri).to_owned());
            let part = Part { filename, media_type: mime_type, ..Part::default() };
            match (text, blob) {
                (Some(text), _) => Part { text: Some(text), ..part },
                (None, Some(blob)) => Part { raw: Some(blob), ..part },
                (None, None) => Part { url: Some(uri), ..part },
            }
        }
        Content::Other => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const ALL: Takes = Takes { image: true, audio: true, embedded_context: true };

    fn check(message: &Value, turns: &Value, takes: Takes, expected: &Value) {
        let lease: Lease = serde_json::from_value(json!({
            "task": "t", "token": "1", "attempt": 1, "home": "h", "context_id": "c",
            "placement": "global", "ttl_ms": 1, "message": message, "turns": turns,
        }))
        .unwrap();
        let blocks = match prompt(&lease, takes) {
            Ok(blocks) => serde_json::to_value(blocks).unwrap(),
            Err(error) => error.to_string().into(),
        };
        assert_eq!(&blocks, expected);
    }

    fn asked(parts: &Value, takes: Takes, expected: &Value) {
        let message = json!({"messageId": "m", "role": "ROLE_USER", "parts": parts});
        check(&message, &json!([]), takes, expected);
    }

    #[test]
    fn each_part_becomes_a_block() {
        let text = |text: &str| json!({"type": "text", "text": text});
        let none = Takes::default();
        asked(&json!([{"text": "a"}, {"text": "b"}]), none, &json!([text("a"), text("b")]));
        asked(&json!([{"data": {"x": [1]}}]), none, &json!([text("{\"x\":[1]}")]));
        let link = json!({"type": "resource_link", "uri": "https://a.b/c.txt?d", "name": "c.txt"});
        asked(&json!([{"url": "https://a.b/c.txt?d"}]), none, &json!([link]));
        let image = json!([{"raw": "/w==", "mediaType": "image/png"}]);
        let whole = json!({"type": "image", "data": "/w==", "mimeType": "image/png"});
        asked(&image, ALL, &json!([whole]));
        asked(&image, none, &json!("the program takes no files of the type `image/png`"));
        let file = json!([{"raw": "aGk=", "mediaType": "text/x-rust", "filename": "a.rs"}]);
        asked(&file, none, &json!([text("hi")]));
        let inner = json!({"uri": "file:///a.rs", "mimeType": "text/x-rust", "text": "hi"});
        asked(&file, ALL, &json!([{"type": "resource", "resource": inner}]));
        let inner = json!({"uri": "file:///unnamed", "mimeType": "application/octet-stream",
                           "blob": "/w=="});
        asked(&json!([{"raw": "/w=="}]), ALL, &json!([{"type": "resource", "resource": inner}]));
    }

    #[test]
    fn what_was_said_since_is_told_to_a_new_session() {
        let say = |role: &str, text: &str| {
            let parts = json!([{ "text": text }]);
            json!({"messageId": "m", "role": role, "parts": parts})
        };
        let mut asked = say("ROLE_AGENT", "may I?");
        asked["parts"].as_array_mut().unwrap().push(json!({"data": {"options": []}}));
        let turns = json!([asked, say("ROLE_USER", "yes")]);
        let texts = ["do it", ASKED, "may I?", ANSWERED, "yes"];
        let blocks: Vec<_> = texts.iter().map(|it| json!({"type": "text", "text": it})).collect();
        check(&say("ROLE_USER", "do it"), &turns, Takes::default(), &json!(blocks));
    }

    #[test]
    fn what_an_agent_says_becomes_parts() {
        let check = |content: Value, expected: Value| {
            let content: Content = serde_json::from_value(content).unwrap();
            let part = part(content).map(|it| serde_json::to_value(it).unwrap());
            assert_eq!(part.unwrap_or_default(), expected);
        };
        check(json!({"type": "text", "text": "hi"}), json!({"text": "hi"}));
        let image = json!({"type": "image", "data": "/w==", "mimeType": "image/png"});
        check(image, json!({"raw": "/w==", "mediaType": "image/png"}));
        let link = json!({"type": "resource_link", "uri": "file:///a", "name": "a"});
        check(link, json!({"url": "file:///a", "filename": "a"}));
        let inner = json!({"uri": "file:///x/a.md", "text": "hi"});
        let whole = json!({"type": "resource", "resource": inner});
        check(whole, json!({"text": "hi", "filename": "a.md"}));
        check(json!({"type": "later"}), Value::Null);
    }
}
