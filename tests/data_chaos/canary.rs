//! Random bytes in records, looked for wherever they must not be, and wherever they must.
//! Must not know the product's formats: it looks for bytes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fleet::Fleet;
use super::plain::plain;
use super::{INSIDE, OUTSIDE, REGIONS};
use crate::harness::say;

/// What the records of one placement carry.
#[derive(Clone, Debug)]
pub(crate) struct Marks {
    /// In each key.
    pub(crate) key: String,
    /// In each value, element and name of a member.
    pub(crate) value: String,
    /// As a value that is no text.
    pub(crate) bytes: [u8; 24],
    /// Whether they pass through regions outside, because a client there asked for it.
    pub(crate) is_passing: bool,
}

impl Marks {
    fn new(is_passing: bool) -> Self {
        // Not from the seed: no other run, and no other file, has them.
        let text = |what| format!("{what}{:032x}", fastrand::u128(..));
        let bytes = std::array::from_fn(|_| fastrand::u8(..));
        Self { key: text("k"), value: text("v"), bytes, is_passing }
    }

    fn all(&self) -> [&[u8]; 3] {
        [self.key.as_bytes(), self.value.as_bytes(), &self.bytes]
    }
}

/// The marks of all placements.
#[derive(Debug)]
pub(crate) struct Canaries {
    /// Of records that may live only inside.
    pub(crate) inside: Marks,
    /// Of records that may live anywhere.
    pub(crate) anywhere: Marks,
    /// Of records that live inside, and that clients outside write.
    pub(crate) passing: Marks,
}

impl Canaries {
    /// Makes marks that nobody has seen.
    pub(crate) fn new() -> Self {
        Self { inside: Marks::new(false), anywhere: Marks::new(false), passing: Marks::new(true) }
    }

    /// Returns the marks of a placement.
    pub(crate) fn of(&self, placement: &str) -> &Marks {
        if placement == "eu" { &self.inside } else { &self.anywhere }
    }
}

/// Panics if anything of the placement is on a disk outside it, or was said there.
pub(crate) async fn no_disk_outside_has_any(fleet: &Fleet, canaries: &Canaries) {
    let Canaries { inside, anywhere, passing } = canaries;
    for region in REGIONS {
        let site = fleet.site(region);
        let mut files = files_of(&site.data);
        assert!(files.keys().any(|it| it.starts_with(site.data.join("log"))), "{files:?}");
        files.insert(PathBuf::from("what it said"), site.said().await.into_bytes());
        let is_outside = OUTSIDE.contains(&region);
        for marks in [inside, passing] {
            for mark in marks.all() {
                let found = files_with(&files, mark);
                if is_outside {
                    assert!(
                        found.is_empty(),
                        "{region} has `{}` in {found:?}",
                        mark.escape_ascii()
                    );
                }
            }
        }
        // These are found, or else nothing would ever be.
        let known = if is_outside { vec![anywhere] } else { vec![anywhere, inside] };
        for mark in known.iter().flat_map(|it| it.all()) {
            let found = files_with(&files, mark);
            assert!(!found.is_empty(), "`{}` is not found in {region}", mark.escape_ascii());
        }
        let found = files_with(&files, passing.key.as_bytes());
        assert!(is_outside == found.is_empty(), "{region} has what passes in {found:?}");
        let logs = files.keys().filter_map(|it| it.strip_prefix(site.data.join("log")).ok());
        say(&format!("{region}: the log is {:?}", logs.collect::<Vec<_>>()));
        let bytes: usize = files.values().map(Vec::len).sum();
        say(&format!("{region}: {} files of {bytes} bytes were looked through", files.len()));
    }
}

fn files_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).expect("the region made it") {
        let path = entry.expect("nobody else is here").path();
        if path.is_dir() {
            files.extend(files_of(&path));
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.insert(path, bytes); // A segment may be removed while it is looked for.
        }
    }
    files
}

fn files_with<'a>(files: &'a BTreeMap<PathBuf, Vec<u8>>, mark: &[u8]) -> Vec<&'a PathBuf> {
    files.iter().filter(|(_, bytes)| contains(bytes, mark)).map(|(path, _)| path).collect()
}

fn contains(bytes: &[u8], mark: &[u8]) -> bool {
    memchr::memmem::find(bytes, mark).is_some()
}

/// Panics if anything of the placement was sent on a link of a region outside it.
pub(crate) fn no_link_outside_had_any(fleet: &Fleet, canaries: &Canaries) {
    let Canaries { inside, anywhere, passing } = canaries;
    let (mut wire_bytes, mut plain_bytes, mut connections) = (0, 0, 0);
    let mut seen_outside: Vec<&[u8]> = Vec::new();
    let mut seen_inside: Vec<&[u8]> = Vec::new();
    for tape in fleet.relay.tapes() {
        let said = tape.read(|wire| {
            wire_bytes += wire.len();
            plain(wire)
        });
        connections += 1;
        plain_bytes += said.iter().map(Vec::len).sum::<usize>();
        let has = |mark: &&[u8]| said.iter().any(|it| contains(it, mark));
        let marks = [anywhere, inside, passing].into_iter().flat_map(Marks::all);
        if !tape.touches(&OUTSIDE) {
            seen_inside.extend(marks.filter(has));
            continue;
        }
        for mark in inside.all() {
            let (from, to) = (tape.from, tape.to);
            assert!(!has(&mark), "{from} said `{}` to {to}", mark.escape_ascii());
        }
        let is_among_outside = !tape.touches(&INSIDE);
        let passed = is_among_outside && passing.all().iter().any(has);
        assert!(!passed, "what is for inside went from {} to {}", tape.from, tape.to);
        seen_outside.extend(marks.filter(has));
    }
    // These were sent, or else nothing would ever be found.
    for mark in anywhere.all() {
        assert!(seen_outside.contains(&mark), "`{}` was never sent", mark.escape_ascii());
    }
    for mark in inside.all() {
        assert!(seen_inside.contains(&mark), "`{}` was never sent", mark.escape_ascii());
    }
    assert!(seen_outside.contains(&passing.key.as_bytes()), "nothing was handed on");
    let half = connections / 2;
    say(&format!("{half} connections carried {wire_bytes} bytes, of {plain_bytes} of plain text"));
}
