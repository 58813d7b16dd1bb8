//! A look at a region answers what the region would answer at that moment, and nothing else.
//! Must not know how it looks.

#![allow(clippy::unwrap_used, reason = "a test that fails here fails loudly")]

mod planet;
mod records;

use std::sync::Arc;
use std::time::Duration;

use photon_region::data::{
    DataCommand, DataReply, DatasetName, Kind, ReadHow, ReadLevel, Write, WriteLevel,
};
use photon_region::{Command, Input, Output, Refusal, Region, Reply};
use photon_state::{Now, Seen};
use planet::{NAMES, Planet, empty};
use proptest::prelude::*;
use records::*;

/// One region by itself, whose disk takes as long as the test likes.
struct Alone {
    region: Region,
    now: Now,
    appended: u64,
    durable: u64,
    session: Seen,
}

impl Alone {
    fn new() -> Self {
        let now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };
        let mut region = empty("eu");
        region.start(now);
        let mut alone = Self { region, now, appended: 0, durable: 0, session: Seen::default() };
        alone.drain();
        let declared = alone.ask(DataCommand::Declare(Arc::new(dataset(Kind::Register))));
        assert_eq!(declared, None, "it is not durable yet");
        alone.sync(1);
        alone
    }

    /// Returns the last reply to ticket 1, if there was one.
    fn drain(&mut self) -> Option<Result<Reply, Refusal>> {
        let mut replied = None;
        while let Some(output) = self.region.poll() {
            match output {
                Output::Append(_) => self.appended += 1,
                Output::Reply(1, reply) => replied = Some(reply),
                Output::Reply(..)
                | Output::Send(..)
                | Output::Fetch { .. }
                | Output::Truncate { .. }
                | Output::Notice(_)
                | Output::Halt(_) => {}
            }
        }
        replied
    }

    fn ask(&mut self, command: DataCommand) -> Option<Result<Reply, Refusal>> {
        self.region.handle(self.now, Input::Command(1, Command::Data(command)));
        self.drain()
    }

    /// Makes some more of what was appended durable.
    fn sync(&mut self, more: u64) {
        self.durable = self.appended.min(self.durable + more);
        self.region.handle(self.now, Input::Durable(self.durable));
        drop(self.drain());
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono += Duration::from_millis(ms);
        self.now.wall_ms += ms;
    }

    /// Looks, and then asks: both must say the same, whether they say something or not.
    fn check(&mut self, command: &DataCommand) -> Option<Reply> {
        let glanced = self.region.glance(self.now, &Command::Data(command.clone()));
        let replied = self.ask(command.clone()).and_then(Result::ok);
        assert_eq!(glanced, replied, "{command:?}");
        self.region.handle(self.now, Input::Abandon(1));
        replied
    }
}

fn of() -> DatasetName {
    name(Kind::Register.as_str())
}

#[derive(Clone, Debug)]
enum Step {
    Write { key: u8, ttl_ms: Option<u64> },
    Read { key: u8, level: usize, with_session: bool },
    List { limit: usize, level: usize },
    Show,
    Sync(u64),
    Pass(u64),
    Beat,
}

fn any_step() -> impl Strategy<Value = Step> {
    let ttl_ms = prop_oneof![2 => Just(None), 1 => (1..2_000_u64).prop_map(Some)];
    prop_oneof![
        3 => (0..4_u8, ttl_ms).prop_map(|(key, ttl_ms)| Step::Write { key, ttl_ms }),
        6 => (0..5_u8, 0..5_usize, any::<bool>())
            .prop_map(|(key, level, with_session)| Step::Read { key, level, with_session }),
        1 => (1..4_usize, 0..3_usize).prop_map(|(limit, level)| Step::List { limit, level }),
        1 => Just(Step::Show),
        3 => (0..4_u64).prop_map(Step::Sync),
        2 => (1..1_500_u64).prop_map(Step::Pass),
        1 => Just(Step::Beat),
    ]
}

fn take(alone: &mut Alone, number: usize, step: &Step) {
    let key = |key: u8| format!("k{key}");
    let how = |alone: &Alone, level: usize| ReadHow {
        level: Some(ReadLevel::ALL[level]),
        session: alone.session.clone(),
        staleness_max: (number % 5 == 4).then_some(Duration::from_secs(1)),
        wait: WAIT,
        spot: None,
    };
    match step {
        Step::Write { key: it, ttl_ms } => {
            let ttl = ttl_ms.map(Duration::from_millis);
            let writes = vec![Write { ttl, ..put(&key(*it), &number.to_string()) }];
            let (session, wait) = (alone.session.clone(), WAIT);
            let level = Some(WriteLevel::Eventual);
            let command = DataCommand::Write { dataset: of(), writes, level, session, wait };
            assert_eq!(alone.region.glance(alone.now, &Command::Data(command.clone())), None);
            alone.region.handle(alone.now, Input::Command(2, Command::Data(command)));
            drop(alone.drain());
        }
        Step::Read { key: it, level, with_session } => {
            let mut how = how(alone, *level);
            if !with_session {
                how.session = Seen::default();
            }
            let key = key(*it).into();
            let read = DataCommand::Read { dataset: of(), key, how };
            if let Some(Reply::Data(reply)) = alone.check(&read)
                && let DataReply::Found(found) = *reply
            {
                alone.session.join(&found.session);
            }
        }
        Step::List { limit, level } => {
            let (prefix, after, how) = ("k".into(), None, how(alone, *level));
            let limit = *limit;
            drop(alone.check(&DataCommand::Scan { dataset: of(), prefix, after, limit, how }));
        }
        Step::Show => drop(alone.check(&DataCommand::Dataset(of()))),
        Step::Sync(more) => alone.sync(*more),
        Step::Pass(ms) => alone.pass(*ms),
        Step::Beat => {
            alone.region.handle(alone.now, Input::Tick);
            drop(alone.drain());
        }
    }
}

