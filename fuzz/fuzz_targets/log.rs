//! A log that is damaged in any way, and started from. Nothing panics; what is read is the
//! beginning of what was written, and all that lies before the damage is in it; what is refused is
//! left as it is. Where the checksums were put right by whoever did the damage, nothing panics.

#![no_main]

use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use arbitrary::Arbitrary;
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use photon_node::probe::LogProbe;
use photon_state::{Change, Dataset, EntryPlace, Hlc, Key, Op, PlacementId, RegionId, StreamId};

const SEGMENT_BYTES: u64 = 8 << 10;
const HEADER_BYTES: usize = 64;
const GROUP_HEADER_BYTES: usize = 24;

/// How a file is damaged.
#[derive(Arbitrary, Debug)]
enum Damage {
    Flip { at: u16, with: u8 },
    Zero { from: u16, bytes: u16 },
    Cut { at: u16 },
    Overwrite { at: u16, with: Vec<u8> },
    Append { with: Vec<u8> },
    Copy { from: u16, bytes: u16, to: u16 },
}

#[derive(Arbitrary, Debug)]
struct Case {
    /// Which file of the log.
    file: u8,
    damages: Vec<Damage>,
    /// Whether checksums are put right afterwards.
    seal: bool,
}

/// A log that was written once, and is copied for each case.
struct Template {
    meta: Vec<u8>,
    files: Vec<(String, Vec<u8>)>,
    ops: Vec<Arc<Op>>,
    /// For each file, where its groups end, and how many ops of the log lie before that.
    ends: Vec<Vec<(usize, usize)>>,
    incarnation: u64,
}

fn region() -> RegionId {
    RegionId::try_from("a").expect("it is a name")
}

/// On memory, if there is some: disks are not what is looked at.
fn folder(name: &str) -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    let base = if shared.is_dir() { shared } else { std::env::temp_dir() };
    base.join(format!("photon-fuzz-{name}-{}", std::process::id()))
}

fn op(seq: u64) -> Arc<Op> {
    let placement = PlacementId::global();
    let stream = StreamId { origin: region(), placement, incarnation: 7 };
    let bytes = Bytes::from(vec![seq as u8; 40 * (seq as usize % 9)]);
    let change = match seq % 4 {
        0 => Change::Put(bytes),
        1 => {
            let epoch = 1 + (seq % 3) as u32;
            Change::Append { place: EntryPlace { epoch, index: seq, prev: epoch }, entry: bytes }
        }
        2 => Change::Delete,
        _ => Change::Unknown { tag: 200, body: bytes },
    };
    let at = Hlc { wall_ms: seq, count: 0 };
    Arc::new(Op { stream, seq, at, dataset: Dataset(1), key: Key::new(b"key"), change })
}

static TEMPLATE: LazyLock<Template> = LazyLock::new(|| {
    let path = folder("template");
    let _ = fs::remove_dir_all(&path);
    let groups: Vec<Vec<_>> =
        (0..40).map(|at| (at * 4 + 1..at * 4 + 5).map(op).collect()).collect();
    LogProbe::new(path.clone(), region(), SEGMENT_BYTES).write(&groups).expect("there is room");
    let mut files = Vec::new();
    for entry in fs::read_dir(path.join("log")).expect("it was made") {
        let entry = entry.expect("nobody else is here");
        let name = entry.file_name().into_string().expect("it is ascii");
        if name.ends_with(".seg") {
            files.push((name, fs::read(entry.path()).expect("it is there")));
        }
    }
    files.sort();
    assert!(2 < files.len(), "a log of one segment says little: {}", files.len());
    let mut ops = 0;
    let ends = files.iter().map(|(_, bytes)| group_ends(bytes, &mut ops)).collect();
    let meta = fs::read(path.join("photon.meta")).expect("it is there");
    let incarnation = files[0].1[34..42].try_into().expect("eight bytes");
    let _ = fs::remove_dir_all(&path);
    let ops = groups.into_iter().flatten().collect();
    Template { meta, files, ops, ends, incarnation: u64::from_le_bytes(incarnation) }
});

fn u32_at(bytes: &[u8], at: usize) -> usize {
    let bytes = bytes.get(at..at + 4).and_then(|it| it.try_into().ok());
    bytes.map_or(0, |it| u32::from_le_bytes(it) as usize)
}

