//! Stories of datasets whose records are placed one by one, told step by step.
//! Faults are the simulator's; here it is shown what the machine does when all goes well.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{
    Content, DataCommand, DataRefusal, DataReply, DatasetName, DatasetSpec, Edit, Expect, Kind,
    MoveState, Outside, ReadHow, ReadLevel, Shown, Write,
};
use photon_region::{Input, Message, Output, Question, Refusal};
use photon_state::crdt::Version;
use photon_state::{PlacementId, Seen};
use planet::{Planet, eu_only, id, us_only};
use records::*;

fn unplaced<T>(reply: &Result<T, Refusal>) -> bool {
    matches!(reply, Err(Refusal::Data(DataRefusal::Unplaced { .. })))
}

/// Records by key, and the placements that were looked at.
type Scanned = (Vec<(Bytes, Shown)>, Vec<PlacementId>);

fn scan(
    planet: &mut Planet,
    region: &'static str,
    of: &DatasetName,
    how: ReadHow,
) -> Result<Scanned, Refusal> {
    let (dataset, prefix, limit) = (of.clone(), Bytes::new(), 10);
    match planet.data(region, DataCommand::Scan { dataset, prefix, after: None, limit, how }) {
        Ok(DataReply::Page { records, more: false, placements, .. }) => Ok((records, placements)),
        Ok(other) => panic!("{other:?}"),
        Err(refusal) => Err(refusal),
    }
}

#[test]
fn a_record_lives_where_its_attribute_says_and_is_found_from_everywhere() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    planet.write("ap", &of, Write { spot: spot("eu"), ..put("a", "here") }).unwrap();
    planet.write("us", &of, Write { spot: spot("us"), ..put("b", "there") }).unwrap();
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &of, "a"), "=here", "{region}");
        assert_eq!(planet.read(region, &of, "b"), "=there", "{region}");
        assert_eq!(planet.read(region, &of, "c"), "none", "{region}");
        let straight = planet.read_as(region, &of, "a", said("eu")).unwrap();
        assert_eq!((text(&straight).as_str(), straight.region), ("=here", id("eu")));
        assert_eq!(text(&planet.read_as(region, &of, "a", said("us")).unwrap()), "none");
        let held = planet.regions[region].store().contents();
        let stray = |it: &PlacementId| *it != PlacementId::global() && it.as_str() != region;
        let of_region = |it: &PlacementId| it.as_str().starts_with(region);
        assert!(!held.iter().any(|(it, _)| stray(&it.placement) && !of_region(&it.placement)));
    }
    // Who holds the record need not be told where it lives.
    planet.write("eu", &of, put("a", "again")).unwrap();
    assert_eq!(planet.read("us", &of, "a"), "=again");
}

#[test]
fn who_does_not_say_where_hears_what_may_be_said() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    let refused = planet.write("eu", &of, Write { spot: spot("mars"), ..put("a", "x") });
    let unplaced_as = |said: Option<&str>| DataRefusal::Unplaced {
        dataset: of.clone(),
        attribute: "residency".into(),
        said: said.map(Into::into),
        allowed: vec!["eu".into(), "us".into()],
    };
    assert_eq!(refused, Err(unplaced_as(Some("mars")).into()));
    assert_eq!(planet.write("eu", &of, put("a", "x")), Err(unplaced_as(None).into()));
    let delete = Write { edit: Edit::Delete, ..put("a", "") };
    assert!(unplaced(&planet.write("eu", &of, delete)));
    for level in [ReadLevel::Quorum, ReadLevel::Linearizable] {
        assert!(unplaced(&planet.read_as("eu", &of, "a", how(level, &Seen::default()))));
        let how = ReadHow { level: Some(level), ..said("eu") };
        assert_eq!(text(&planet.read_as("us", &of, "a", how).unwrap()), "none");
    }
    assert!(unplaced(&scan(&mut planet, "ap", &of, ReadHow::default())));
    let fixed = DatasetSpec { name: name("fixed"), ..dataset(Kind::Register) };
    let fixed = planet.declare("ap", fixed);
    let refused = planet.write("eu", &fixed, Write { spot: spot("eu"), ..put("a", "x") });
    assert!(matches!(refused, Err(Refusal::Data(DataRefusal::Senseless { .. }))), "{refused:?}");
}

