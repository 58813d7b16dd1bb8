//! Compression of one class in one direction: a stream of zstd that is flushed at each fragment.
//! Must not know what is compressed, nor make more of a fragment than a fragment may hold.

use std::io;

use zstd::stream::raw::{CParameter, DParameter, Decoder, Encoder, InBuffer, Operation, OutBuffer};

use super::class::Class;

/// The fastest level; what later fragments share with earlier ones is what it saves.
const LEVEL: i32 = 1;
/// Shorter fragments are sent as they are.
const SQUEEZED_BYTES_MIN: usize = 64;
/// How much is looked at before it is said whether compression pays.
const SAMPLE_BYTES: usize = 32 << 10;
/// How much is sent as it is, once it has not paid, before it is tried again.
const PAUSE_BYTES: usize = 1 << 20;
/// It pays if this share, in percent, or less is left.
const LEFT_PERCENT_MAX: usize = 90;
/// What the end of a block may take beyond the bytes themselves.
const SLACK_BYTES: usize = 64;

/// How far back a fragment may refer, as a power of two: this is what both sides keep in memory.
fn window_log(class: Class) -> u32 {
    match class {
        Class::Control => 15,
        Class::Interactive => 17,
        Class::Bulk => 18,
    }
}

/// Whether anything is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Squeezing {
    /// What becomes smaller by it.
    WhereItPays,
    /// Nothing, to measure what it costs.
    Never,
}

/// Compresses, where it pays.
pub(super) struct Squeezer {
    class: Class,
    /// Made when there is something to compress: most links have nothing in bulk.
    encoder: Option<Encoder<'static>>,
    sampled_bytes: usize,
    left_bytes: usize,
    pause_bytes: usize,
}

impl Squeezer {
    pub(super) fn new(class: Class) -> Self {
        Self { class, encoder: None, sampled_bytes: 0, left_bytes: 0, pause_bytes: 0 }
    }

    /// Appends a fragment in compressed form to `to`, or says that it is to be sent as it is.
    pub(super) fn squeeze(&mut self, raw: &[u8], to: &mut Vec<u8>) -> io::Result<bool> {
        if raw.len() < SQUEEZED_BYTES_MIN {
            return Ok(false);
        }
        if 0 < self.pause_bytes {
            self.pause_bytes = self.pause_bytes.saturating_sub(raw.len());
            return Ok(false);
        }
        let before = to.len();
        self.encode(raw, to)?;
        self.weigh(raw.len(), to.len() - before);
        Ok(true)
    }

    fn encode(&mut self, raw: &[u8], to: &mut Vec<u8>) -> io::Result<()> {
        if self.encoder.is_none() {
            let mut encoder = Encoder::new(LEVEL)?;
            encoder.set_parameter(CParameter::WindowLog(window_log(self.class)))?;
            encoder.set_parameter(CParameter::ContentSizeFlag(false))?;
            self.encoder = Some(encoder);
        }
        let encoder = self.encoder.as_mut().expect("made above");
        let mut input = InBuffer::around(raw);
        while input.pos() < raw.len() {
            to.reserve(raw.len() + SLACK_BYTES);
            let pos = to.len();
            encoder.run(&mut input, &mut OutBuffer::around_pos(to, pos))?;
        }
        loop {
            to.reserve(raw.len() + SLACK_BYTES);
            let pos = to.len();
            if encoder.flush(&mut OutBuffer::around_pos(to, pos))? == 0 {
                return Ok(());
            }
        }
    }

    /// Looks whether compression pays. The sample slides: older fragments count half.
    fn weigh(&mut self, raw: usize, left: usize) {
        self.sampled_bytes += raw;
        self.left_bytes += left;
        if self.sampled_bytes < SAMPLE_BYTES {
            return;
        }
        if self.sampled_bytes * LEFT_PERCENT_MAX < self.left_bytes * 100 {
            (self.sampled_bytes, self.left_bytes) = (0, 0);
            self.pause_bytes = PAUSE_BYTES;
        } else {
            (self.sampled_bytes, self.left_bytes) = (self.sampled_bytes / 2, self.left_bytes / 2);
        }
    }
}

/// Decompresses what a [`Squeezer`] of the same class has made, and refuses all else.
pub(super) struct Unsqueezer {
    decoder: Decoder<'static>,
    fragment: Box<[u8]>,
}

