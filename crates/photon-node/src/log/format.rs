//! How segments lie on disk: a header, then groups of records, each with its checksum.
//! Must not open, read or write a file. Integers are little-endian.
//!
//! ```text
//! segment  magic 8 | version u16 | region len u8, bytes 23 | incarnation u64 | first group u64
//!          | zeros 10 | crc32c u32
//! group    magic u32 | number u64 | payload bytes u32 | records u32 | crc32c u32, then the payload
//! record   bytes u32 | crc32c u32 | op
//! ```

use std::sync::Arc;

use photon_state::codec::{DecodeError, Reader, VERSION, Writer};
use photon_state::{Op, RegionId, StreamId};

/// The bytes of a segment's header.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
/// The bytes of a group's header.
pub(super) const GROUP_HEADER_BYTES: usize = 24;
/// The bytes in front of a record.
const RECORD_HEADER_BYTES: usize = 8;
/// The bytes after which a group takes no more ops; a single op may exceed it.
pub(super) const GROUP_BYTES_MAX: usize = 4 << 20;

const SEGMENT_MAGIC: [u8; 8] = *b"photonsg";
/// What every group begins with.
pub(super) const GROUP_MAGIC: [u8; 4] = *b"Grp\xf7";

/// Whose log it is. Its number seeds the checksums of headers, so that nothing that a client wrote
/// into a payload can pass for a group, nor can a group of another log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    /// The region that writes the log.
    pub region: RegionId,
    /// Tells it from logs that the region lost.
    pub incarnation: u64,
}

impl Owner {
    fn checksum(self, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc32c::crc32c(&self.incarnation.to_le_bytes()), bytes)
    }

    /// Encodes the header of the segment that begins with group `first`.
    pub(super) fn segment_header(self, first: u64) -> [u8; SEGMENT_HEADER_BYTES] {
        let name = self.region.as_str().as_bytes();
        let mut header = [0; SEGMENT_HEADER_BYTES];
        header[..8].copy_from_slice(&SEGMENT_MAGIC);
        header[8..10].copy_from_slice(&VERSION.to_le_bytes());
        header[10] = u8::try_from(name.len()).expect("a name has at most 23 bytes");
        header[11..11 + name.len()].copy_from_slice(name);
        header[34..42].copy_from_slice(&self.incarnation.to_le_bytes());
        header[42..50].copy_from_slice(&first.to_le_bytes());
        let checksum = self.checksum(&header[..60]);
        header[60..].copy_from_slice(&checksum.to_le_bytes());
        header
    }

    /// Checks the header of the segment that ought to begin with group `first`, or says what is
    /// wrong.
    pub(super) fn check_segment(self, header: &[u8], first: u64) -> Result<(), &'static str> {
        let expected = self.segment_header(first);
        if header == expected {
            return Ok(());
        }
        let differs =
            |range: std::ops::Range<usize>| header.get(range.clone()) != expected.get(range);
        Err(match () {
            () if header.len() < SEGMENT_HEADER_BYTES => "segment header: too short",
            () if differs(0..8) => "segment header: not a segment of photon",
            () if differs(8..10) => "segment header: another format version",
            () if differs(10..34) => "segment header: another region",
            () if differs(34..42) => "segment header: another incarnation of this region",
            () if differs(42..50) => {
                "segment header: another first group than the file's name says"
            }
            () => "segment header: wrong checksum",
        })
    }

    /// Decodes the header of a group, if it is one of this log.
    pub(super) fn group_header(self, header: &[u8]) -> Option<GroupHeader> {
        let header: &[u8; GROUP_HEADER_BYTES] =
            header.get(..GROUP_HEADER_BYTES)?.try_into().ok()?;
        if header[..4] != GROUP_MAGIC || u32_at(header, 20) != self.checksum(&header[..20]) {
            return None;
        }
        Some(GroupHeader {
            number: u64_at(header, 4),
            payload_bytes: u32_at(header, 12),
            records: u32_at(header, 16),
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// What stands in front of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GroupHeader {
    /// Groups are numbered 1, 2, 3 .. through all segments.
    pub number: u64,
    /// The bytes that follow.
    pub payload_bytes: u32,
    /// The records that they hold.
    pub records: u32,
}

/// Builds groups, one after the other, in one buffer.
#[derive(Debug, Default)]
pub(super) struct GroupBuffer {
    bytes: Vec<u8>,
    records: u32,
    record: Writer,
}

impl GroupBuffer {
    /// Begins a group.
    pub(super) fn begin(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(2 * GROUP_BYTES_MAX);
        self.bytes.resize(GROUP_HEADER_BYTES, 0);
        self.records = 0;
    }

    /// Adds an op.
    pub(super) fn push(&mut self, op: &Op) {
        self.record.clear();
        self.record.op(op);
        let record = self.record.written();
        let len = u32::try_from(record.len()).expect("an op is far smaller than 4 GiB");
        self.bytes.extend_from_slice(&len.to_le_bytes());
        self.bytes.extend_from_slice(&crc32c::crc32c(record).to_le_bytes());
        self.bytes.extend_from_slice(record);
        self.records += 1;
    }

    /// Whether the group takes no more ops.
    pub(super) fn is_full(&self) -> bool {
        GROUP_BYTES_MAX <= self.bytes.len()
    }

    /// Returns how many bytes the group takes on disk.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Ends the group and returns it as it goes to disk: with zeros behind it, up to `span` bytes.
    pub(super) fn seal(&mut self, owner: Owner, number: u64, span: u64) -> &[u8] {
        let payload_bytes = self.bytes.len() - GROUP_HEADER_BYTES;
        let payload_bytes = u32::try_from(payload_bytes).expect("a full group takes no more ops");
        self.bytes[..4].copy_from_slice(&GROUP_MAGIC);
        self.bytes[4..12].copy_from_slice(&number.to_le_bytes());
        self.bytes[12..16].copy_from_slice(&payload_bytes.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&self.records.to_le_bytes());
        let checksum = owner.checksum(&self.bytes[..20]);
        self.bytes[20..24].copy_from_slice(&checksum.to_le_bytes());
        let span = usize::try_from(span).expect("little more than the group");
        self.bytes.resize(self.bytes.len().max(span), 0);
        &self.bytes
    }
}

/// Splits the payload of a group into its records, all of which must be whole, or says what is
/// wrong.
pub(super) fn records(payload: &[u8], count: u32) -> Result<Vec<&[u8]>, &'static str> {
    let (mut rest, mut records) = (payload, Vec::new());
    while !rest.is_empty() {
        let (header, tail) =
            rest.split_at_checked(RECORD_HEADER_BYTES).ok_or("record header: too short")?;
        let (record, tail) = tail
            .split_at_checked(u32_at(header, 0) as usize)
            .ok_or("record: longer than its group")?;
        if u32_at(header, 4) != crc32c::crc32c(record) {
            return Err("record: wrong checksum");
        }
        records.push(record);
        rest = tail;
    }
    if records.len() != count as usize {
        return Err("group: another number of records than its header says");
    }
    Ok(records)
}

/// Decodes a record.
pub(super) fn decode(record: &[u8]) -> Result<Arc<Op>, DecodeError> {
    let mut reader = Reader::new(record);
    let op = reader.op()?;
    reader.end()?;
    Ok(Arc::new(op))
}

/// Decodes only what tells where a record belongs.
pub(super) fn decode_place(record: &[u8]) -> Result<(StreamId, u64), DecodeError> {
    let mut reader = Reader::new(record);
    Ok((reader.stream()?, reader.uint()?))
}
