//! What the log promises, under crashes, damage and a full disk.
//! Must not start a node.
#![expect(clippy::single_range_in_vec_init, reason = "a list of groups may have one")]

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use photon_state::{Change, Dataset, EntryPlace, Hlc, Key, PlacementId, RegionId};
use proptest::prelude::*;
use tempfile::TempDir;

use super::append::Committed;
use super::format::{GROUP_HEADER_BYTES, GroupBuffer, Owner, SEGMENT_HEADER_BYTES};
use super::segment::Room;
use super::*;

fn region(name: &str) -> RegionId {
    RegionId::try_from(name).unwrap()
}

fn stream(origin: &str) -> StreamId {
    StreamId { origin: region(origin), placement: PlacementId::global(), incarnation: 7 }
}

fn op_with(stream: StreamId, seq: u64, entry: Vec<u8>) -> Arc<Op> {
    let (place, at) = (EntryPlace { epoch: 1, index: seq, prev: 1 }, Hlc { wall_ms: 1, count: 1 });
    let change = Change::Append { place, entry: Bytes::from(entry) };
    Arc::new(Op { stream, seq, at, dataset: Dataset(1), key: Key::new(b"key"), change })
}

fn ops(seqs: Range<u64>) -> Vec<Arc<Op>> {
    seqs.map(|seq| op_with(stream("a"), seq, vec![0xa5; 100])).collect()
}

/// A data folder that can be opened, written and damaged over and over.
struct Fixture {
    _dir: TempDir,
    options: FolderOptions,
    room: Room,
    quota: Arc<AtomicU64>,
}

/// An open log without threads.
struct Open {
    folder: Folder,
    appender: Appender,
    index: Index,
    seqs: Vec<u64>,
    recovered: Recovered,
}

impl Fixture {
    fn new(segment_bytes: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let options =
            FolderOptions { path, planet: "earth".into(), region: region("a"), segment_bytes };
        let (room, quota) = Room::of(1 << 40);
        Self { _dir: dir, options, room, quota }
    }

    fn open(&self) -> Result<Open, LogError> {
        let folder = Folder::open_with(&self.options, self.room.clone())?;
        let mut seqs = Vec::new();
        let (tail, recovered) = ahead::recover(&folder, |op: Arc<Op>| seqs.push(op.seq))?;
        let (appender, index) = tail.into_appender(&folder);
        Ok(Open { folder, appender, index, seqs, recovered })
    }

    /// Opens the log and commits each range of ops as a group.
    fn write(&self, groups: &[Range<u64>]) -> Vec<Committed> {
        let mut open = self.open().unwrap();
        groups.iter().map(|seqs| open.appender.commit(&ops(seqs.clone())).unwrap()).collect()
    }

    /// Checks that a start finds the ops up to `last`, and whether it cuts a torn tail off.
    fn check(&self, last: u64, expected: Tail) {
        let open = self.open().unwrap();
        assert_eq!(open.seqs, (1..last + 1).collect::<Vec<_>>());
        assert_eq!(open.recovered.ops, last);
        let found = if open.recovered.torn.is_some() { Tail::Torn } else { Tail::Whole };
        assert_eq!(found, expected);
    }

    /// Checks that a start refuses the log for what is in `file`, and changes nothing.
    fn check_corrupt(&self, file: &Path, what: &str) {
        let before = fs::read(file).ok();
        match self.open().map(|open| open.recovered) {
            Err(LogError::Corrupt(corrupt)) => {
                assert_eq!(corrupt.path, file, "{corrupt}");
                assert!(corrupt.what.contains(what), "{corrupt}");
            }
            other => panic!("{other:?} in place of `{what}`"),
        }
        assert_eq!(fs::read(file).ok(), before);
    }

    fn segment(&self, first: u64) -> PathBuf {
        segment::path(&self.options.path.join("log"), first)
    }

