//! What two runs, or two observations, are compared by.
//! Must not leave out anything by which they may differ, short of the middle of large values.

use photon_region::{
    Agent, Answer, AtHome, Claim, Command, Event, Input, Message, Note, Output, Question, Refusal,
    Reply, Stamped, TaskDetail, TaskSummary, WentBack,
};
use photon_state::{Change, Hlc, Op, Seen, StreamId};

/// Takes in numbers and gives one that depends on all of them and their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Digest(u64);

impl Default for Digest {
    fn default() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }
}

impl Digest {
    /// Bytes that are taken in whole.
    const BYTES_MAX: usize = 4_096;

    /// Returns what two runs, or two observations, are compared by.
    pub(crate) fn value(self) -> u64 {
        self.0
    }

    /// Takes in a number.
    pub(crate) fn number(&mut self, number: u64) {
        let mixed = (self.0 ^ number).wrapping_mul(0xd6e8_feb8_6659_fd93);
        self.0 = mixed ^ (mixed >> 32);
    }

    /// Takes in bytes with their length; of many, only the first and the last few.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        if Self::BYTES_MAX < bytes.len() {
            let half = Self::BYTES_MAX / 2;
            self.bytes(&bytes[..half]);
            self.bytes(&bytes[bytes.len() - half..]);
            return;
        }
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.number(u64::from_le_bytes(word));
        }
    }

    fn hlc(&mut self, at: Hlc) {
        self.number(at.wall_ms << 20 ^ u64::from(at.count));
    }

    fn stream(&mut self, stream: &StreamId) {
        self.bytes(stream.origin.as_str().as_bytes());
        self.bytes(stream.placement.as_str().as_bytes());
        self.number(stream.incarnation);
    }

    fn op(&mut self, op: &Op) {
        self.number(op.seq);
        self.hlc(op.at);
        self.bytes(op.key.as_bytes());
        match &op.change {
            Change::Put(value) => self.bytes(value),
            Change::Delete => self.number(1),
            Change::Append { place, entry } => {
                self.number(place.epoch.into());
                self.number(place.index);
                self.number(place.prev.into());
                self.bytes(entry);
            }
            Change::Update(update) => self.words(update),
            Change::State(body) => self.bytes(body),
            Change::Unknown { tag, body } => {
                self.number((*tag).into());
                self.bytes(body);
            }
        }
    }

    /// Takes in whatever can be put into words: slow, and complete.
    fn words(&mut self, what: &impl std::fmt::Debug) {
        self.bytes(format!("{what:?}").as_bytes());
    }

    fn seen(&mut self, seen: &Seen) {
        seen.iter().for_each(|(stream, seq)| {
            self.number(stream.incarnation);
            self.number(seq);
        });
    }

    fn claim(&mut self, claim: Claim) {
        self.bytes(&claim.task.to_bytes());
        self.number(claim.token.0);
    }

    fn note(&mut self, note: &Note) {
        match note {
            Note::Status(json) => self.bytes(&json.0),
            Note::Checkpoint(it) => {
                self.bytes(it.key.as_bytes());
                self.bytes(&it.value.0);
            }
            Note::Artifact(chunk) => {
                self.bytes(chunk.artifact.as_bytes());
                self.number(u64::from(chunk.append) | u64::from(chunk.last) << 1);
                self.bytes(&chunk.parts.0);
            }
        }
    }

    fn ask(&mut self, ask: &AtHome) {
        match ask {
            AtHome::Heartbeat(claim) | AtHome::Decline(claim) => self.claim(*claim),
            AtHome::Note { claim, first, notes } => {
                self.claim(*claim);
                self.number(*first);
                notes.iter().for_each(|note| self.note(note));
            }
            AtHome::Finish { claim, notes, outcome, message } => {
                self.claim(*claim);
                self.number(notes.unwrap_or(u64::MAX));
                self.number(*outcome as u64);
                self.bytes(message.as_ref().map_or(&[][..], |it| &it.0));
            }
            AtHome::Fail { claim, notes, message } => {
                self.claim(*claim);
                self.number(notes.unwrap_or(u64::MAX));
                self.bytes(message.as_ref().map_or(&[][..], |it| &it.0));
            }
            AtHome::Pause { claim, notes, why, message } => {
                self.claim(*claim);
                self.number(notes.unwrap_or(u64::MAX));
                self.number(*why as u64);
                self.bytes(message.as_ref().map_or(&[][..], |it| &it.0));
            }
            AtHome::Topic { ask, .. } => self.words(ask),
            AtHome::Submit { task, .. } | AtHome::Cancel { task, .. } => {
                self.bytes(&task.to_bytes());
            }
            AtHome::SetWebhook { task, id, target, credentials, since } => {
                self.bytes(&task.to_bytes());
                self.bytes(id.as_bytes());
                self.bytes(&target.0);
                self.bytes(&credentials.0);
                self.number(since.map_or(0, |it| it + 1));
            }
            AtHome::RemoveWebhook { task, id } => {
                self.bytes(&task.to_bytes());
                self.bytes(id.as_bytes());
            }
            AtHome::Answer { task, name: _, message, asked } => {
                self.bytes(&task.to_bytes());
                self.bytes(&message.0);
                self.number(asked.unwrap_or(0));
            }
        }
    }

    /// Takes in a refusal; its kind and its words.
    fn refusal(&mut self, refusal: &Refusal) {
        self.bytes(refusal.to_string().as_bytes());
    }

    /// Takes in a message between regions.
    pub(crate) fn message(&mut self, message: &Message) {
        match message {
            Message::Seen { incarnation, seen, linked, topology } => {
                self.number(*incarnation);
                self.seen(seen);
                self.number(linked.len() as u64);
                let told = linked.values().map(|it| it.map_or(0, |it| it.as_micros() as u64));
                told.for_each(|it| self.number(it));
                self.number(topology.unwrap_or(0));
            }
            Message::Ops(ops) => {
                self.number(ops.len() as u64);
                ops.iter().for_each(|op| self.op(op));
            }
            Message::Ack(stream, seq) => {
                self.stream(stream);
                self.number(*seq);
            }
            Message::Ask(number, ask) => {
                self.number(*number);
                self.question(ask);
            }
            Message::Answer(number, Ok(answer)) => {
                self.number(*number);
                match answer {
                    Answer::Standing(state, generation) => {
                        self.number(*state as u64);
                        self.number(*generation);
                    }
                    Answer::Task(detail) => self.detail(detail),
                    Answer::Events { events, .. } => events.iter().for_each(|it| self.stamped(it)),
                    Answer::Webhooks(webhooks) => self.words(webhooks),
                    Answer::Posted(mark, _) => self.words(mark),
                    Answer::Data(reply) => self.words(reply),
                    Answer::State(value, _) => self.words(value),
                    Answer::Rights(rights) => self.number(*rights),
                    Answer::Planet(view) => self.words(view),
                }
            }
            Message::Answer(number, Err(refusal)) => {
                self.number(*number);
                self.refusal(refusal);
            }
            Message::State { number, index, part } => {
                self.number(*number);
                self.number(*index);
                self.bytes(part);
            }
            Message::Took { number, index } => {
                self.number(*number);
                self.number(*index);
            }
            Message::Compare(body) | Message::Agree(body) => self.bytes(body),
            Message::Beat(beat) => {
                self.number(beat.sent);
                self.number(beat.applied);
                self.number(beat.granted.unwrap_or(0));
                self.number(beat.health.bad.len() as u64);
            }
            Message::Ping(sent) => self.number(*sent),
            Message::Pong { sent, wall_ms } => {
                self.number(*sent);
                self.number(*wall_ms);
            }
        }
    }

    fn question(&mut self, ask: &Question) {
        match ask {
            Question::Task(ask, decree) | Question::Pass(ask, decree) => {
                self.ask(ask);
                self.number(*decree);
            }
            Question::Show(task) | Question::Webhooks(task) => self.bytes(&task.to_bytes()),
            Question::Follow { task, after, .. } => {
                self.bytes(&task.to_bytes());
                self.number(*after);
            }
            Question::Govern(wanted) => self.words(wanted),
            Question::Data(command) => self.words(command),
            Question::State { key, .. } => self.bytes(key),
            Question::Rights { key, rights, .. } => {
                self.bytes(key);
                self.number(*rights);
            }
            Question::Had { placement, let_go } => {
                self.bytes(placement.as_str().as_bytes());
                self.number(let_go.map_or(0, |it| it + 1));
            }
        }
    }

    fn command(&mut self, command: &Command) {
        match command {
            Command::Govern(wanted) => self.words(wanted),
            Command::Topic(command) => self.words(command),
            Command::Register(spec) => self.bytes(spec.name.as_bytes()),
            Command::Deregister(name) | Command::Agent(name) => self.bytes(name.as_bytes()),
            Command::Agents { limit, .. }
            | Command::Tasks { limit, .. }
            | Command::AgentChanges { limit, .. }
            | Command::Route { limit, .. } => {
                self.number(*limit as u64);
            }
            Command::Submit(spec) => self.bytes(&spec.message.0),
            Command::Task(task) | Command::Webhooks(task) => self.bytes(&task.to_bytes()),
            Command::TakeDue { limit, .. } => self.number(*limit as u64),
            Command::Told { task, upto, went, .. } => {
                self.bytes(&task.to_bytes());
                self.number(*upto);
                self.number(*went as u64);
            }
            Command::Events { task, after, .. } => {
                self.bytes(&task.to_bytes());
                self.number(*after);
            }
            Command::Acquire { agent, limit, .. } => {
                self.bytes(agent.as_bytes());
                self.number(*limit as u64);
            }
            Command::AtHome(ask) => self.ask(ask),
            Command::Data(command) => self.words(command),
            Command::Topology => self.number(11),
        }
    }

    /// Takes in what happened to a region.
    pub(crate) fn input(&mut self, input: &Input) {
        match input {
            Input::Command(ticket, command) => {
                self.number(*ticket);
                self.command(command);
            }
            Input::Abandon(ticket) => self.number(*ticket),
            Input::Linked(peer) | Input::Unlinked(peer) => self.bytes(peer.as_str().as_bytes()),
            Input::Message(from, message) => {
                self.bytes(from.as_str().as_bytes());
                self.message(message);
            }
            Input::Durable(number) => self.number(*number),
            Input::Disk(disk) => self.number(*disk as u64),
            Input::Fetched { stream, from, ops } => {
                self.stream(stream);
                self.number(*from);
                self.number(ops.len() as u64);
            }
            Input::Tick => self.number(0),
            Input::Truncated => self.number(1),
        }
    }

    /// Takes in what a region did.
    pub(crate) fn output(&mut self, output: &Output) {
        match output {
            Output::Append(op) => {
                self.stream(&op.stream);
                self.op(op);
            }
            Output::Send(to, message) => {
                self.bytes(to.as_str().as_bytes());
                self.message(message);
            }
            Output::Reply(ticket, reply) => {
                self.number(*ticket);
                match reply {
                    Ok(reply) => self.reply(reply),
                    Err(refusal) => self.refusal(refusal),
                }
            }
            Output::Fetch { stream, from, bytes_max } => {
                self.stream(stream);
                self.number(*from);
                self.number(*bytes_max as u64);
            }
            Output::Truncate { stream, seq } => {
                self.stream(stream);
                self.number(*seq);
            }
            Output::Notice(notice) => self.bytes(format!("{notice:?}").as_bytes()),
            Output::Halt(WentBack { stream, here, peer, there }) => {
                self.stream(stream);
                self.number(*here);
                self.bytes(peer.as_str().as_bytes());
                self.number(*there);
            }
        }
    }

    fn reply(&mut self, reply: &Reply) {
        match reply {
            Reply::Planet(view) => self.words(view),
            Reply::Posted { mark, .. } => self.words(mark),
            Reply::Posts(posts) => self.words(posts),
            Reply::Topics(all) => self.words(all),
            Reply::Done => self.number(1),
            Reply::Agent(agent) => self.agent(agent),
            Reply::Agents { agents, .. } => agents.iter().for_each(|it| self.agent(it)),
            Reply::Submitted { task, repeated } => {
                self.summary(task);
                self.number(u64::from(*repeated));
            }
            Reply::Task(detail) => self.detail(detail),
            Reply::Tasks { tasks, .. } => tasks.iter().for_each(|it| self.summary(it)),
            Reply::Events { events, .. } => events.iter().for_each(|it| self.stamped(it)),
            Reply::Leases(leases) => leases.iter().for_each(|it| self.claim(it.claim)),
            Reply::Standing { state, generation } => {
                self.number(*state as u64);
                self.number(*generation);
            }
            Reply::Webhooks(webhooks) => self.words(webhooks),
            Reply::Due(due) => self.words(due),
            Reply::Data(reply) => self.words(reply),
            Reply::Topology(view) => self.words(view),
            Reply::AgentChanges { changes, .. } => self.words(changes),
            Reply::Route(route) => self.words(route),
        }
    }

    fn detail(&mut self, detail: &TaskDetail) {
        self.summary(&detail.summary);
        for artifact in &detail.artifacts {
            artifact.parts.iter().for_each(|part| self.bytes(&part.0));
        }
        self.bytes(detail.message.as_ref().map_or(&[][..], |it| &it.0));
        self.number(detail.staleness.map_or(0, |it| it.as_micros() as u64 + 1));
    }

    fn agent(&mut self, agent: &Agent) {
        self.bytes(agent.spec.name.as_bytes());
        self.bytes(agent.region.as_str().as_bytes());
        self.number(u64::from(agent.is_online) << 32 | u64::from(agent.in_use));
        self.hlc(agent.at);
    }

    /// Takes in a task in a list: all that its events up to its generation determine.
    pub(crate) fn summary(&mut self, task: &TaskSummary) {
        self.bytes(&task.id.to_bytes());
        self.number(task.state as u64);
        self.number(task.generation);
        self.number(task.attempt.into());
        self.bytes(&task.spec.message.0);
        self.hlc(task.created);
        self.hlc(task.changed);
        if let Some((agent, region)) = &task.worker {
            self.bytes(agent.as_bytes());
            self.bytes(region.as_str().as_bytes());
        }
    }

    /// Takes in an event with its place.
    pub(crate) fn stamped(&mut self, stamped: &Stamped) {
        self.number(stamped.generation);
        self.hlc(stamped.at);
        match &stamped.event {
            Event::Submitted(spec) => {
                self.number(1);
                self.bytes(&spec.message.0);
                self.bytes(spec.context.as_bytes());
            }
            Event::Claimed { token, agent, region } => {
                self.number(token.0);
                self.bytes(agent.as_bytes());
                self.bytes(region.as_str().as_bytes());
            }
            Event::Noted { token, number, note } => {
                self.number(token.0);
                self.number(*number);
                self.note(note);
            }
            Event::Requeued { token, why, message } => {
                self.number(token.0);
                self.number(*why as u64);
                self.bytes(message.as_ref().map_or(&[][..], |it| &it.0));
            }
            Event::Paused { token, why, message } => {
                self.number(token.0);
                self.number(*why as u64);
                self.bytes(message.as_ref().map_or(&[][..], |it| &it.0));
            }
            Event::Answered { token, name: _, message } => {
                self.number(token.0);
                self.bytes(&message.0);
            }
            Event::Ended { token, outcome, message } => {
                self.number(token.map_or(u64::MAX, |it| it.0));
                self.number(*outcome as u64);
                self.bytes(message.as_ref().map_or(&[][..], |it| &it.0));
            }
        }
    }
}