impl Unsqueezer {
    /// Takes fragments of at most `bytes_max` bytes.
    pub(super) fn new(class: Class, bytes_max: usize) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(window_log(class)))?;
        // One more than is allowed, so that too many are told from just enough.
        Ok(Self { decoder, fragment: vec![0; bytes_max + 1].into() })
    }

    /// Returns a fragment as it was.
    pub(super) fn unsqueeze(&mut self, squeezed: &[u8]) -> io::Result<&[u8]> {
        let mut input = InBuffer::around(squeezed);
        let mut output = OutBuffer::around(&mut self.fragment[..]);
        while input.pos() < squeezed.len() {
            let before = (input.pos(), output.pos());
            self.decoder.run(&mut input, &mut output)?;
            if before == (input.pos(), output.pos()) {
                return Err(io::Error::other("more than a fragment, or nothing"));
            }
        }
        let len = output.pos();
        if len == self.fragment.len() {
            return Err(io::Error::other("more than a fragment"));
        }
        Ok(&self.fragment[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BYTES_MAX: usize = 16 << 10;

    fn random(bytes: usize, seed: u64) -> Vec<u8> {
        let mut rng = fastrand::Rng::with_seed(seed);
        (0..bytes).map(|_| rng.u8(..)).collect()
    }

    #[test]
    fn text_that_recurs_becomes_small_and_comes_back() {
        let mut squeezer = Squeezer::new(Class::Interactive);
        let mut unsqueezer = Unsqueezer::new(Class::Interactive, BYTES_MAX).unwrap();
        let mut bytes = 0;
        for number in 0..1_000 {
            let raw = format!(
                "{{\"task\":{number},\"state\":\"working\",\"skill\":\"text.upper\",\
                \"region\":\"eu-west-1\",\"attempt\":1}}"
            );
            let mut squeezed = Vec::new();
            assert!(squeezer.squeeze(raw.as_bytes(), &mut squeezed).unwrap());
            assert_eq!(unsqueezer.unsqueeze(&squeezed).unwrap(), raw.as_bytes());
            bytes += squeezed.len();
        }
        assert!(bytes < 30_000, "{bytes} bytes for 1,000 lines");
    }

    #[test]
    fn what_does_not_become_smaller_is_sent_as_it_is_and_tried_again_later() {
        let mut squeezer = Squeezer::new(Class::Bulk);
        let mut squeezed = |seed| squeezer.squeeze(&random(8 << 10, seed), &mut Vec::new());
        let tries: Vec<_> = (0..140).map(|seed| squeezed(seed).unwrap()).collect();
        assert_eq!(tries.iter().filter(|it| **it).count(), 8);
        assert_eq!(tries.iter().position(|it| !it), Some(4));
        assert_eq!(tries.iter().skip(4).position(|it| *it), Some(128));
        assert!(!Squeezer::new(Class::Bulk).squeeze(&[7; 63], &mut Vec::new()).unwrap());
    }

    #[test]
    fn a_fragment_that_grows_beyond_its_bound_is_refused() {
        let mut squeezer = Squeezer::new(Class::Bulk);
        for (bytes, is_good) in [(BYTES_MAX, true), (BYTES_MAX + 1, false), (1 << 24, false)] {
            let mut squeezed = Vec::new();
            squeezer.encoder = None;
            squeezer.squeeze(&vec![0; bytes], &mut squeezed).unwrap();
            let mut unsqueezer = Unsqueezer::new(Class::Bulk, BYTES_MAX).unwrap();
            assert_eq!(unsqueezer.unsqueeze(&squeezed).is_ok(), is_good, "{bytes}");
        }
    }

    #[test]
    fn bytes_of_a_stranger_are_refused_or_stay_within_the_bound() {
        for seed in 0..2_000 {
            let mut unsqueezer = Unsqueezer::new(Class::Control, BYTES_MAX).unwrap();
            let mut bytes = random(200, seed);
            // The first bytes of any frame of zstd, so that what follows them is looked at.
            bytes[..4].copy_from_slice(&0xFD2F_B528_u32.to_le_bytes());
            let len = unsqueezer.unsqueeze(&bytes).map_or(0, <[u8]>::len);
            assert!(len <= BYTES_MAX);
        }
    }
}