#[test]
fn records_of_which_nothing_is_said_live_where_others_do() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, Some(PlacementId::global())));
    planet.write("eu", &of, put("a", "anywhere")).unwrap();
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("b", "here") }).unwrap();
    let named = planet.read_as("us", &of, "a", said("others")).unwrap();
    assert_eq!(text(&named), "=anywhere");
    let (records, placements) = scan(&mut planet, "eu", &of, ReadHow::default()).unwrap();
    assert_eq!((records.len(), placements.len()), (2, 2));
    let (records, placements) = scan(&mut planet, "us", &of, said("eu")).unwrap();
    assert_eq!((records.len(), placements), (1, vec![eu_only()]));
    // A removal that cannot see everything does not pretend to.
    let delete = || Write { edit: Edit::Delete, ..put("b", "") };
    assert!(unplaced(&planet.write("us", &of, delete())));
    planet.write("us", &of, Write { spot: spot("eu"), ..delete() }).unwrap();
    assert_eq!(planet.read("us", &of, "b"), "none");
}

#[test]
fn a_key_in_two_placements_is_shown_as_such() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, Some(PlacementId::global())));
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "older") }).unwrap();
    planet.pass(Duration::from_secs(1));
    planet.write("us", &of, Write { spot: spot("us"), ..put("k", "younger") }).unwrap();
    let found = planet.read_as("ap", &of, "k", ReadHow::default()).unwrap();
    let shown = found.record.as_ref().unwrap();
    assert_eq!((text(&found).as_str(), &shown.also_in), ("=younger", &vec![eu_only()]));
    // Who can see that it lives elsewhere refuses to make another one.
    let refused = planet.write("eu", &of, Write { spot: spot("us"), ..put("k", "x") });
    let elsewhere = DataRefusal::LivesElsewhere { placement: eu_only() };
    assert_eq!(refused, Err(elsewhere.into()));
}

#[test]
fn who_may_not_forward_refuses_and_a_sensitive_key_is_told_to_nobody() {
    let mut planet = Planet::new();
    let outside = Outside::Refuse;
    let of = planet.declare("ap", DatasetSpec { outside, ..by_record(Kind::Register, None) });
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "v") }).unwrap();
    match planet.read_as("ap", &of, "k", ReadHow::default()) {
        Err(Refusal::OutsidePlacement { members, .. }) => {
            assert_eq!(members, [id("eu"), id("us")]);
        }
        other => panic!("{other:?}"),
    }
    let (name, sensitive_keys) = (name("secret"), true);
    let spec = DatasetSpec { name, sensitive_keys, ..by_record(Kind::Register, None) };
    let of = planet.declare("ap", spec);
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "v") }).unwrap();
    assert!(unplaced(&planet.read_as("ap", &of, "k", ReadHow::default())));
    assert_eq!(text(&planet.read_as("ap", &of, "k", said("eu")).unwrap()), "=v");
    assert_eq!(planet.read("eu", &of, "k"), "=v");
}

/// Whether any op or state that a region's log holds since it was cut last has some bytes.
fn holds(planet: &Planet, region: &str, bytes: &[u8]) -> bool {
    let mut writer = photon_state::codec::Writer::default();
    planet.logs[region].iter().any(|op| {
        writer.clear();
        writer.op(op);
        writer.written().windows(bytes.len()).any(|it| it == bytes)
    })
}

#[test]
fn names_of_sensitive_keys_are_listed_in_their_placement_only() {
    let mut planet = Planet::new();
    let spec = DatasetSpec { sensitive_keys: true, ..by_record(Kind::Register, None) };
    let of = planet.declare("ap", spec);
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "v") }).unwrap();
    let is_outside = |it: &Refusal| {
        let (placement, members) = (eu_only(), vec![id("eu")]);
        *it == Refusal::OutsidePlacement { region: id("us"), placement, members }
    };
    let refused = scan(&mut planet, "us", &of, said("eu")).unwrap_err();
    assert!(is_outside(&refused), "{refused}");
    let watch = |position| {
        let (dataset, prefix, spot, wait) = (of.clone(), Bytes::new(), spot("eu"), Duration::ZERO);
        DataCommand::Watch { dataset, prefix, spot, position, wait }
    };
    for position in [None, Some(Seen::default())] {
        let refused = planet.data("us", watch(position)).unwrap_err();
        assert!(is_outside(&refused), "{refused}");
    }
    // A region that does not refuse its clients by itself is refused.
    let (dataset, prefix, how) = (of.clone(), Bytes::new(), said("eu"));
    let list = DataCommand::Scan { dataset, prefix, after: None, limit: 10, how };
    for (number, command) in (1..).zip([list, watch(None), watch(Some(Seen::default()))]) {
        let region = planet.regions.get_mut("eu").unwrap();
        let question = Question::Data(Box::new(command));
        let message = Message::Ask(number, question);
        region.handle(planet.now, Input::Message(id("us"), message));
        let answer = std::iter::from_fn(|| region.poll()).last();
        let Some(Output::Send(_, Message::Answer(_, Err(refusal)))) = answer else {
            panic!("{answer:?}")
        };
        assert!(is_outside(&refusal), "{refusal}");
    }
    assert_eq!(scan(&mut planet, "eu", &of, said("eu")).unwrap().0.len(), 1);
}

