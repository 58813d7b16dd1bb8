//! Messages as fragments, and fragments as messages again: what a link carries after the hello.
//! Must not know what a message says, nor decide which goes first.
//!
//! A fragment is a header and a payload. The header: CRC-32C of all that follows it (4 bytes,
//! little-endian, like the others); a tag (1 byte: bits 0 and 1 the class, bit 2 set on the last
//! fragment of a message, bit 3 if the payload is compressed, the rest 0); the payload's length (2
//! bytes). Fragments of one class follow each other; those of other classes may come in between.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::class::Class;
use super::frame::{BODY_BYTES_MAX, FrameError};
use super::squeeze::{Squeezer, Squeezing, Unsqueezer};

/// The most bytes of a message in one fragment; a longer message is cut.
pub(super) const FRAGMENT_BYTES_MAX: usize = 16 << 10;
/// The bytes in front of a payload.
pub(super) const HEADER_BYTES: usize = 7;
/// The longest payload: what cannot be compressed may grow a little.
const PAYLOAD_BYTES_MAX: usize = FRAGMENT_BYTES_MAX + (1 << 10);
/// The largest buffer that is kept for the next message.
const KEPT_BYTES_MAX: usize = 1 << 20;

const CLASS_BITS: u8 = 0b0011;
const IS_LAST: u8 = 0b0100;
const IS_SQUEEZED: u8 = 0b1000;

/// Cuts messages into fragments.
pub(super) struct Packer {
    squeezing: Squeezing,
    squeezers: [Squeezer; 3],
}

impl Packer {
    pub(super) fn new(squeezing: Squeezing) -> Self {
        Self { squeezing, squeezers: Class::ALL.map(Squeezer::new) }
    }

    /// Appends to `to` the fragment of a message that begins at `at`, and returns where the next
    /// one begins: at the end of the message there is none.
    pub(super) fn pack(
        &mut self,
        class: Class,
        message: &[u8],
        at: usize,
        to: &mut Vec<u8>,
    ) -> io::Result<Option<usize>> {
        let end = message.len().min(at + FRAGMENT_BYTES_MAX);
        let raw = &message[at..end];
        let header = to.len();
        to.extend_from_slice(&[0; HEADER_BYTES]);
        let is_squeezed = match self.squeezing {
            Squeezing::WhereItPays => self.squeezers[class.index()].squeeze(raw, to)?,
            Squeezing::Never => false,
        };
        if !is_squeezed {
            to.extend_from_slice(raw);
        }
        let is_last = end == message.len();
        let mut tag = u8::try_from(class.index()).expect("there are three");
        tag |= if is_last { IS_LAST } else { 0 };
        tag |= if is_squeezed { IS_SQUEEZED } else { 0 };
        let bytes = to.len() - header - HEADER_BYTES;
        assert!(bytes <= PAYLOAD_BYTES_MAX, "a fragment grew by more than a block may");
        let bytes = u16::try_from(bytes).expect("checked above").to_le_bytes();
        to[header + 4] = tag;
        to[header + 5..header + HEADER_BYTES].copy_from_slice(&bytes);
        let checksum = crc32c::crc32c(&to[header + 4..]).to_le_bytes();
        to[header..header + 4].copy_from_slice(&checksum);
        Ok((!is_last).then_some(end))
    }
}

/// A fragment that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Arrived<'a> {
    pub(super) class: Class,
    /// What it took on the wire.
    pub(super) wire_bytes: usize,
    /// The message that is whole with it.
    pub(super) message: Option<&'a [u8]>,
}

/// What has arrived of a message.
struct Lane {
    message: Vec<u8>,
    is_whole: bool,
    unsqueezer: Option<Unsqueezer>,
}

/// Joins fragments to messages. What a peer can make it hold is bounded: three messages.
pub(super) struct Unpacker {
    lanes: [Lane; 3],
    /// The fragment that is read: its header without the checksum, and its payload.
    fragment: Vec<u8>,
}

impl Unpacker {
    pub(super) fn new() -> Self {
        let lane = |_| Lane { message: Vec::new(), is_whole: false, unsqueezer: None };
        Self { lanes: Class::ALL.map(lane), fragment: Vec::new() }
    }

