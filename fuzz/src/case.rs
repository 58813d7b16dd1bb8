//! A case is requests, one after the other: a byte that chooses the route of each, what goes into
//! its path, a line for each header, an empty line, and the body.
//! Must not ask anybody.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Version};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream;
use photon_state::StableHash;
use tokio::time::sleep;

use crate::answers::Sent;
use crate::known::Known;
use crate::seed;

/// The planet of the region under test.
const PLANET: &str = "test";
/// Requests of one case.
const REQUESTS_MAX: usize = 8;
/// Headers of one request.
const HEADERS_MAX: usize = 8;
/// Parts the requests of a case: it is in no text.
const NEXT: u8 = 0xff;
/// Parts the messages of a call of gRPC.
pub const NEXT_MESSAGE: u8 = 0xfe;
/// How long a client of gRPC takes from one message to the next, and over the last.
const PAUSE: Duration = Duration::from_millis(500);

/// What is sent to a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sends {
    /// A body of this type. `{}` is what the case says of the path.
    Body(&'static str),
    /// JSON to whoever answers as JSON or as events.
    Mcp,
    /// Messages of gRPC, each in its frame.
    Messages,
    /// Whatever it is, as if it were messages of gRPC.
    Raw,
}

/// What comes of the value of a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value {
    /// It is sent as the case has it.
    Given,
    /// It is sent as a session of this planet, with a right checksum.
    Sealed,
}

/// What a target may ask for.
#[derive(Debug)]
pub struct Table {
    /// What it is called.
    pub name: &'static str,
    /// Methods, paths and what is sent there. `{}` is what the case says.
    pub routes: &'static [(&'static str, &'static str, Sends)],
    /// Headers that a case may set.
    pub headers: &'static [(&'static str, Value)],
}

/// A request that a seed makes: a method and a path of the table, what comes into that, headers,
/// and the body.
pub type Seed<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], &'a [u8]);

impl Table {
    /// Reads the requests of a case.
    pub fn requests<'a>(&self, case: &'a [u8]) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        case.split(|it| *it == NEXT).take(REQUESTS_MAX)
    }

    /// Reads a request.
    pub fn request(&self, bytes: &[u8], known: &Known) -> Option<Request<Body>> {
        let (route, mut rest) = bytes.split_first()?;
        let (method, path, sends) = self.routes[chosen(*route, self.routes.len())];
        let text = String::from_utf8_lossy(line(&mut rest));
        let path = known.fill(path.replace("{}", &text).as_bytes());
        let mut request = Request::builder().method(method).uri(&path[..]);
        request = request.header("host", "localhost");
        for _ in 0..HEADERS_MAX {
            let Some((header, value)) = line(&mut rest).split_first() else { break };
            let (name, meant) = self.headers[chosen(*header, self.headers.len())];
            let value = known.fill(value);
            request = match meant {
                Value::Given => request.header(name, value),
                Value::Sealed => request.header(name, session(&value)),
            };
        }
        let body = known.fill(rest);
        let request = match sends {
            Sends::Body(media_type) => {
                request.header("content-type", media_type.replace("{}", &text))
            }
            Sends::Mcp => request
                .header("content-type", "application/json")
                .header("accept", "application/json, text/event-stream"),
            Sends::Messages | Sends::Raw => request
                .version(Version::HTTP_2)
                .header("te", "trailers")
                .header("content-type", "application/grpc"),
        };
        let body = Bytes::from(body);
        let sent = Sent(body.clone());
        let body = match sends {
            Sends::Body(_) | Sends::Mcp => Body::from(body),
            Sends::Messages => told(body.split(|it| *it == NEXT_MESSAGE).map(frame).collect()),
            Sends::Raw => told(vec![body]),
        };
        request.extension(sent).body(body).ok()
    }

    /// Writes a case that a target begins with.
    pub fn write(&self, name: usize, seeds: &[Seed<'_>]) {
        let seeds: Vec<_> = seeds.iter().map(|it| self.encode(it)).collect();
        seed::write(self.name, name, &seeds.join(&NEXT));
    }

    fn encode(&self, (route, text, headers, body): &Seed<'_>) -> Vec<u8> {
        let is_it = |it: &(&str, &str, Sends)| format!("{} {}", it.0, it.1) == *route;
        let at = self.routes.iter().position(is_it).expect("it is in the table");
        let mut bytes = [&[letter(at)], text.as_bytes(), b"\n"].concat();
        for (name, value) in *headers {
            let at = self.headers.iter().position(|it| it.0 == *name).expect("it is in the table");
            bytes.extend([&[letter(at)], value.as_bytes(), b"\n"].concat());
        }
        bytes.push(b'\n');
        bytes.extend_from_slice(body);
        bytes
    }
}

fn letter(at: usize) -> u8 {
    b'a' + u8::try_from(at).expect("a table is short")
}

fn chosen(letter: u8, count: usize) -> usize {
    usize::from(letter.wrapping_sub(b'a')) % count
}

/// Splits off the bytes before a newline.
fn line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.iter().position(|it| *it == b'\n').unwrap_or(rest.len());
    let (line, after) = rest.split_at(end);
    *rest = after.get(1..).unwrap_or_default();
    line
}

/// Returns a session with a right checksum of this planet, that says what the case says.
fn session(said: &[u8]) -> String {
    let hash = |bytes: &[u8]| {
        let [a, b, c, d, ..] = StableHash::default().bytes(bytes).finish().to_le_bytes();
        [a, b, c, d]
    };
    let mut bytes = [&[1], &hash(PLANET.as_bytes())[..], said].concat();
    bytes.extend(hash(&bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn frame(message: &[u8]) -> Bytes {
    let len = u32::try_from(message.len()).expect("a case is short").to_be_bytes();
    [&[0], &len[..], message].concat().into()
}

/// Sends frames one after the other, and hangs up a while after the last.
fn told(frames: Vec<Bytes>) -> Body {
    let frames = stream::unfold(frames.into_iter(), |mut frames| async {
        let Some(frame) = frames.next() else {
            sleep(PAUSE).await;
            return None;
        };
        sleep(PAUSE).await;
        Some((Ok::<_, Infallible>(frame), frames))
    });
    Body::from_stream(frames)
}