#[test]
fn a_record_that_moves_is_copied_and_erased_and_the_receipt_says_so() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "precious") }).unwrap();
    let ticket = move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(1));
    let done = receipt(&mut planet, ticket).unwrap();
    assert_eq!((done.state, done.from, done.to), (MoveState::Done, eu_only(), us_only()));
    assert_eq!((done.copies.len(), done.removals.len()), (1, 1));
    assert_eq!(done.must_forget, [id("eu")].into());
    assert_eq!(done.copies[0].regions, [id("us")].into());
    for region in ["ap", "eu", "us"] {
        let found = planet.read_as(region, &of, "k", ReadHow::default()).unwrap();
        let place = found.record.as_ref().map(|it| it.placement);
        assert_eq!((text(&found).as_str(), place), ("=precious", Some(us_only())), "{region}");
    }
    // Who asks again hears the same.
    let again = move_to(&mut planet, "eu", &of, "us");
    assert_eq!(receipt(&mut planet, again).unwrap().id, done.id);
    // The log still has it, until it is cut.
    assert!(
        holds(&planet, "eu", b"precious") && receipts(&mut planet, "eu", &of)[0].purged.is_empty()
    );
    assert_eq!(planet.data("eu", DataCommand::Compact), Ok(DataReply::Compacting));
    planet.pass(Duration::from_secs(3));
    assert!(!holds(&planet, "eu", b"precious"));
    let purged: Vec<_> = receipts(&mut planet, "eu", &of)[0].purged.keys().copied().collect();
    assert_eq!(purged, [id("eu")]);
    assert!(receipts(&mut planet, "us", &of).is_empty(), "a receipt stays where the key was known");
    assert!(!holds(&planet, "ap", b"precious"));
}

#[test]
fn a_move_waits_for_a_region_that_is_away_and_takes_what_it_wrote_with_it() {
    let mut planet = Planet::new();
    let everywhere = Some(PlacementId::global());
    let of = planet.declare("ap", by_record(Kind::Map, everywhere));
    planet.write("eu", &of, edits(vec![set("a", "1"), set("b", "2")])).unwrap();
    planet.cut("ap");
    planet.write("ap", &of, edits(vec![set("c", "3")])).unwrap();
    let ticket = move_to(&mut planet, "us", &of, "eu");
    planet.pass(WAIT);
    // The home of the record may be the region that is away: then it is asked again.
    let first = receipt(&mut planet, ticket);
    if let Ok(first) = &first {
        assert_ne!(first.state, MoveState::Done);
    }
    planet.link("ap");
    planet.pass(Duration::from_secs(2));
    let ticket = move_to(&mut planet, "us", &of, "eu");
    planet.pass(Duration::from_secs(8));
    let done = receipt(&mut planet, ticket).unwrap();
    assert_eq!(done.state, MoveState::Done, "{done:?}");
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &of, "k"), "a=1 b=2 c=3", "{region}");
    }
    for region in ["ap", "us"] {
        let held = planet.regions[region].store().contents();
        let of_record = |it: &photon_state::Record| it.dataset == photon_state::Dataset(5);
        assert!(!held.iter().any(|(it, _)| of_record(it)), "{region} holds it yet");
    }
}

#[test]
fn a_move_merges_with_what_was_made_apart_and_the_younger_is_shown() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "older") }).unwrap();
    planet.pass(Duration::from_secs(1));
    planet.write("us", &of, Write { spot: spot("us"), ..put("k", "younger") }).unwrap();
    let ticket = move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(2));
    assert_eq!(receipt(&mut planet, ticket).unwrap().state, MoveState::Done);
    let found = planet.read_as("ap", &of, "k", ReadHow::default()).unwrap();
    assert_eq!(text(&found), "=younger");
    assert!(found.record.unwrap().also_in.is_empty());
}

/// Returns the only write in force of a register, and when it was made.
fn version(planet: &mut Planet, of: &DatasetName, place: &str) -> Version {
    let found = planet.read_as("ap", of, "k", said(place)).unwrap();
    let Content::Fields(fields) = found.record.unwrap().content else { panic!("a register") };
    fields[0].1[0].clone()
}