    /// Reads one fragment.
    pub(super) async fn read(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
    ) -> Result<Arrived<'_>, FrameError> {
        let mut header = [0; HEADER_BYTES];
        from.read_exact(&mut header).await?;
        let [c0, c1, c2, c3, tag, b0, b1] = header;
        let bytes = usize::from(u16::from_le_bytes([b0, b1]));
        if PAYLOAD_BYTES_MAX < bytes {
            return Err(FrameError::TooLong { bytes, max: PAYLOAD_BYTES_MAX });
        }
        self.fragment.clear();
        self.fragment.extend_from_slice(&header[4..]);
        self.fragment.resize(HEADER_BYTES - 4 + bytes, 0);
        from.read_exact(&mut self.fragment[HEADER_BYTES - 4..]).await?;
        if crc32c::crc32c(&self.fragment) != u32::from_le_bytes([c0, c1, c2, c3]) {
            return Err(FrameError::Checksum);
        }
        let class = Class::ALL.get(usize::from(tag & CLASS_BITS)).copied();
        let class = class.ok_or(FrameError::Malformed("a class that is none"))?;
        if tag & !(CLASS_BITS | IS_LAST | IS_SQUEEZED) != 0 {
            return Err(FrameError::Malformed("an unknown tag"));
        }
        let lane = &mut self.lanes[class.index()];
        lane.take(class, &self.fragment[HEADER_BYTES - 4..], tag)?;
        let message = lane.is_whole.then_some(&lane.message[..]);
        Ok(Arrived { class, wire_bytes: HEADER_BYTES + bytes, message })
    }
}

