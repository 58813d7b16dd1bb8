//! Stories of a peer that answers what it was not asked: whoever waits is refused, and all goes on.
//! Must not depend on what a peer is asked for besides.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use photon_region::data::{
    Conflicts, DataCommand, DataRefusal, DataReply, DatasetSpec, Found, Kind, Mode, MoveState,
    Outside, PlacementRule, ReadHow, ReadLevel, Spot, Write, Written,
};
use photon_region::{
    AgentSpec, Answer, AtHome, Command, Json, Message, Refusal, Reply, Spec, Target, TaskState,
};
use photon_state::{PlacementId, Seen};
use planet::{Planet, eu_only, id, us_only, west};
use records::*;

thread_local! {
    /// What every region answers, whatever it was asked.
    static WRONG: RefCell<Option<Answer>> = const { RefCell::new(None) };
}

fn say_wrong(wrong: Option<Answer>) {
    WRONG.with_borrow_mut(|it| *it = wrong);
}

/// Puts the wrong answer in place of each answer that is not a refusal.
fn distort(_: &str, _: &str, message: &mut Message) -> bool {
    if let (Message::Answer(_, Ok(answer)), Some(wrong)) =
        (message, WRONG.with_borrow(Clone::clone))
    {
        *answer = wrong;
    }
    true
}

/// An answer of each kind, with what it is called.
fn answers() -> Vec<(&'static str, Answer)> {
    let data = |reply| Answer::Data(Box::new(reply));
    let session = Seen::default;
    let (record, region, staleness) = (None, id("eu"), None);
    let found = Found { record, region, asked: 1, staleness, session: session() };
    let (records, durable_in, members) = (Vec::new(), 1, 1);
    let written = Written { records, region, durable_in, members, session: session() };
    let (records, more, placements) = (Vec::new(), false, Vec::new());
    let page = DataReply::Page { records, more, placements, session: session() };
    let changes = DataReply::Changes { changes: Vec::new(), position: session() };
    let spec = std::sync::Arc::new(dataset(Kind::Register));
    vec![
        ("standing", Answer::Standing(TaskState::Completed, 1)),
        ("state", Answer::State(None, session())),
        ("rights", Answer::Rights(1)),
        ("dataset", data(DataReply::Dataset(spec))),
        ("dropped", data(DataReply::Dropped)),
        ("compacting", data(DataReply::Compacting)),
        ("conflicts", data(DataReply::Conflicts(Conflicts::default()))),
        ("receipts", data(DataReply::Receipts { receipts: Vec::new(), more: false })),
        ("written", data(DataReply::Written(written))),
        ("found", data(DataReply::Found(found))),
        ("page", data(page)),
        ("changes", data(changes)),
    ]
}

fn is_refused(reply: &Result<Reply, Refusal>) -> bool {
    matches!(
        reply,
        Err(Refusal::HomeUnreachable { .. }
            | Refusal::Data(
                DataRefusal::DeciderUnreachable { was_sent: true, .. }
                    | DataRefusal::ReadNotReached { .. }
            ))
    )
}

/// Asks a region what others decide, and is refused in time whatever they answer, but for the one
/// kind of answer that fits.
fn check(planet: &mut Planet, region: &'static str, command: &Command, fits: &str) {
    planet.passes = distort;
    for (kind, wrong) in answers().into_iter().filter(|(kind, _)| *kind != fits) {
        let before = planet.regions[region].view().counters.misplaced;
        say_wrong(Some(wrong));
        let ticket = planet.ask(region, command.clone());
        planet.pass(Duration::from_secs(6)); // Another region might have become the home.
        let reply = planet.replies.remove(&ticket).expect("an answer in time");
        say_wrong(None);
        assert!(is_refused(&reply), "{command:?} was answered with {kind}: {reply:?}");
        planet.pass(Duration::from_secs(1));
        assert!(before < planet.regions[region].view().counters.misplaced, "{kind}");
    }
}

fn data(command: DataCommand) -> Command {
    Command::Data(command)
}

#[test]
fn a_wrong_answer_about_a_task_is_a_refusal() {
    let mut planet = Planet::new();
    let json = || Json(Bytes::from_static(b"{}"));
    let agent = AgentSpec {
        name: "shout".into(),
        skills: BTreeSet::from(["text.upper".into()]),
        capacity: 1,
        cost_micros: 0,
        card: json(),
        placement: PlacementId::global(),
    };
    planet.get("eu", Command::Register(agent)).unwrap();
    let spec = Spec {
        target: Target::Skill("text.upper".into()),
        placement: PlacementId::global(),
        message: json(),
        context: "talk".into(),
        idempotency: None,
        ack: photon_region::Ack::Region,
        terms: None,
    };
    let Ok(Reply::Submitted { task, .. }) = planet.get("eu", Command::Submit(spec)) else {
        panic!("it is accepted")
    };
    let cancel = AtHome::Cancel { task: task.id, message: None };
    check(&mut planet, "ap", &Command::AtHome(cancel), "standing");
}