proptest! {
    #[test]
    fn a_look_says_what_the_region_says_at_once_and_else_nothing(
        steps in proptest::collection::vec(any_step(), 1..60),
    ) {
        let mut alone = Alone::new();
        steps.iter().enumerate().for_each(|(number, step)| take(&mut alone, number, step));
    }
}

#[test]
fn what_is_not_durable_is_not_shown_at_a_glance() {
    let mut alone = Alone::new();
    let read = |key: &str| {
        let how = how(ReadLevel::Eventual, &Seen::default());
        Command::Data(DataCommand::Read { dataset: of(), key: key.to_owned().into(), how })
    };
    take(&mut alone, 7, &Step::Write { key: 1, ttl_ms: None });
    assert_eq!(alone.region.glance(alone.now, &read("k1")), None);
    assert!(alone.region.glance(alone.now, &read("k2")).is_some(), "another record has no part");
    alone.sync(1);
    let Some(Reply::Data(reply)) = alone.region.glance(alone.now, &read("k1")) else {
        panic!("it is durable")
    };
    let DataReply::Found(found) = *reply else { panic!("{reply:?}") };
    assert_eq!(text(&found), "=7");
}

#[test]
fn a_session_does_not_wait_for_what_it_is_not_shown() {
    let mut alone = Alone::new();
    take(&mut alone, 7, &Step::Write { key: 1, ttl_ms: None });
    alone.sync(1);
    take(&mut alone, 8, &Step::Write { key: 2, ttl_ms: None });
    let how = how(ReadLevel::Causal, &Seen::default());
    let read = DataCommand::Read { dataset: of(), key: "k1".into(), how };
    let Some(Reply::Data(reply)) = alone.check(&read) else { panic!("it is durable") };
    let DataReply::Found(found) = *reply else { panic!("{reply:?}") };
    assert_eq!(text(&found), "=7");
    let seen: u64 = found.session.iter().map(|(_, seq)| seq).sum();
    let all: u64 = alone.region.store().seen().iter().map(|(_, seq)| seq).sum();
    assert_eq!(seen + 1, all, "what is not durable is not part of the session");
}

#[test]
fn a_content_is_over_for_who_looks_although_nothing_has_happened_since() {
    let mut alone = Alone::new();
    take(&mut alone, 7, &Step::Write { key: 1, ttl_ms: Some(100) });
    alone.sync(1);
    let read = Step::Read { key: 1, level: 0, with_session: false };
    take(&mut alone, 8, &read);
    alone.pass(100);
    let how = how(ReadLevel::Eventual, &Seen::default());
    let read = DataCommand::Read { dataset: of(), key: "k1".into(), how };
    let Some(Reply::Data(reply)) = alone.region.glance(alone.now, &Command::Data(read)) else {
        panic!("it is durable")
    };
    let DataReply::Found(found) = *reply else { panic!("{reply:?}") };
    assert_eq!(text(&found), "none");
}

#[test]
fn who_would_have_to_wait_or_to_ask_others_is_not_answered_at_a_glance() {
    let mut planet = Planet::new();
    let register = planet.declare("ap", dataset(Kind::Register));
    planet.cut("us");
    let session = planet.write("eu", &register, put("k", "mine")).unwrap().session;
    let glance = |planet: &Planet, region: &str, level, session: &Seen| {
        let (dataset, key, how) = (register.clone(), "k".into(), how(level, session));
        let read = Command::Data(DataCommand::Read { dataset, key, how });
        planet.regions[region].glance(planet.now, &read).is_some()
    };
    assert!(glance(&planet, "eu", ReadLevel::Causal, &session));
    assert!(glance(&planet, "us", ReadLevel::Eventual, &session));
    assert!(!glance(&planet, "us", ReadLevel::Session, &session), "it has to wait");
    assert!(!glance(&planet, "eu", ReadLevel::Quorum, &session), "it has to ask");
    planet.link("us");
    assert!(glance(&planet, "us", ReadLevel::Session, &session));
    let at_home = |it: &&str| glance(&planet, it, ReadLevel::Linearizable, &session);
    assert_eq!(NAMES.iter().filter(|it| at_home(it)).count(), 1, "its home decides");
}