    /// Changes the bytes of a file.
    fn damage(&self, file: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(file).unwrap();
        change(&mut bytes);
        fs::write(file, bytes).unwrap();
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Tail {
    Whole,
    Torn,
}

fn range(group: &Committed) -> Range<usize> {
    usize::try_from(group.at.offset).unwrap()..usize::try_from(group.end.offset).unwrap()
}

#[test]
fn a_log_of_many_segments_comes_back_after_each_of_many_starts() {
    let fixture = Fixture::new(1_000);
    for start in 0..10 {
        fixture.check(start * 9, Tail::Whole);
        let groups: Vec<_> = (0..3).map(|it| start * 9 + it * 3 + 1).map(|it| it..it + 3).collect();
        fixture.write(&groups);
    }
    assert!(9 < segment::list(&fixture.options.path.join("log")).unwrap().len());
    fixture.check(90, Tail::Whole);
}

#[test]
fn a_state_begins_a_segment_so_that_all_that_is_older_can_go() {
    let fixture = Fixture::new(16 << 10);
    let mut open = fixture.open().unwrap();
    let change = Change::State(Bytes::from_static(&[0, 1]));
    let head = Op { change, ..Op::clone(&ops(1..2)[0]) };
    let head = Arc::new(Op { stream: StreamId::local(region("a")), ..head });
    let all = [ops(1..3), vec![head], ops(3..5)].concat();
    let before = open.appender.commit(&all).unwrap();
    assert_eq!(before.ops, 2, "a group ends where a state begins");
    let state = open.appender.commit(&all[2..]).unwrap();
    assert_eq!((state.ops, state.at.offset), (3, SEGMENT_HEADER_BYTES as u64));
    assert!(before.at.segment < state.at.segment);
    let mut index = Index::default();
    index.note(StreamId::local(region("a")), 1, state.at);
    assert!(index.begins_segment(&StreamId::local(region("a")), 1));
}

#[test]
fn a_last_group_torn_at_any_byte_is_cut_off_and_the_log_goes_on() {
    let fixture = Fixture::new(16 << 10);
    let groups = fixture.write(&[1..4, 4..7]);
    let (file, torn) = (fixture.segment(1), range(&groups[1]));
    let whole = fs::read(&file).unwrap();
    for cut in torn.clone() {
        fixture.damage(&file, |bytes| {
            bytes.copy_from_slice(&whole);
            bytes[cut..].fill(0);
        });
        fixture.check(3, if cut == torn.start { Tail::Whole } else { Tail::Torn });
        fixture.check(3, Tail::Whole);
        fixture.write(&[4..5]);
        fixture.check(4, Tail::Whole);
    }
}

#[test]
fn a_last_group_that_lost_any_of_its_sectors_is_cut_off() {
    let fixture = Fixture::new(16 << 10);
    let groups = fixture.write(&[1..4, 4..40]);
    let (file, torn) = (fixture.segment(1), range(&groups[1]));
    let whole = fs::read(&file).unwrap();
    for start in torn.clone().step_by(512) {
        fs::write(&file, &whole).unwrap();
        fixture.damage(&file, |bytes| bytes[start..torn.end.min(start + 512)].fill(0));
        fixture.check(3, Tail::Torn);
    }
}

#[test]
fn a_segment_that_ends_within_its_last_group_is_cut_off() {
    let fixture = Fixture::new(16 << 10);
    let groups = fixture.write(&[1..4, 4..7]);
    fixture.damage(&fixture.segment(1), |bytes| bytes.truncate(range(&groups[1]).end - 1));
    fixture.check(3, Tail::Torn);
    fixture.write(&[4..5]);
    fixture.check(4, Tail::Whole);
}

#[test]
fn no_more_is_read_than_a_file_has_whatever_a_length_says() {
    let fixture = Fixture::new(4_096);
    fixture.write(&[1..4]);
    let file = fs::File::open(fixture.segment(1)).unwrap();
    let mut window = segment::Window::new(file, 1 << 10);
    assert_eq!(window.bytes(64, 1 << 50).unwrap().len(), 4_096 - 64);
    assert!(window.bytes(1 << 40, 1 << 50).unwrap().is_empty());
}

#[test]
fn a_bit_that_flips_anywhere_before_the_last_group_is_refused() {
    let fixture = Fixture::new(4_096);
    let groups = fixture.write(&[1..3, 3..5, 5..6]);
    let file = fixture.segment(1);
    for at in 0..range(&groups[1]).end {
        let is_padding = (50..60).contains(&at);
        let flip = |bytes: &mut Vec<u8>| bytes[at] ^= 1 << (at % 8);
        fixture.damage(&file, flip);
        let is_header = at < SEGMENT_HEADER_BYTES;
        let what = if is_padding || is_header { "segment header" } else { "is damaged, and group" };
        fixture.check_corrupt(&file, what);
        fixture.damage(&file, flip);
    }
    fixture.check(5, Tail::Whole);
}

#[test]
fn damage_in_a_segment_that_is_not_the_last_is_refused() {
    let fixture = Fixture::new(600);
    let groups = fixture.write(&[1..4, 4..7, 7..10]);
    assert_eq!([0, 1, 2].map(|at| groups[at].at.segment), [1, 2, 3]);
    let second = fixture.segment(2);
    fixture.damage(&second, |bytes| bytes[range(&groups[1]).end - 1] ^= 1);
    fixture.check_corrupt(&second, "not the last segment");
    fixture.damage(&second, |bytes| bytes.truncate(SEGMENT_HEADER_BYTES));
    fixture.check_corrupt(&second, "missing");
}

#[test]
fn a_segment_that_is_missing_is_refused() {
    let fixture = Fixture::new(600);
    fixture.write(&[1..4, 4..7, 7..10]);
    fs::remove_file(fixture.segment(2)).unwrap();
    fixture.check_corrupt(&fixture.segment(2), "missing");
    // Whether the log may begin later is for the machine to say, which knows what it lacks.
    fs::remove_file(fixture.segment(1)).unwrap();
    assert_eq!(fixture.open().unwrap().recovered.ops, 3);
    fs::remove_file(fixture.segment(3)).unwrap();
    fixture.check_corrupt(&fixture.segment(1), "missing");
}

#[test]
fn a_payload_that_looks_like_a_group_does_not_hinder_the_cut_of_a_torn_tail() {
    let fixture = Fixture::new(16 << 10);
    let mut open = fixture.open().unwrap();
    let mut forged = GroupBuffer::default();
    forged.begin();
    let stranger = Owner { region: region("a"), incarnation: 0 };
    let entry = forged.seal(stranger, 99, 0).to_vec();
    assert_eq!(entry.len(), GROUP_HEADER_BYTES);
    let group = open.appender.commit(&[op_with(stream("a"), 1, entry)]).unwrap();
    drop(open);
    fixture.damage(&fixture.segment(1), |bytes| bytes[range(&group).end - 1] ^= 1);
    fixture.check(0, Tail::Torn);
}

#[test]
fn a_crash_between_any_two_steps_of_a_roll_loses_nothing() {
    let fixture = Fixture::new(600);
    fixture.write(&[1..4]);
    let spare = fixture.options.path.join("log/next.tmp");
    let owner = fixture.open().unwrap().folder.owner;
    let (room, size) = (Room::default(), 600);
    let log = fixture.options.path.join("log");

    fs::write(&spare, []).unwrap(); // Created.
    fixture.check(3, Tail::Whole);
    segment::Spare::create(&log, size, &room).unwrap(); // It has its room.
    fixture.check(3, Tail::Whole);
    assert!(!spare.exists());
    fs::write(&spare, owner.segment_header(2)).unwrap(); // It has its header.
    fixture.check(3, Tail::Whole);
    segment::Spare::create(&log, size, &room).unwrap().name(owner, 2).unwrap(); // It has its name.
    fixture.check(3, Tail::Whole);
    fixture.write(&[4..7]);
    fixture.check(6, Tail::Whole);
}

#[test]
fn what_is_written_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let fixture = Fixture::new(600);
    fixture.write(&[1..2]);
    for folder in [fixture.options.path.clone(), fixture.options.path.join("log")] {
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    }
}

#[test]
fn segments_that_were_filled_ahead_are_read_back_and_cut_like_any_other() {
    let fixture = Fixture::new(64 << 10);
    let group = |n: u64| ops(50 * n + 1..50 * n + 51);
    let last = {
        let mut open = fixture.open().unwrap();
        let commit = |n| {
            let committed = open.appender.commit(&group(n)).unwrap();
            assert_eq!(open.appender.reserve().unwrap(), Disk::Ready);
            committed
        };
        (0..40).map(commit).last().unwrap()
    };
    assert!(3 < last.at.segment, "segments follow on each other: {last:?}");
    fixture.check(40 * 50, Tail::Whole);
    let file = fixture.segment(last.at.segment);
    fixture.damage(&file, |bytes| bytes[range(&last).end] = 1); // In the rest of its last page.
    fixture.check(40 * 50, Tail::Torn);
    fixture.open().unwrap().appender.commit(&group(40)).unwrap();
    fixture.check(41 * 50, Tail::Whole);
}

#[test]
fn a_folder_whose_region_halted_is_not_used_again() {
    let fixture = Fixture::new(600);
    fixture.write(&[1..2]);
    mark_halted(&fixture.options.path, "it went back").unwrap();
    match fixture.open().map(|open| open.recovered) {
        Err(LogError::Halted { why, .. }) => assert_eq!(why, "it went back"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_group_larger_than_a_segment_gets_one_of_its_own_size() {
    let fixture = Fixture::new(600);
    let groups = fixture.write(&[1..2, 2..100, 100..101]);
    assert_eq!([0, 1, 2].map(|at| groups[at].at.segment), [1, 2, 3]);
    fixture.check(100, Tail::Whole);
}

#[test]
fn a_full_disk_is_known_before_the_reserve_is_used_and_forgotten_when_there_is_room() {
    let fixture = Fixture::new(1_000);
    let mut open = fixture.open().unwrap();
    assert_eq!(open.appender.reserve().unwrap(), Disk::Ready);
    fixture.quota.store(999, Ordering::Relaxed);
    open.appender.commit(&ops(1..5)).unwrap();
    assert_eq!(open.appender.reserve().unwrap(), Disk::Full);
    open.appender.commit(&ops(5..6)).unwrap();
    match open.appender.commit(&ops(6..10)) {
        Err(LogError::NoRoom { bytes: 1_000, .. }) => {}
        other => panic!("{other:?}"),
    }
    fixture.quota.store(2_000, Ordering::Relaxed);
    assert_eq!(open.appender.reserve().unwrap(), Disk::Ready);
    open.appender.commit(&ops(6..10)).unwrap();
    drop(open);
    fixture.check(9, Tail::Whole);
}

#[test]
fn a_folder_that_cannot_be_made_for_want_of_room_can_be_made_later() {
    let fixture = Fixture::new(600);
    fixture.quota.store(0, Ordering::Relaxed);
    assert!(matches!(fixture.open(), Err(LogError::NoRoom { .. })));
    fixture.quota.store(600, Ordering::Relaxed);
    fixture.check(0, Tail::Whole);
}

#[test]
fn a_folder_of_another_owner_or_version_is_refused_with_both_names() {
    let fixture = Fixture::new(4_096);
    fixture.write(&[1..2]);
    let meta = fixture.options.path.join("photon.meta");
    let text = fs::read_to_string(&meta).unwrap();
    let check = |from: &str, to: &str, expected: &[&str]| {
        fs::write(&meta, text.replace(from, to)).unwrap();
        let error = fixture.open().map(|open| open.recovered).unwrap_err().to_string();
        for part in expected.iter().chain(&["photon.meta", " is expected; "]) {
            assert!(error.contains(part), "`{error}` lacks `{part}`");
        }
    };
    check("version 1", "version 999", &["`999`"]);
    check("planet earth", "planet mars", &["planet `mars`", "`earth`"]);
    check("region a", "region b", &["region `b`", "`a`"]);
    check("region a", "regiona", &["line 3", "`regiona`"]);
    check("incarnation ", "incarnation x", &["line 4", "hexadecimal"]);
    check(&text, "", &["line 1"]);
    fs::remove_file(&meta).unwrap();
    assert!(matches!(fixture.open(), Err(LogError::NoMeta { .. })));
    fs::write(&meta, text).unwrap();
    fixture.check(1, Tail::Whole);
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let [fixture, other] = [Fixture::new(4_096), Fixture::new(4_096)];
    fixture.write(&[1..2]);
    other.write(&[1..2]);
    fs::copy(other.segment(1), fixture.segment(1)).unwrap();
    fixture.check_corrupt(&fixture.segment(1), "another incarnation");
}

#[test]
fn a_first_start_that_was_interrupted_begins_anew() {
    let fixture = Fixture::new(4_096);
    fixture.check(0, Tail::Whole);
    fs::remove_file(fixture.options.path.join("photon.meta")).unwrap();
    fixture.check(0, Tail::Whole);
    fixture.write(&[1..2]);
    fixture.check(1, Tail::Whole);
}

#[test]
fn a_folder_is_locked_while_it_is_open() {
    let fixture = Fixture::new(4_096);
    let open = fixture.open().unwrap();
    let error = fixture.open().map(|open| open.recovered).unwrap_err();
    let expected = format!("process {}", std::process::id());
    assert!(matches!(&error, LogError::Locked { holder, .. } if *holder == expected), "{error}");
    drop(open);
    fixture.check(0, Tail::Whole);
}

#[test]
fn ops_of_a_stream_are_read_back_from_any_number_on() {
    let fixture = Fixture::new(300 << 10);
    let (ours, theirs, rare) = (stream("a"), stream("b"), stream("c"));
    let mut open = fixture.open().unwrap();
    open.appender.commit(&[op_with(rare, 1, vec![1])]).unwrap();
    for first in (1..400_u64).step_by(4) {
        let pair = |seq| [op_with(ours, seq, vec![1; 1_000]), op_with(theirs, seq, vec![2; 3_000])];
        let group: Vec<_> = (first..first + 4).flat_map(pair).collect();
        open.appender.commit(&group).unwrap();
    }
    open.appender.commit(&[op_with(rare, 2, vec![1])]).unwrap();
    drop(open);

    let Open { folder, index, .. } = fixture.open().unwrap();
    let reader = LogReader::new(folder.log.clone(), folder.owner, Arc::new(Mutex::new(index)));
    let fetch = |stream, from, bytes_max| -> Vec<u64> {
        let ops = reader.fetch(stream, from, bytes_max).unwrap();
        assert!(ops.iter().all(|op| op.stream == stream));
        ops.iter().map(|op| op.seq).collect()
    };
    for from in 1..=400 {
        assert_eq!(fetch(ours, from, usize::MAX), (from..401).collect::<Vec<_>>());
        assert_eq!(fetch(theirs, from, 1), [from]);
        assert_eq!(fetch(theirs, from, 7_000), (from..401.min(from + 3)).collect::<Vec<_>>());
    }
    assert_eq!(fetch(rare, 1, 1 << 20), [1, 2]);
    assert_eq!(fetch(rare, 2, 1 << 20), [2]);
    assert!(fetch(ours, 401, 1 << 20).is_empty());
    assert!(fetch(stream("d"), 1, 1 << 20).is_empty());
}

#[test]
fn the_threads_tell_what_is_durable_and_whether_there_is_room() {
    let fixture = Fixture::new(2_000);
    let folder = Folder::open_with(&fixture.options, fixture.room.clone()).unwrap();
    let counters = Arc::new(LogCounters::default());
    let (log, _) = ReadLog::open(folder, Arc::clone(&counters), |_: Arc<Op>| {}).unwrap();
    let (events_tx, mut events) = mpsc::channel(4);
    fixture.quota.store(0, Ordering::Relaxed);
    let log = log.run(events_tx).unwrap();
    let mut next = || events.blocking_recv().unwrap();

    assert!(matches!(log.append(ops(1..11)), Handed::Taken));
    assert!(matches!(next(), LogEvent::Durable(10)));
    assert!(matches!(next(), LogEvent::Disk(Disk::Full)));
    fixture.quota.store(1 << 20, Ordering::Relaxed);
    assert!(matches!(log.append(ops(11..13)), Handed::Taken));
    assert!(matches!(next(), LogEvent::Durable(12)));
    assert!(matches!(next(), LogEvent::Disk(Disk::Ready)));
    let request = FetchRequest { stream: stream("a"), from: 3, bytes_max: usize::MAX };
    assert!(matches!(log.read(ReadRequest::Fetch(request)), Handed::Taken));
    let LogEvent::Fetched { from: 3, ops, .. } = next() else { panic!("no ops were fetched") };
    assert_eq!(ops.len(), 10);
    drop(log);
    assert!(events.blocking_recv().is_none());
    assert_eq!((counters.read().groups, counters.read().ops), (2, 12));
    fixture.check(12, Tail::Whole);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn whatever_a_crash_leaves_of_the_last_group_a_prefix_of_the_groups_comes_back(
        sizes in prop::collection::vec(1..20_u64, 1..8),
        segment_bytes in 200..4_000_u64,
        lost in prop::collection::vec(0.0..1.0, 1..4),
    ) {
        let fixture = Fixture::new(segment_bytes);
        let mut last = 0; let mut range = |size: &u64| { last += size; last + 1 - size..last + 1 };
        let groups: Vec<_> = sizes.iter().map(&mut range).collect();
        let torn = *fixture.write(&groups).last().unwrap();
        fixture.damage(&fixture.segment(torn.at.segment), |bytes| {
            let len = (torn.end.offset - torn.at.offset) as f64;
            let place = |at| usize::try_from(torn.at.offset + (len * at) as u64).unwrap();
            // Each byte once: flipped twice, it would be whole again.
            let places: std::collections::BTreeSet<_> = lost.into_iter().map(place).collect();
            places.into_iter().for_each(|at| bytes[at] ^= 0xff);
        });
        fixture.check(last - sizes.last().unwrap(), Tail::Torn);
    }
}