fn group_ends(bytes: &[u8], ops: &mut usize) -> Vec<(usize, usize)> {
    let (mut at, mut ends) = (HEADER_BYTES, vec![(HEADER_BYTES, *ops)]);
    while bytes.get(at..at + 4) == Some(b"Grp\xf7") {
        *ops += u32_at(bytes, at + 16);
        at += GROUP_HEADER_BYTES + u32_at(bytes, at + 12);
        ends.push((at, *ops));
    }
    ends
}

impl Damage {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        match self {
            Self::Flip { at, with } => {
                if let Some(byte) = bytes.get_mut(usize::from(*at)) {
                    *byte ^= with;
                }
            }
            Self::Zero { from, bytes: count } => {
                let from = usize::from(*from).min(len);
                bytes[from..len.min(from + usize::from(*count))].fill(0);
            }
            Self::Cut { at } => bytes.truncate(usize::from(*at)),
            Self::Overwrite { at, with } => {
                let at = usize::from(*at).min(len);
                let count = with.len().min(len - at);
                bytes[at..at + count].copy_from_slice(&with[..count]);
            }
            Self::Append { with } => bytes.extend_from_slice(with),
            Self::Copy { from, bytes: count, to } => {
                let from = usize::from(*from).min(len);
                let end = len.min(from + usize::from(*count));
                let to = usize::from(*to).min(len - (end - from));
                bytes.copy_within(from..end, to);
            }
        }
    }
}

/// Puts all checksums right, as far as groups and records can be told.
fn seal(bytes: &mut [u8], incarnation: u64) {
    let of_header = |bytes: &[u8]| {
        crc32c::crc32c_append(crc32c::crc32c(&incarnation.to_le_bytes()), bytes).to_le_bytes()
    };
    if HEADER_BYTES <= bytes.len() {
        let checksum = of_header(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum);
    }
    let mut at = HEADER_BYTES;
    while bytes.get(at..at + GROUP_HEADER_BYTES).is_some_and(|it| it.starts_with(b"Grp\xf7")) {
        let checksum = of_header(&bytes[at..at + 20]);
        bytes[at + 20..at + 24].copy_from_slice(&checksum);
        let mut record = at + GROUP_HEADER_BYTES;
        let end = record.saturating_add(u32_at(bytes, at + 12)).min(bytes.len());
        while record + 8 <= end {
            let until = (record + 8).saturating_add(u32_at(bytes, record)).min(end);
            let checksum = crc32c::crc32c(&bytes[record + 8..until]).to_le_bytes();
            bytes[record + 4..record + 8].copy_from_slice(&checksum);
            record = until;
        }
        at = end;
    }
}

fuzz_target!(|case: Case| {
    let template = &*TEMPLATE;
    let path = folder("case");
    let log = path.join("log");
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&log).expect("there is room");
    fs::write(path.join("photon.meta"), &template.meta).expect("there is room");
    let nth = usize::from(case.file) % template.files.len();
    let mut damaged = template.files[nth].1.clone();
    case.damages.iter().for_each(|it| it.apply(&mut damaged));
    if case.seal {
        seal(&mut damaged, template.incarnation);
    }
    for (at, (name, bytes)) in template.files.iter().enumerate() {
        let bytes = if at == nth { &damaged } else { bytes };
        fs::write(log.join(name), bytes).expect("there is room");
    }

    let probe = LogProbe::new(path, region(), SEGMENT_BYTES);
    let found = probe.recover();
    let whole = &template.files[nth].1;
    let first_damage = whole.iter().zip(&damaged).take_while(|(a, b)| a == b).count();
    match found {
        Ok((ops, _)) => {
            let again = probe.recover().expect("what was read once is read again");
            assert!(again.1.torn.is_none(), "what was cut off is gone");
            assert_eq!(ops, again.0);
            if case.seal {
                return;
            }
            assert!(template.ops.starts_with(&ops), "what is read was written");
            let before = template.ends[nth].iter().filter(|(end, _)| *end <= first_damage);
            let least = before.map(|(_, ops)| *ops).max().unwrap_or(0);
            assert!(least <= ops.len(), "{} of {least} ops before the damage", ops.len());
            let is_last = nth + 1 == template.files.len();
            let is_whole = ops.len() == template.ops.len();
            assert!(is_last || is_whole, "only the end of a log may be torn");
        }
        Err(_) => {
            for (at, (name, bytes)) in template.files.iter().enumerate() {
                let kept = fs::read(log.join(name)).expect("it is there");
                assert!(kept == if at == nth { &damaged } else { bytes }[..], "it was changed");
            }
        }
    }
});
