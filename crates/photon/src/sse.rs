//! Server-sent events: from bytes, in whatever pieces they arrive, to events.
//! Must not know what the events mean, nor how the bytes came.

use std::collections::VecDeque;

/// One event of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerEvent {
    /// Its kind; empty when the server gave none.
    pub kind: String,
    /// The last id that the server gave, in this event or before it.
    pub id: String,
    /// Its data; the lines are joined by line feeds.
    pub data: String,
}

/// A stream that is no stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// A single event is larger than any that Photon makes.
    #[error("an event of the stream is larger than {} bytes", Parser::EVENT_BYTES_MAX)]
    TooLarge,
    /// The stream is not text.
    #[error("a line of the stream is not UTF-8")]
    NotText,
}

/// Turns bytes into events, by the rules of the HTML standard.
#[derive(Debug, Default)]
pub struct Parser {
    line: Vec<u8>,
    after_return: AfterReturn,
    kind: String,
    id: String,
    data: String,
    events: VecDeque<ServerEvent>,
}

/// Whether the last byte was a carriage return, so that a line feed belongs to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum AfterReturn {
    Yes,
    #[default]
    No,
}

impl Parser {
    /// The most bytes of one event; a stream with a larger one is refused.
    pub const EVENT_BYTES_MAX: usize = 32 << 20;

    /// Takes in the next bytes of the stream.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        for &byte in bytes {
            let after_return = std::mem::take(&mut self.after_return);
            match byte {
                b'\n' if after_return == AfterReturn::Yes => {}
                b'\n' => self.end_line()?,
                b'\r' => {
                    self.after_return = AfterReturn::Yes;
                    self.end_line()?;
                }
                _ if Self::EVENT_BYTES_MAX <= self.line.len() + self.data.len() => {
                    return Err(SseError::TooLarge);
                }
                byte => self.line.push(byte),
            }
        }
        Ok(())
    }

    /// Returns the next event that is whole.
    pub fn pop(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Returns the last id that the server gave, with an event or without; empty before the first.
    #[must_use]
    pub fn last_id(&self) -> &str {
        &self.id
    }

    fn end_line(&mut self) -> Result<(), SseError> {
        let line = std::mem::take(&mut self.line);
        let line = String::from_utf8(line).map_err(|_| SseError::NotText)?;
        let line = line.strip_prefix('\u{feff}').unwrap_or(&line);
        if line.is_empty() {
            self.end_event();
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.kind),
            "id" if !value.contains('\0') => value.clone_into(&mut self.id),
            "data" => {
                self.data.push_str(value);
                self.data.push('\n');
            }
            // Comments have an empty field name; other fields have no meaning here.
            _ => {}
        }
        Ok(())
    }

    /// An event without data is none: servers send such to keep the connection alive.
    fn end_event(&mut self) {
        let kind = std::mem::take(&mut self.kind);
        let mut data = std::mem::take(&mut self.data);
        if data.pop().is_some() {
            self.events.push_back(ServerEvent { kind, id: self.id.clone(), data });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of the text, whatever the pieces in which it arrives.
    fn check(text: &str, expected: &[(&str, &str, &str)]) {
        for piece_bytes in [1, 2, 3, 7, text.len().max(1)] {
            let mut parser = Parser::default();
            for piece in text.as_bytes().chunks(piece_bytes) {
                parser.push(piece).unwrap();
            }
            let events: Vec<_> = std::iter::from_fn(|| parser.pop()).collect();
            let found: Vec<_> = events.iter().map(|it| (&*it.kind, &*it.id, &*it.data)).collect();
            assert_eq!(found, expected, "{text:?} in pieces of {piece_bytes}");
        }
    }

    #[test]
    fn fields_make_an_event_and_an_empty_line_ends_it() {
        check("event: a\nid: 7\ndata: x\n\n", &[("a", "7", "x")]);
        check("data: é\n\ndata:y\n\n", &[("", "", "é"), ("", "", "y")]);
        check("data: never ended\n", &[]);
    }

    #[test]
    fn an_id_holds_until_the_next_and_a_kind_does_not() {
        check("id: 1\nevent: a\ndata: x\n\ndata: y\n\n", &[("a", "1", "x"), ("", "1", "y")]);
    }

    #[test]
    fn every_line_ending_and_several_lines_of_data_are_understood() {
        for end in ["\n", "\r", "\r\n"] {
            let text = ["data: one", "data", "data:  three", "", ""].join(end);
            check(&text, &[("", "", "one\n\n three")]);
        }
    }

    #[test]
    fn comments_unknown_fields_and_events_without_data_are_passed_over() {
        check(
            "\u{feff}: hello\nretry: 5\nfoo: bar\nevent: a\n\n:\n\ndata: x\n\n",
            &[("", "", "x")],
        );
    }

    #[test]
    fn what_is_no_text_or_far_too_large_is_refused() {
        assert_eq!(Parser::default().push(b"data: \xff\n"), Err(SseError::NotText));
        let large = vec![b'x'; Parser::EVENT_BYTES_MAX + 1];
        assert_eq!(Parser::default().push(&large), Err(SseError::TooLarge));
    }
}