#[test]
fn a_copy_is_as_old_as_what_it_copies_and_changes_nothing_that_is_younger() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "older") }).unwrap();
    let first = version(&mut planet, &of, "eu");
    planet.pass(Duration::from_secs(5));
    move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(2));
    let copy = version(&mut planet, &of, "us");
    assert_eq!((copy.at, &copy.written), (first.at, &first.written));
    // Made apart meanwhile: it is told by its own name, which a removal elsewhere may have named.
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "apart") }).unwrap();
    planet.pass(Duration::from_secs(1));
    planet.write("us", &of, Write { spot: spot("us"), ..put("k", "younger") }).unwrap();
    let younger = version(&mut planet, &of, "us");
    move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(2));
    assert_eq!(version(&mut planet, &of, "us"), younger);
}

#[test]
fn a_counter_moves_as_a_sum_and_leaves_nothing() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Counter, None));
    planet.write("eu", &of, Write { spot: spot("eu"), ..add(5) }).unwrap();
    planet.write("eu", &of, add(-2)).unwrap();
    let ticket = move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(1));
    assert_eq!(receipt(&mut planet, ticket).unwrap().state, MoveState::Done);
    planet.write("us", &of, add(10)).unwrap();
    for region in ["ap", "eu", "us"] {
        assert_eq!(planet.read(region, &of, "k"), "13", "{region}");
    }
    assert!(unplaced(&planet.write("eu", &of, add(1))));
    let back = move_to(&mut planet, "us", &of, "eu");
    planet.pass(Duration::from_secs(1));
    assert_eq!(receipt(&mut planet, back).unwrap().state, MoveState::Done);
    assert_eq!(planet.read("ap", &of, "k"), "13");
}

#[test]
fn a_receipt_of_a_sensitive_key_tells_neither_the_key_nor_what_can_be_guessed() {
    let mut planet = Planet::new();
    let spec = DatasetSpec { sensitive_keys: true, ..by_record(Kind::Register, None) };
    let of = planet.declare("ap", spec);
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "v") }).unwrap();
    let ticket = move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(1));
    let done = receipt(&mut planet, ticket).unwrap();
    assert_eq!((&done.key, done.content_digest), (&None, None));
    let again = move_to(&mut planet, "eu", &of, "us");
    assert_eq!(receipt(&mut planet, again).unwrap().id, done.id);
}

#[test]
fn what_cannot_be_moved_is_refused_and_says_why() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    let nothing = move_to(&mut planet, "eu", &of, "us");
    let refused = receipt(&mut planet, nothing);
    assert_eq!(refused, Err(DataRefusal::NothingToMove { placement: None }.into()));
    let mars = move_to(&mut planet, "eu", &of, "mars");
    assert!(unplaced(&receipt(&mut planet, mars)));
    planet.write("us", &of, Write { spot: spot("us"), ..put("k", "v") }).unwrap();
    let there = move_to(&mut planet, "us", &of, "us");
    let refused = receipt(&mut planet, there);
    assert_eq!(refused, Err(DataRefusal::NothingToMove { placement: Some(us_only()) }.into()));
    let quota = planet.declare("ap", by_record(Kind::BoundedCounter, None));
    let refused = move_to(&mut planet, "us", &quota, "eu");
    let refused = receipt(&mut planet, refused);
    assert!(matches!(refused, Err(Refusal::Data(DataRefusal::Senseless { .. }))), "{refused:?}");
}

#[test]
fn a_watcher_hears_that_a_record_has_moved_away_and_another_that_it_has_come() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    let (_, in_eu) = planet.watch("eu", &of, None);
    let (_, in_us) = planet.watch("us", &of, None);
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "v") }).unwrap();
    move_to(&mut planet, "eu", &of, "us");
    planet.pass(Duration::from_secs(1));
    let (gone, _) = planet.watch("eu", &of, Some(in_eu));
    assert!(gone.last().unwrap().record.is_none());
    let (come, _) = planet.watch("us", &of, Some(in_us));
    assert_eq!(come.len(), 1);
    assert_eq!(come[0].record.as_ref().unwrap().placement, us_only());
}

#[test]
fn a_conditional_write_of_a_record_whose_place_is_not_said_goes_to_its_home() {
    let mut planet = Planet::new();
    let everywhere = Some(PlacementId::global());
    let of = planet.declare("ap", by_record(Kind::Register, everywhere));
    let first = planet.write("us", &of, put("k", "v")).unwrap();
    let expect = Expect::Fingerprint(vec![first.records[0].fingerprint]);
    for region in ["ap", "eu", "us"] {
        let expect = Some(Expect::Absent);
        let refused = planet.write(region, &of, Write { expect, ..put("k", "x") });
        assert!(matches!(refused, Err(Refusal::Data(DataRefusal::Unexpected { .. }))));
    }
    planet.write("ap", &of, Write { expect: Some(expect), ..put("k", "w") }).unwrap();
    assert_eq!(planet.read("eu", &of, "k"), "=w");
}
