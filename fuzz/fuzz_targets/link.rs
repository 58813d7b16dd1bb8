//! What a peer may say on a link: fragments, introductions, messages, and the ops and parts of
//! states within them. Nothing panics; what is understood can be said again, and is the same.

#![no_main]

#[path = "../src/messages.rs"]
mod messages;

use bytes::Bytes;
use futures_util::FutureExt as _;
use libfuzzer_sys::fuzz_target;
use photon_node::probe;
use photon_region::{Message, decode_message, encode_message, inspect_part};

/// The longest message, as the link has it.
const MESSAGE_BYTES_MAX: usize = 8 << 20;

fn hear(said: &[u8]) -> Vec<Vec<u8>> {
    let (messages, _) = probe::hear(said).now_or_never().expect("it is all there");
    assert!(messages.iter().all(|it| it.len() <= MESSAGE_BYTES_MAX), "a message is too long");
    messages
}

/// Gives each fragment a checksum that is right: each is a tag, a length, and so many bytes.
fn fragments(mut bytes: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    while let [tag, low, high, rest @ ..] = bytes {
        let len = usize::from(u16::from_le_bytes([*low, *high])).min(rest.len());
        let (payload, rest) = rest.split_at(len);
        let len = u16::try_from(len).expect("it was one").to_le_bytes();
        let body = [&[*tag], &len[..], payload].concat();
        said.extend_from_slice(&crc32c::crc32c(&body).to_le_bytes());
        said.extend_from_slice(&body);
        bytes = rest;
    }
    said
}

/// Gives each frame of an introduction a checksum that is right.
fn frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    while let [len, rest @ ..] = bytes {
        let (body, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        said.extend_from_slice(&u32::try_from(body.len()).expect("it is short").to_le_bytes());
        said.extend_from_slice(&crc32c::crc32c(body).to_le_bytes());
        said.extend_from_slice(body);
        bytes = rest;
    }
    said
}

fn understand(bytes: &[u8]) {
    let Ok(message) = decode_message(bytes) else { return };
    if let Message::State { part, .. } = &message {
        let _ = inspect_part(part);
    }
    let said = encode_message(&message);
    let again = decode_message(&said).expect("what is said is understood");
    assert_eq!(format!("{message:?}"), format!("{again:?}"));
    assert_eq!(said, encode_message(&again));
}

fuzz_target!(init: messages::write(), |bytes: &[u8]| {
    let [mode, rest @ ..] = bytes else { return };
    match mode % 6 {
        0 => understand(rest),
        1 => drop(inspect_part(&Bytes::copy_from_slice(rest))),
        2 => hear(rest).iter().for_each(|it| understand(it)),
        3 => hear(&fragments(rest)).iter().for_each(|it| understand(it)),
        4 => {
            let class = usize::from(rest.first().copied().unwrap_or(0)) % 3;
            let messages: Vec<_> = rest.chunks(1 << 9).map(|it| (class, it.to_vec())).collect();
            let heard = hear(&probe::say(&messages));
            assert!(heard.iter().eq(messages.iter().map(|(_, it)| it)), "something was lost");
        }
        _ => {
            let greeted = probe::greet(&frames(rest)[..]).now_or_never();
            let _ = greeted.expect("it is all there");
        }
    }
});
