//! What was sent on a link, as the plain text that it stands for.
//! Must not use the product's own decoder: a fault of it would hide what it hides.

use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

/// The bytes in front of a fragment: a checksum, a tag, the length of what follows.
const HEADER_BYTES: usize = 7;
/// The most that a fragment stands for.
const FRAGMENT_BYTES_MAX: usize = 16 << 10;
/// What a side says when it has nothing against the other.
const WELCOME: &[u8] = &[2];
/// What its refusal begins with.
const REFUSED: u8 = 3;

/// Returns all that was said in one direction of a connection: what was introduced, and then the
/// messages, those of each class in a row. Panics at anything that it does not understand: what
/// cannot be read has not been looked at.
pub(crate) fn plain(wire: &[u8]) -> Vec<Vec<u8>> {
    let Some((hello, rest)) = frame(wire) else { return vec![wire.to_vec()] };
    assert!(hello.starts_with(b"photonln"), "this is no link in plain text: {hello:x?}");
    let Some((verdict, rest)) = frame(rest) else { return vec![wire.to_vec()] };
    if verdict.first() == Some(&REFUSED) {
        return vec![wire.to_vec()];
    }
    assert_eq!(verdict, WELCOME, "a secret? this planet has none");
    let mut lanes: [Lane; 3] = std::array::from_fn(|_| Lane::default());
    let left = fragments(rest, &mut lanes);
    // What was cut off in the midst of a fragment is at least looked at as it is.
    let mut said = vec![hello.to_vec(), left.to_vec()];
    said.extend(lanes.into_iter().map(|it| it.text));
    said
}

/// Splits off a frame of the introduction: its length, its checksum, its body.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<8>()?;
    let len = u32::from_le_bytes([header[0], header[1], header[2], header[3]]);
    rest.split_at_checked(len as usize)
}

/// Reads all whole fragments, and returns what is left.
fn fragments<'a>(mut rest: &'a [u8], lanes: &mut [Lane; 3]) -> &'a [u8] {
    while let Some((header, after)) = rest.split_first_chunk::<HEADER_BYTES>() {
        let [.., tag, low, high] = *header;
        let len = usize::from(u16::from_le_bytes([low, high]));
        let Some((payload, after)) = after.split_at_checked(len) else { break };
        assert!(tag < 0b1_0000 && tag & 0b11 < 3, "no fragment has the tag {tag:#b}");
        let lane = &mut lanes[usize::from(tag & 0b11)];
        if tag & 0b1000 == 0 {
            lane.text.extend_from_slice(payload);
        } else {
            lane.decompress(payload);
        }
        rest = after;
    }
    rest
}

/// One class of messages.
#[derive(Default)]
struct Lane {
    text: Vec<u8>,
    decoder: Option<Decoder<'static>>,
}

impl Lane {
    fn decompress(&mut self, payload: &[u8]) {
        let decoder =
            self.decoder.get_or_insert_with(|| Decoder::new().expect("there is memory for it"));
        let mut fragment = vec![0; FRAGMENT_BYTES_MAX + 1];
        let (mut input, mut output) = (InBuffer::around(payload), OutBuffer::around(&mut fragment));
        while input.pos() < payload.len() {
            decoder.run(&mut input, &mut output).expect("it was compressed by zstd");
            assert!(output.pos() <= FRAGMENT_BYTES_MAX, "a fragment that is too long");
        }
        let len = output.pos();
        self.text.extend_from_slice(&fragment[..len]);
    }
}