impl Lane {
    fn take(&mut self, class: Class, payload: &[u8], tag: u8) -> Result<(), FrameError> {
        if std::mem::take(&mut self.is_whole) {
            self.message.clear();
            self.message.shrink_to(KEPT_BYTES_MAX);
        }
        let raw = if tag & IS_SQUEEZED == 0 {
            payload
        } else {
            if self.unsqueezer.is_none() {
                self.unsqueezer = Some(Unsqueezer::new(class, FRAGMENT_BYTES_MAX)?);
            }
            let unsqueezer = self.unsqueezer.as_mut().expect("made above");
            let raw = unsqueezer.unsqueeze(payload);
            raw.map_err(|_| FrameError::Malformed("a compressed fragment that cannot be read"))?
        };
        if raw.is_empty() || FRAGMENT_BYTES_MAX < raw.len() {
            return Err(FrameError::Malformed("a fragment that is empty or too long"));
        }
        let bytes = self.message.len() + raw.len();
        if BODY_BYTES_MAX < bytes {
            return Err(FrameError::TooLong { bytes, max: BODY_BYTES_MAX });
        }
        self.message.extend_from_slice(raw);
        self.is_whole = tag & IS_LAST != 0;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Packs messages as a link does that takes a fragment of each class in turn.
    fn pack(messages: &[(Class, Vec<u8>)]) -> Vec<u8> {
        let (mut packer, mut sent) = (Packer::new(Squeezing::WhereItPays), Vec::new());
        let mut lanes = Class::ALL.map(|class| {
            let of_class = messages.iter().filter(move |(it, _)| *it == class);
            (class, of_class.map(|(_, message)| message).peekable(), 0)
        });
        while lanes.iter_mut().any(|(_, messages, _)| messages.peek().is_some()) {
            for (class, messages, at) in &mut lanes {
                let Some(message) = messages.peek() else { continue };
                match packer.pack(*class, message, *at, &mut sent).unwrap() {
                    Some(next) => *at = next,
                    None => {
                        *at = 0;
                        messages.next();
                    }
                }
            }
        }
        sent
    }

    /// Reads messages until the end or an error, from a pipe that holds so many bytes at once.
    fn unpack(sent: &[u8], pipe_bytes: usize) -> (Vec<(Class, Vec<u8>)>, FrameError) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let (mut near, mut far) = tokio::io::duplex(pipe_bytes);
            let write = async {
                // The reader may end early.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut near, sent).await;
                drop(near);
            };
            let read = async {
                let (mut unpacker, mut messages) = (Unpacker::new(), Vec::new());
                let end = loop {
                    match unpacker.read(&mut far).await {
                        Ok(Arrived { class, message: Some(message), .. }) => {
                            messages.push((class, message.to_vec()));
                        }
                        Ok(Arrived { message: None, .. }) => {}
                        Err(end) => break end,
                    }
                };
                drop(far);
                (messages, end)
            };
            let ((), found) = tokio::join!(write, read);
            found
        })
    }

    fn of_class(messages: &[(Class, Vec<u8>)], class: Class) -> Vec<&Vec<u8>> {
        messages.iter().filter(|(it, _)| *it == class).map(|(_, message)| message).collect()
    }

    fn is_end(error: &FrameError) -> bool {
        matches!(error, FrameError::Io(error) if error.kind() == io::ErrorKind::UnexpectedEof)
    }

    /// A message of text or of noise, and its class.
    fn message() -> impl Strategy<Value = (Class, Vec<u8>)> {
        let bytes = prop_oneof![4 => 1_usize..300, 1 => 1_usize..60_000];
        (0_usize..3, bytes, any::<bool>(), any::<u64>()).prop_map(
            |(class, bytes, is_text, seed)| {
                let mut rng = fastrand::Rng::with_seed(seed);
                let mut byte = || if is_text { b"photon {}"[rng.usize(..9)] } else { rng.u8(..) };
                (Class::ALL[class], (0..bytes).map(|_| byte()).collect())
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn messages_of_all_classes_come_back_in_the_order_of_their_class(
            messages in prop::collection::vec(message(), 0..20),
            pipe_bytes in 1_usize..40_000,
        ) {
            let (found, end) = unpack(&pack(&messages), pipe_bytes);
            prop_assert!(is_end(&end), "{end}");
            for class in Class::ALL {
                prop_assert_eq!(of_class(&found, class), of_class(&messages, class));
            }
        }

        #[test]
        fn a_flipped_bit_is_an_error_and_all_before_it_holds(
            messages in prop::collection::vec(message(), 1..8),
            at in any::<prop::sample::Index>(),
            bit in 0_u8..8,
        ) {
            let mut sent = pack(&messages);
            let (whole, _) = unpack(&sent, 1 << 16);
            let at = at.index(sent.len());
            sent[at] ^= 1 << bit;
            let (found, end) = unpack(&sent, 1 << 16);
            prop_assert!(found.len() < whole.len(), "{end}");
            prop_assert_eq!(&found[..], &whole[..found.len()]);
        }

        #[test]
        fn any_bytes_are_refused_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..4_000),
            tag in 0_u8..16,
        ) {
            unpack(&bytes, 1 << 16);
            // With a right checksum, so that what stands behind it is looked at.
            let mut fragment = vec![0; HEADER_BYTES];
            fragment.extend_from_slice(&bytes);
            fragment[4] = tag;
            fragment[5..7].copy_from_slice(&u16::try_from(bytes.len()).unwrap().to_le_bytes());
            let checksum = crc32c::crc32c(&fragment[4..]).to_le_bytes();
            fragment[..4].copy_from_slice(&checksum);
            let (found, _) = unpack(&fragment, 1 << 16);
            prop_assert!(found.iter().all(|(_, it)| it.len() <= FRAGMENT_BYTES_MAX));
        }
    }

    #[test]
    fn a_message_that_is_cut_anywhere_is_an_error_or_the_end() {
        let messages = [(Class::Control, vec![1; 10]), (Class::Bulk, vec![2; 300])];
        let sent = pack(&messages);
        for len in 0..sent.len() {
            let (found, end) = unpack(&sent[..len], 1 << 16);
            assert!(found.len() < 2 && is_end(&end), "{end}");
        }
    }

    #[test]
    fn a_message_without_an_end_is_refused_at_the_bound() {
        let (mut packer, mut sent) = (Packer::new(Squeezing::WhereItPays), Vec::new());
        let message = vec![7; BODY_BYTES_MAX + 1];
        let mut at = Some(0);
        while let Some(from) = at {
            at = packer.pack(Class::Bulk, &message, from, &mut sent).unwrap();
        }
        let (found, end) = unpack(&sent, 1 << 16);
        assert!(found.is_empty() && matches!(end, FrameError::TooLong { .. }), "{end}");
    }

    #[test]
    fn control_waits_for_one_fragment_of_bulk_at_most() {
        let messages = [(Class::Bulk, vec![0; 1 << 20]), (Class::Control, vec![1; 20])];
        let (found, _) = unpack(&pack(&messages), 1 << 16);
        assert_eq!(found[0].0, Class::Control);
    }
}
