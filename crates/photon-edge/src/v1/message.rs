//! Messages from outside, checked, on their way to the region.
//! Must not know which request they came with.

use bytes::Bytes;
use photon_region::Json;
use serde::Serialize;

use crate::names::{self, Invalid};
use crate::v1::types::{Message, Part, Role};

/// The ways to give a message. At most one may be used.
#[derive(Debug, Default)]
pub(crate) struct Given {
    /// One part of text.
    pub(crate) text: Option<String>,
    /// Parts.
    pub(crate) parts: Option<Vec<Part>>,
    /// The whole message.
    pub(crate) message: Option<Message>,
}

impl Given {
    /// Checks what was given and makes one message of it; `None` when nothing was given.
    pub(crate) fn check(self, role: Role) -> Result<Option<Message>, Invalid> {
        match (self.text, self.parts, self.message) {
            (None, None, None) => Ok(None),
            (Some(text), None, None) => Ok(Some(Message::new(role, vec![Part::text(text)]))),
            (None, Some(parts), None) => {
                check_parts("parts", &parts)?;
                Ok(Some(Message::new(role, parts)))
            }
            (None, None, Some(message)) => {
                check_message("message", &message)?;
                Ok(Some(message))
            }
            (Some(_), Some(_), _) | (Some(_), _, Some(_)) => {
                Err(Invalid::new("text", "give only one of `text`, `parts` and `message`"))
            }
            (None, Some(_), Some(_)) => {
                Err(Invalid::new("parts", "give only one of `text`, `parts` and `message`"))
            }
        }
    }
}

/// Checks what the types alone do not.
pub(crate) fn check_message(field: &str, message: &Message) -> Result<(), Invalid> {
    if message.message_id.is_empty() {
        return Err(Invalid::new(format!("{field}.messageId"), "it must not be empty"));
    }
    if let Some(context_id) = &message.context_id {
        names::label(&format!("{field}.contextId"), context_id)?;
    }
    check_parts(&format!("{field}.parts"), &message.parts)
}

/// Checks that there are parts, and that each holds exactly one thing.
pub(crate) fn check_parts(field: &str, parts: &[Part]) -> Result<(), Invalid> {
    if parts.is_empty() {
        return Err(Invalid::new(field, "give one part or more"));
    }
    for (at, part) in parts.iter().enumerate() {
        let contents =
            [part.text.is_some(), part.raw.is_some(), part.url.is_some(), part.data.is_some()];
        if contents.into_iter().filter(|it| *it).count() != 1 {
            let rule = "give exactly one of `text`, `raw`, `url` and `data`";
            return Err(Invalid::new(format!("{field}[{at}]"), rule));
        }
        if part.raw.as_deref().is_some_and(|raw| !is_base64(raw)) {
            let rule = "use base 64 with padding";
            return Err(Invalid::new(format!("{field}[{at}].raw"), rule));
        }
    }
    Ok(())
}

/// Whether text is base 64 (RFC 4648, section 4) in its one canonical form.
fn is_base64(text: &str) -> bool {
    let value = |b: u8| match b {
        b'A'..=b'Z' => Some(b - b'A'),
        b'a'..=b'z' => Some(b - b'a' + 26),
        b'0'..=b'9' => Some(b - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    let Some(last) = digits.bytes().last() else { return padding == 0 };
    // The bits that the padding leaves over have to be zero.
    let spare_bits = match padding {
        0 => 0,
        1 => 2,
        2 => 4,
        _ => return false,
    };
    let is_clean = value(last).is_some_and(|it| it & ((1 << spare_bits) - 1) == 0);
    text.len().is_multiple_of(4) && is_clean && digits.bytes().all(|b| value(b).is_some())
}

/// Writes what is kept by the region.
pub(crate) fn keep(value: &impl Serialize) -> Json {
    let json = serde_json::to_vec(value).expect("our own types can be written as json");
    Json(Bytes::from(json))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, field: Option<&str>) {
        let message: Message = serde_json::from_str(json).unwrap();
        let found = check_message("message", &message).err().map(|it| it.field);
        assert_eq!(found.as_deref(), field, "{json}");
        if field.is_none() {
            let a2a: a2a::Message = serde_json::from_str(json).unwrap();
            assert_eq!(serde_json::to_value(a2a).unwrap(), serde_json::to_value(message).unwrap());
        }
    }

    #[test]
    fn a_message_is_what_a2a_takes_for_one() {
        let message =
            |parts: &str| format!(r#"{{"messageId": "m", "role": "ROLE_USER", "parts": {parts}}}"#);
        check(&message(r#"[{"text": ""}, {"data": null}, {"url": "x:y"}]"#), None);
        check(&message(r#"[{"raw": "QQ==", "mediaType": "a/b", "filename": "f"}]"#), None);
        check(&message("[]"), Some("message.parts"));
        check(&message("[{}]"), Some("message.parts[0]"));
        check(&message(r#"[{"text": "a"}, {"text": "", "url": ""}]"#), Some("message.parts[1]"));
        check(&message(r#"[{"raw": "QR=="}]"#), Some("message.parts[0].raw"));
        check(
            r#"{"messageId": "", "role": "ROLE_USER", "parts": [{"text": ""}]}"#,
            Some("message.messageId"),
        );
    }

    #[test]
    fn base_64_has_one_form() {
        for good in ["", "QUJD", "QUI=", "QQ==", "+/+/"] {
            assert!(is_base64(good), "{good}");
        }
        for bad in ["Q", "QQ", "QQ=", "QR==", "QUJ=", "====", "QQ==QQ==", "Q Q=", "-_-_"] {
            assert!(!is_base64(bad), "{bad}");
        }
    }
}