#[test]
fn a_wrong_answer_about_records_elsewhere_is_a_refusal() {
    let mut planet = Planet::new();
    let rule = PlacementRule::Fixed(eu_only());
    let of = planet.declare("ap", DatasetSpec { rule, ..dataset(Kind::Register) });
    planet.write("eu", &of, put("k", "v")).unwrap();
    let (dataset, wait, prefix) = (of.clone(), Duration::from_secs(1), Bytes::new());
    let (level, session, writes) = (None, Seen::default(), vec![put("k", "w")]);
    let write = DataCommand::Write { dataset, writes, level, session, wait };
    // One that was written needs one record: there is none in the answer.
    check(&mut planet, "ap", &data(write), "");
    let (dataset, key, how) = (of.clone(), Bytes::from_static(b"k"), ReadHow::default());
    check(&mut planet, "ap", &data(DataCommand::Read { dataset, key, how }), "found");
    let (dataset, how, after, limit) = (of.clone(), ReadHow::default(), None, 10);
    let scan = DataCommand::Scan { dataset, prefix: prefix.clone(), after, limit, how };
    check(&mut planet, "ap", &data(scan), "page");
    let (dataset, spot, position) = (of.clone(), None, None);
    let watch = DataCommand::Watch { dataset, prefix, spot, position, wait };
    check(&mut planet, "ap", &data(watch), "changes");
    assert_eq!(planet.read("ap", &of, "k"), "=w", "an honest answer is shown");
}

#[test]
fn a_wrong_answer_of_a_master_is_a_refusal() {
    let mut planet = Planet::new();
    let rule = PlacementRule::Fixed(west());
    let mode = Mode::SingleMaster { master: id("eu"), elsewhere: Outside::Forward };
    let of = planet.declare("ap", DatasetSpec { rule, mode, ..dataset(Kind::Register) });
    planet.passes = distort;
    // It moves to and fro, although whoever asks for it does not hear of it.
    let wrong = answers().into_iter().filter(|(kind, _)| *kind != "dataset");
    for ((kind, wrong), to) in wrong.zip(["us", "eu"].into_iter().cycle()) {
        say_wrong(Some(wrong));
        let (dataset, to, wait) = (of.clone(), id(to), Duration::from_secs(1));
        let ticket = planet.ask("ap", data(DataCommand::MoveMaster { dataset, to, wait }));
        planet.pass(Duration::from_secs(2));
        let reply = planet.replies.remove(&ticket).unwrap();
        assert!(is_refused(&reply), "{kind}: {reply:?}");
    }
}

#[test]
fn a_wrong_answer_to_a_read_of_many_regions_does_not_count() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", dataset(Kind::Register));
    planet.write("eu", &of, put("k", "v")).unwrap();
    let (key, how) = (Bytes::from_static(b"k"), how(ReadLevel::Quorum, &Seen::default()));
    check(&mut planet, "ap", &data(DataCommand::Read { dataset: of, key, how }), "state");
    let of = planet.declare("ap", by_record(Kind::Map, None));
    let (key, how) = (Bytes::from_static(b"k"), ReadHow::default());
    check(&mut planet, "ap", &data(DataCommand::Read { dataset: of, key, how }), "found");
}

#[test]
fn a_wrong_answer_to_a_move_lets_it_wait_and_not_remove_anything() {
    let mut planet = Planet::new();
    let of = planet.declare("ap", by_record(Kind::Register, None));
    planet.write("eu", &of, Write { spot: spot("eu"), ..put("k", "v") }).unwrap();
    planet.passes = distort;
    // The home of the record asks that of its new place, and takes nothing but a copy for one.
    for (kind, wrong) in answers().into_iter().filter(|(kind, _)| *kind != "written") {
        say_wrong(Some(wrong));
        let ticket = move_to(&mut planet, "eu", &of, "us");
        planet.pass(WAIT + Duration::from_secs(1));
        let told = receipt(&mut planet, ticket).unwrap();
        assert_eq!(told.state, MoveState::Copying, "{kind}");
        assert_eq!(planet.read("eu", &of, "k"), "=v");
    }
    // Nor does a region to which the receipt is of interest take anything else for it.
    let (dataset, key, to) = (of.clone(), Bytes::from_static(b"k"), Spot::Value("us".into()));
    let (from, wait) = (Some(Spot::Value("eu".into())), Duration::ZERO);
    let asked = DataCommand::Move { dataset, key, to, from, asked_in: None, wait };
    check(&mut planet, "ap", &data(asked), "");
    planet.pass(Duration::from_secs(12));
    assert_eq!(receipts(&mut planet, "eu", &of)[0].state, MoveState::Done);
    assert_eq!(
        planet.read_as("us", &of, "k", said("us")).unwrap().record.unwrap().placement,
        us_only()
    );
}

#[test]
fn a_wrong_answer_to_a_question_for_rights_gives_none() {
    for (kind, wrong) in answers() {
        let mut planet = Planet::new();
        let of = planet.declare("ap", dataset(Kind::BoundedCounter));
        planet.write("eu", &of, add(6)).unwrap();
        planet.write("us", &of, add(6)).unwrap();
        planet.passes = distort;
        say_wrong(Some(wrong));
        // No region has enough, so that two of them are asked for what they have.
        let ticket = planet.ask_write("ap", &of, add(-8));
        planet.pass(WAIT + Duration::from_secs(1));
        say_wrong(None);
        let written = planet.written(ticket);
        assert!(written.is_ok(), "the rights come as an op, and not with {kind}: {written:?}");
    }
}
