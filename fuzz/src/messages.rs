//! What regions really tell each other, for the target `link` to begin with.

#[path = "../../crates/photon-region/tests/planet/mod.rs"]
mod planet;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use photon_fuzz::seed;
use photon_node::probe;
use photon_region::data::{
    DataCommand, DatasetName, DatasetSpec, Edit, FieldEdit, Kind, Mode, Outside, PlacementRule,
    Policy, ReadHow, ReadLevel, Write, WriteLevel,
};
use photon_region::{
    Ack, AgentSpec, Command, Input, Json, Message, Output, Region, Spec, Target, encode_message,
};
use photon_state::{Now, PlacementId, Seen};

const WAIT: Duration = Duration::from_secs(2);

fn dataset(kind: Kind) -> DatasetSpec {
    DatasetSpec {
        name: DatasetName::try_from(kind.as_str()).expect("it is a name"),
        kind,
        rule: PlacementRule::Fixed(PlacementId::global()),
        outside: Outside::Forward,
        mode: Mode::MultiMaster,
        policy: Policy::LastWriter,
        write_level: WriteLevel::Eventual,
        read_level: ReadLevel::Session,
        ttl: None,
        retention: None,
        sensitive_keys: false,
    }
}

/// Regions that write down what they tell each other.
struct Heard {
    regions: BTreeMap<&'static str, Region>,
    appended: BTreeMap<&'static str, u64>,
    now: Now,
    ticket: u64,
    messages: Vec<Message>,
}

impl Heard {
    fn new() -> Self {
        let now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };
        let regions = planet::NAMES.map(|name| (name, planet::empty(name))).into();
        let (appended, messages) = (BTreeMap::new(), Vec::new());
        let mut heard = Self { regions, appended, now, ticket: 0, messages };
        heard.regions.values_mut().for_each(|it| it.start(now));
        for (name, peer) in planet::NAMES.iter().flat_map(|a| planet::NAMES.map(|b| (*a, b))) {
            if name != peer {
                heard.input(name, Input::Linked(planet::id(peer)));
            }
        }
        heard
    }

    fn input(&mut self, name: &'static str, input: Input) {
        let mut inputs = VecDeque::from([(name, input)]);
        while let Some((name, input)) = inputs.pop_front() {
            let region = self.regions.get_mut(name).expect("one of three");
            region.handle(self.now, input);
            let appended = self.appended.entry(name).or_default();
            let before = *appended;
            while let Some(output) = region.poll() {
                match output {
                    Output::Append(_) => *appended += 1,
                    Output::Send(to, message) => {
                        let to = planet::NAMES.into_iter().find(|it| planet::id(it) == to);
                        self.messages.push(message.clone());
                        let said = Input::Message(planet::id(name), message);
                        inputs.push_back((to.expect("one of three"), said));
                    }
                    Output::Reply(..)
                    | Output::Fetch { .. }
                    | Output::Truncate { .. }
                    | Output::Notice(_)
                    | Output::Halt(_) => {}
                }
            }
            if before < *appended {
                inputs.push_front((name, Input::Durable(*appended)));
            }
        }
    }

    fn ask(&mut self, name: &'static str, command: Command) {
        self.ticket += 1;
        self.input(name, Input::Command(self.ticket, command));
        self.now.mono += Duration::from_millis(600);
        self.now.wall_ms += 600;
        planet::NAMES.into_iter().for_each(|it| self.input(it, Input::Tick));
    }
}

fn edits() -> [(Kind, Edit); 6] {
    let text = Bytes::from_static;
    let field = FieldEdit::Set(text(b"field"), text(b"{\"a\":1}"));
    let fields = vec![field, FieldEdit::Remove(text(b"x")), FieldEdit::RemoveUnder(text(b"/"))];
    [
        (Kind::Register, Edit::Put(text(b"\"value\""))),
        (Kind::Counter, Edit::Add(-7)),
        (Kind::BoundedCounter, Edit::Add(7)),
        (Kind::Set, Edit::Replace(vec![(text(b"1"), Bytes::new()), (text(b"2"), Bytes::new())])),
        (Kind::Map, Edit::Fields(fields)),
        (Kind::Document, Edit::Delete),
    ]
}

fn messages() -> Vec<Message> {
    let mut heard = Heard::new();
    for (kind, edit) in edits() {
        let spec = dataset(kind);
        let dataset = spec.name.clone();
        heard.ask("eu", Command::Data(DataCommand::Declare(spec.into())));
        for (name, level) in [("us", WriteLevel::Strong), ("ap", WriteLevel::Quorum)] {
            let (key, edit) = (Bytes::from_static(b"key"), edit.clone());
            let writes = vec![Write {
                key,
                edit,
                expect: None,
                ttl: Some(Duration::from_secs(60)),
                spot: None,
            }];
            let (dataset, level) = (dataset.clone(), Some(level));
            let (session, wait) = (Seen::default(), WAIT);
            let write = DataCommand::Write { dataset, writes, level, session, wait };
            heard.ask(name, Command::Data(write));
        }
        for level in [ReadLevel::Quorum, ReadLevel::Linearizable] {
            let how = ReadHow { level: Some(level), wait: WAIT, ..ReadHow::default() };
            let (dataset, key) = (dataset.clone(), Bytes::from_static(b"key"));
            heard.ask("us", Command::Data(DataCommand::Read { dataset, key, how }));
        }
    }
    let json = || Json(Bytes::from_static(b"{}"));
    heard.ask(
        "us",
        Command::Register(AgentSpec {
            name: "shout".into(),
            skills: BTreeSet::from(["text.upper".into()]),
            capacity: 4,
            cost_micros: 0,
            card: json(),
            placement: PlacementId::global(),
        }),
    );
    heard.ask(
        "eu",
        Command::Submit(Spec {
            target: Target::Skill("text.upper".into()),
            placement: PlacementId::global(),
            message: json(),
            context: "context".into(),
            idempotency: None,
            ack: Ack::Region,
            terms: None,
        }),
    );
    heard.messages
}

/// Writes all of them.
pub(crate) fn write() {
    let mut seen = BTreeSet::new();
    let all = messages().into_iter().map(|it| encode_message(&it).to_vec());
    let all: Vec<_> = all.filter(|it| seen.insert(it.clone())).collect();
    for (at, message) in all.iter().enumerate() {
        seed::write("link", at, &[&[0], &message[..]].concat());
    }
    for (at, few) in all.chunks(7).enumerate() {
        let few: Vec<_> = few.iter().enumerate().map(|(at, it)| (at % 3, it.clone())).collect();
        seed::write("link", 1_000 + at, &[&[2], &probe::say(&few)[..]].concat());
    }
    let hello = b"\x48photonln\x02\x02\x02\x05probe\x01b";
    let hello = [&[5_u8], &hello[..], &[0; 33], &[1, 2]].concat();
    seed::write("link", 2_000, &hello);
}
