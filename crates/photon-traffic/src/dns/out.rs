//! Writes an answer into a buffer of fixed size.
//! Must not know what is right to answer.

use super::query::Query;
use super::wire::{CLASS_IN, HEAD_BYTES, Rcode, rtype};

/// A pointer to an earlier place in the message (RFC 1035, 4.1.4).
const POINTER: u16 = 0xc000;
/// What a pointer can reach.
const POINTER_MAX: usize = 0x3fff;

/// Flags of the head (RFC 1035, 4.1.1; RFC 4035, 3.2).
pub(super) mod flag {
    pub(crate) const RESPONSE: u16 = 0x8000;
    pub(crate) const OPCODE: u16 = 0x7800;
    pub(crate) const AUTHORITATIVE: u16 = 0x0400;
    pub(crate) const TRUNCATED: u16 = 0x0200;
    pub(crate) const RECURSION_DESIRED: u16 = 0x0100;
    pub(crate) const CHECKING_DISABLED: u16 = 0x0010;
}

/// A section of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    Answer,
    Authority,
    Additional,
}

/// There is no room for all that there is to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// The name that a record is about, and where the message has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Owner<'a> {
    pub(super) name: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Owner<'a> {
    /// Returns the name that is above this one and has so many bytes.
    pub(super) fn above(self, bytes: usize) -> Self {
        let skipped = self.name.len() - bytes;
        Self { name: &self.name[skipped..], at: self.at + skipped }
    }
}

/// An answer while it is written.
#[derive(Debug)]
pub(super) struct Answer<'b> {
    bytes: &'b mut [u8],
    len: usize,
    /// What records may fill.
    end: usize,
    counts: [u16; 3],
    flags: u16,
    question_end: usize,
}

impl<'b> Answer<'b> {
    /// Begins an answer with what the query asked. Its records end before `bytes_max`, less what
    /// is kept for EDNS.
    pub(super) fn begin(
        bytes: &'b mut [u8],
        query: &Query,
        message: &[u8],
        bytes_max: usize,
        reserved: usize,
    ) -> Self {
        let question = &message[HEAD_BYTES..query.question_end];
        bytes[..2].copy_from_slice(&query.id.to_be_bytes());
        bytes[2..HEAD_BYTES].fill(0);
        bytes[5] = u8::from(!question.is_empty());
        bytes[HEAD_BYTES..query.question_end].copy_from_slice(question);
        let kept = flag::OPCODE | flag::RECURSION_DESIRED | flag::CHECKING_DISABLED;
        let end = bytes_max.min(bytes.len()).saturating_sub(reserved);
        Self {
            bytes,
            len: query.question_end,
            end,
            counts: [0; 3],
            flags: flag::RESPONSE | query.flags & kept,
            question_end: query.question_end,
        }
    }

    pub(super) fn set(&mut self, flag: u16) {
        self.flags |= flag;
    }

    /// Returns how many records a section has.
    pub(super) fn count(&self, section: Section) -> u16 {
        self.counts[section as usize]
    }

    /// Writes a record, and returns where what it holds begins.
    pub(super) fn record(
        &mut self,
        section: Section,
        owner: Owner<'_>,
        (rtype, ttl): (u16, u32),
        data: &[u8],
    ) -> Result<usize, Full> {
        let begin = self.owner(owner, 10 + data.len())?;
        let at = begin + 10;
        let head = &mut self.bytes[begin..at];
        head[..2].copy_from_slice(&rtype.to_be_bytes());
        head[2..4].copy_from_slice(&CLASS_IN.to_be_bytes());
        head[4..8].copy_from_slice(&ttl.to_be_bytes());
        head[8..].copy_from_slice(&(data.len() as u16).to_be_bytes());
        self.bytes[at..at + data.len()].copy_from_slice(data);
        self.len = at + data.len();
        self.counts[section as usize] += 1;
        Ok(at)
    }

    /// Writes whom a record is about, if that and so many bytes have room.
    fn owner(&mut self, owner: Owner<'_>, following: usize) -> Result<usize, Full> {
        let pointer = (owner.at <= POINTER_MAX && owner.name != [0])
            .then(|| (POINTER | owner.at as u16).to_be_bytes());
        let name = pointer.as_ref().map_or(owner.name, |it| &it[..]);
        let begin = self.len + name.len();
        if self.end < begin + following {
            return Err(Full);
        }
        self.bytes[self.len..begin].copy_from_slice(name);
        Ok(begin)
    }

    /// Takes back all records, and says that there were more than have room.
    pub(super) fn truncate(&mut self) {
        self.len = self.question_end;
        self.counts = [0; 3];
        self.flags |= flag::TRUNCATED;
    }

    /// Ends the answer, with what is said by EDNS if the client speaks it.
    pub(super) fn finish(mut self, rcode: Rcode, opt: Option<Opt<'_>>) -> usize {
        let code = rcode.code();
        if let Some(opt) = opt {
            let (high, dnssec_ok) = ((code >> 4) as u8, u8::from(opt.dnssec_ok) << 7);
            let [size_high, size_low] = opt.udp_bytes.to_be_bytes();
            let [len_high, len_low] = (opt.options.len() as u16).to_be_bytes();
            let kind = rtype::OPT as u8;
            let head = [0, 0, kind, size_high, size_low, high, 0, dnssec_ok, 0, len_high, len_low];
            self.push(&head);
            self.push(opt.options);
            self.counts[Section::Additional as usize] += 1;
        }
        let flags = self.flags | (code & 0xf);
        self.bytes[2..4].copy_from_slice(&flags.to_be_bytes());
        for (index, count) in self.counts.iter().enumerate() {
            let at = 6 + 2 * index;
            self.bytes[at..at + 2].copy_from_slice(&count.to_be_bytes());
        }
        self.len
    }

    /// Writes bytes for which room was kept.
    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// What is said by EDNS.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opt<'a> {
    pub(super) udp_bytes: u16,
    pub(super) dnssec_ok: bool,
    pub(super) options: &'a [u8],
}

impl Opt<'_> {
    /// How many bytes it takes without options.
    pub(super) const HEAD_BYTES: usize = 11;
}
