//! What a case may name although nobody can guess it: what the region has answered before.
//! Must not know which request wants it.

use axum::http::HeaderMap;

/// Stands for the task that was answered last; as long as one.
pub const TASK: &[u8; 26] = b"TASKTASKTASKTASKTASKTASKTA";
/// Stands for the token of its lease, as text.
pub const TOKEN: &[u8] = b"TOKEN";
/// Stands for the same as a number of Protocol Buffers, of ten bytes.
pub const TOKEN_VARINT: &[u8; 10] = b"\xfd\xfd\xfd\xfd\xfd\xfd\xfd\xfd\xfd\x01";
/// Stands for the session of MCP that was begun last.
pub const SESSION: &[u8] = b"SESSION";
/// Stands for where the next page begins.
pub const PAGE: &[u8] = b"PAGE";
/// Stands for the cursor of a message.
pub const CURSOR: &[u8] = b"CURSOR";

/// What the region has answered before.
#[derive(Clone, Debug, Default)]
pub struct Known {
    task: Option<String>,
    token: Option<u64>,
    session: Option<String>,
    page: Option<String>,
    cursor: Option<String>,
}

impl Known {
    /// Forgets the lease of a case before.
    pub fn begin(&mut self) {
        self.token = None;
    }

    /// Whether there is a lease.
    pub fn has_lease(&self) -> bool {
        self.token.is_some()
    }

    /// Takes in an answer. While there is a lease, its task is the one that is meant.
    pub fn hear(&mut self, headers: &HeaderMap, body: &[u8]) {
        let body = String::from_utf8_lossy(body);
        let token = quoted(&body, "token").and_then(|it| it.parse().ok());
        let task = ["task", "id"].iter().filter_map(|it| quoted(&body, it)).find(is_task);
        if let Some(task) = task.filter(|_| token.is_some() || self.token.is_none()) {
            self.task = Some(task.to_owned());
            self.token = token;
        }
        let session = headers.get("mcp-session-id").and_then(|it| it.to_str().ok());
        learn(&mut self.session, session);
        let page = ["nextPageToken", "next_cursor", "nextCursor", "pageToken"];
        learn(&mut self.page, page.iter().find_map(|it| quoted(&body, it)));
        learn(&mut self.cursor, quoted(&body, "cursor"));
    }

    /// Puts what is known in the place of what stands for it.
    pub fn fill(&self, bytes: &[u8]) -> Vec<u8> {
        let token = self.token.map(|it| it.to_string());
        let mut filled = bytes.to_vec();
        for (mark, known) in [
            (&TASK[..], &self.task),
            (TOKEN, &token),
            (SESSION, &self.session),
            (PAGE, &self.page),
            (CURSOR, &self.cursor),
        ] {
            if let Some(known) = known {
                filled = replaced(&filled, mark, known.as_bytes());
            }
        }
        let varint = self.token.map(varint);
        varint.map_or(filled.clone(), |it| replaced(&filled, TOKEN_VARINT, &it))
    }
}

fn learn(known: &mut Option<String>, heard: Option<&str>) {
    if let Some(heard) = heard.filter(|it| !it.is_empty()) {
        *known = Some(heard.to_owned());
    }
}

fn is_task(text: &&str) -> bool {
    text.len() == TASK.len() && text.bytes().all(|it| it.is_ascii_alphanumeric())
}

/// Finds the first text of this name that needs no escapes, however deep it lies.
fn quoted<'a>(json: &'a str, name: &str) -> Option<&'a str> {
    let name = format!("\"{name}\":\"");
    let rest = &json[json.find(&name)? + name.len()..];
    Some(&rest[..rest.find('"')?]).filter(|it| !it.contains('\\'))
}

fn replaced(bytes: &[u8], mark: &[u8], with: &[u8]) -> Vec<u8> {
    let mut all = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = rest.windows(mark.len()).position(|it| it == mark) {
        all.extend_from_slice(&rest[..at]);
        all.extend_from_slice(with);
        rest = &rest[at + mark.len()..];
    }
    all.extend_from_slice(rest);
    all
}

/// Writes a number in ten bytes, as none needs more.
fn varint(mut number: u64) -> [u8; 10] {
    let mut bytes = [0x80; 10];
    for byte in &mut bytes {
        *byte |= (number & 0x7f) as u8;
        number >>= 7;
    }
    bytes[9] &= 0x7f;
    bytes
}
