//! Records that lie on pages: whoever looks at many reads no more of them than he needs.
//! Must not measure time: what a look costs is told by the pages that it reads.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use photon_region::data::{
    DataCommand, DataReply, DatasetName, DatasetSpec, Kind, Mode, PlacementRule, ReadHow, Write,
};
use photon_region::{Command, Config, Input, Limits, Region, Reply};
use photon_state::crdt::Shape;
use photon_state::{Change, Dataset, Op, PAGE_BYTES, Pages, PlacementId, Tally};
use planet::{Planet, eu_only, id, west};
use records::*;

/// Pages in memory, without end.
#[derive(Debug, Default)]
struct Leaves(BTreeMap<u32, [u8; PAGE_BYTES]>);

impl Pages for Leaves {
    fn write(&mut self, page: u32, bytes: &[u8; PAGE_BYTES]) -> bool {
        self.0.insert(page, *bytes);
        true
    }

    fn read(&self, page: u32, into: &mut [u8; PAGE_BYTES]) {
        *into = self.0[&page];
    }

    fn erase(&mut self, page: u32) {
        self.0.remove(&page);
    }
}

/// Makes a region that keeps next to nothing in memory.
fn forgetful(name: &str) -> Region {
    let limits = Limits {
        data_memory_max: 0,
        recent_bytes_max: 1,
        compact_after_bytes: 1 << 30,
        log_retention: Duration::from_secs(5),
        ..Limits::default()
    };
    let mut region = Region::new(Config { limits, ..planet::config(name) });
    region.lay_away_to(Box::new(Leaves::default()));
    region
}

fn pages_read(planet: &Planet, region: &str) -> u64 {
    planet.regions[region].store().pages().read
}

const CONTENT_BYTES: usize = 64 << 10;
/// Pages of a record with such a content.
const PAGES: u64 = 17;

fn large(key: &str) -> Write {
    put(key, &"x".repeat(CONTENT_BYTES))
}

/// Lists records at a glance; returns their keys, whether there are more, and the pages read.
fn list(planet: &Planet, of: &DatasetName, limit: usize) -> (Vec<String>, bool, u64) {
    let (dataset, how) = (of.clone(), ReadHow::default());
    let scan = DataCommand::Scan { dataset, prefix: "".into(), after: None, limit, how };
    let before = pages_read(planet, "eu");
    let reply = planet.regions["eu"].glance(planet.now, &Command::Data(scan));
    let Some(Reply::Data(reply)) = reply else { panic!("all is here") };
    let DataReply::Page { records, more, .. } = *reply else { panic!("{reply:?}") };
    let keys = records.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap());
    (keys.collect(), more, pages_read(planet, "eu") - before)
}

#[test]
fn a_list_reads_what_it_shows_and_one_record_more() {
    let mut planet = Planet::of(forgetful);
    let of = planet.declare("eu", dataset(Kind::Register));
    (0..100).for_each(|n| drop(planet.write("eu", &of, large(&format!("k{n:03}"))).unwrap()));
    for (limit, expected) in [(3, 3), (1_000, 63)] {
        let (keys, more, pages) = list(&planet, &of, limit);
        assert_eq!((keys.len(), more), (expected, true), "no more than 4 MiB at once");
        let most = (expected as u64 + 1) * PAGES + 3;
        assert!(pages <= most, "{pages} pages for {expected} records");
    }
}

#[test]
fn a_list_of_several_placements_reads_no_more_than_that_of_one() {
    let mut planet = Planet::of(forgetful);
    let values = [("eu".into(), eu_only()), ("west".into(), west())].into();
    let rule = PlacementRule::ByRecord { attribute: "at".into(), values, others: None };
    let of = planet.declare("eu", DatasetSpec { rule, ..dataset(Kind::Register) });
    let mut put = |key: String, at: &str| {
        planet.write("eu", &of, Write { spot: spot(at), ..large(&key) }).unwrap();
    };
    (0..20).for_each(|n| put(format!("k{n:02}"), ["eu", "west"][n % 2]));
    let (keys, more, pages) = list(&planet, &of, 5);
    assert_eq!((keys, more), (["k00", "k01", "k02", "k03", "k04"].map(String::from).into(), true));
    assert!(pages <= 6 * PAGES + 4, "{pages} pages for 5 records");
}

#[test]
fn a_list_that_shows_something_does_not_look_at_all_that_is_over() {
    let mut planet = Planet::of(forgetful);
    let of = planet.declare("eu", dataset(Kind::Register));
    planet.write("eu", &of, large("a")).unwrap();
    for n in 0..200 {
        let ttl = Some(Duration::from_secs(60));
        planet.write("eu", &of, Write { ttl, ..large(&format!("k{n:03}")) }).unwrap();
    }
    planet.now.wall_ms += 60_000;
    let (keys, more, pages) = list(&planet, &of, 1_000);
    assert_eq!((keys, more), (vec!["a".to_owned()], true));
    assert!(pages <= 129 * PAGES + 8, "{pages} pages for 8 MiB");
}

#[test]
fn a_comparison_reads_the_records_that_may_differ_and_no_others() {
    let mut planet = Planet::of(forgetful);
    let of = planet.declare("eu", dataset(Kind::Register));
    (0..60).for_each(|n| drop(planet.write("eu", &of, large(&format!("k{n}"))).unwrap()));
    planet.restart("ap", |op| {
        let is_lost = op.key.as_bytes().ends_with(b"k7") && matches!(op.change, Change::Update(_));
        let change = if is_lost { Change::Delete } else { op.change.clone() };
        Arc::new(Op { change, ..(**op).clone() })
    });
    assert_eq!(planet.read("ap", &of, "k7"), "none");
    let before = pages_read(&planet, "eu");
    planet.pass(Duration::from_secs(100));
    assert_ne!(planet.read("ap", &of, "k7"), "none", "it was found and mended");
    let pages = pages_read(&planet, "eu") - before;
    assert!(pages < 10 * PAGES, "{pages} pages for one record");
}

#[test]
fn a_state_for_a_peer_reads_nothing_of_placements_that_it_is_not_in() {
    let mut planet = Planet::of(forgetful);
    let everywhere = PlacementId::global();
    let values = [("eu".into(), eu_only()), ("west".into(), west()), ("all".into(), everywhere)];
    let rule =
        PlacementRule::ByRecord { attribute: "at".into(), values: values.into(), others: None };
    let of = planet.declare("eu", DatasetSpec { rule, ..dataset(Kind::Register) });
    planet.pass(Duration::from_secs(2));
    planet.cut("ap");
    for n in 0..60 {
        let spot = spot(["eu", "west", "all"][if n < 5 { 2 } else { n % 2 }]);
        planet.write("eu", &of, Write { spot, ..large(&format!("k{n:02}")) }).unwrap();
    }
    for region in ["eu", "us"] {
        planet.data(region, DataCommand::Compact).unwrap();
    }
    planet.pass(Duration::from_secs(10));
    let before = pages_read(&planet, "eu");
    planet.link("ap");
    planet.pass(Duration::from_secs(3));
    let has = |region: &str| planet.regions[region].store().seen().clone();
    let of_all = |(stream, _): &(&photon_state::StreamId, u64)| stream.placement == everywhere;
    assert!(has("ap").iter().filter(of_all).eq(has("eu").iter().filter(of_all)));
    assert_eq!(planet.regions["eu"].view().counters.transfers, 1);
    let pages = pages_read(&planet, "eu") - before;
    assert!(pages < 15 * PAGES, "{pages} pages for 5 records");
}

/// Returns how many records a region holds, without a look at them.
fn held(planet: &Planet, region: &str) -> usize {
    let shelf = (PlacementId::global(), Dataset(5), Shape::Fields);
    planet.regions[region].store().tally(&shelf).map_or(0, Tally::records)
}

#[test]
fn what_ends_at_one_moment_is_removed_a_few_megabytes_at_a_time() {
    let mut planet = Planet::of(forgetful);
    let mode = Mode::AsyncMaster { master: id("eu") };
    let of = planet.declare("eu", DatasetSpec { mode, ..dataset(Kind::Register) });
    for n in 0..200 {
        let ttl = Some(Duration::from_secs(60));
        planet.write("eu", &of, Write { ttl, ..large(&format!("k{n}")) }).unwrap();
    }
    planet.now.mono += Duration::from_secs(60);
    planet.now.wall_ms += 60_000;
    let before = ["ap", "eu"].map(|it| pages_read(&planet, it));
    planet.input("ap", Input::Tick);
    assert_eq!(pages_read(&planet, "ap"), before[0], "it removes nothing, so it looks at nothing");
    planet.input("eu", Input::Tick);
    let (left, pages) = (held(&planet, "eu"), pages_read(&planet, "eu") - before[1]);
    assert_eq!(left, 200 - 128, "8 MiB are removed at once");
    assert!(pages <= 128 * 2 * (PAGES + 2), "{pages} pages for 128 records");
    planet.pass(Duration::from_secs(3));
    assert_eq!(["ap", "eu", "us"].map(|it| held(&planet, it)), [0, 0, 0]);
}

#[test]
fn a_large_record_on_pages_counts_with_what_it_costs_in_memory() {
    let mut planet = Planet::of(forgetful);
    let of = planet.declare("eu", dataset(Kind::Register));
    for n in 0..1_000 {
        planet.write("eu", &of, put(&format!("{n:020}"), &"x".repeat(1_900))).unwrap();
    }
    let counted = planet.regions["eu"].store().memory_bytes() / 1_000;
    assert!((150..300).contains(&counted), "{counted} bytes a record");
}

#[test]
fn who_is_refused_for_want_of_memory_is_told_what_bounds_it() {
    let mut planet = Planet::of(|name| {
        let limits = Limits { data_memory_max: 0, data_memory_slack: 10_000, ..Limits::default() };
        let mut region = Region::new(Config { limits, ..planet::config(name) });
        region.lay_away_to(Box::new(Leaves::default()));
        region
    });
    let of = planet.declare("eu", dataset(Kind::Register));
    let mut write = |n: usize| planet.write("eu", &of, put(&format!("{n}"), &"x".repeat(3_000)));
    let refused = (0..100).find_map(|n| write(n).err()).expect("what is known of pages adds up");
    assert!(refused.to_string().contains("`data.memory_max`"), "{refused}");
    let room = planet.regions["eu"].view().room;
    assert!(room.memory_end < room.memory && room.pages.used > 20, "{room:?}");
}
