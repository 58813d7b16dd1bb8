//! What happened, as lines that people can read.
//! Must not change what happens.

use std::collections::VecDeque;
use std::fmt;

use photon_region::{Command, Input, Message, Output};

use crate::clock::{Micros, SECOND};
use crate::site::Atlas;

/// Who wants to read what happened.
pub(crate) enum Trace<'a> {
    /// Nobody.
    Off,
    /// Somebody who wants the last lines of a run that fails.
    Last(VecDeque<String>),
    /// Somebody who wants every line.
    Every(&'a mut dyn FnMut(&str)),
}

impl fmt::Debug for Trace<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Off => "Off",
            Self::Last(_) => "Last",
            Self::Every(_) => "Every",
        })
    }
}

impl Trace<'_> {
    /// How many lines a failure shows; older ones are dropped.
    pub(crate) const LAST_MAX: usize = 60;
    /// How many characters a line has at most; longer ones are cut.
    const LINE_CHARS_MAX: usize = 220;

    /// Whether it is worth the while to make a line.
    pub(crate) fn is_on(&self) -> bool {
        match self {
            Self::Off => false,
            Self::Last(_) | Self::Every(_) => true,
        }
    }

    /// Returns the last lines.
    pub(crate) fn into_lines(self) -> Vec<String> {
        match self {
            Self::Off | Self::Every(_) => Vec::new(),
            Self::Last(lines) => lines.into(),
        }
    }

    /// Takes in a line.
    pub(crate) fn line(&mut self, now: Micros, what: fmt::Arguments<'_>) {
        let line = format!("{:>4}.{:06} {what}", now / SECOND, now % SECOND);
        let line: String = line.chars().take(Self::LINE_CHARS_MAX).collect();
        match self {
            Self::Off => {}
            Self::Last(lines) => {
                if Self::LAST_MAX <= lines.len() {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
            Self::Every(sink) => sink(&line),
        }
    }
}

/// A message as one short line.
pub(crate) struct Brief<'a>(pub(crate) &'a Message);

impl fmt::Display for Brief<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Message::Ops(ops) => {
                let (Some(first), Some(last)) = (ops.first(), ops.last()) else {
                    return f.write_str("ops none");
                };
                write!(f, "ops {:?} {}..={}", first.stream, first.seq, last.seq)
            }
            Message::Seen { seen, .. } => {
                write!(f, "seen")?;
                seen.iter().try_for_each(|(stream, seq)| write!(f, " {stream:?}={seq}"))
            }
            Message::Ack(stream, seq) => write!(f, "ack {stream:?} {seq}"),
            Message::Ask(number, ask) => write!(f, "ask {number} {ask:?}"),
            Message::Answer(number, answer) => write!(f, "answer {number} {answer:?}"),
            Message::State { number, index, part } => {
                write!(f, "state {number:x} part {index}, {} bytes", part.len())
            }
            Message::Compare(body) => write!(f, "compare {} bytes", body.len()),
            Message::Took { number, index } => write!(f, "took {number:x} part {index}"),
            // Lines have an end: what is looked for most comes first.
            Message::Beat(beat) => {
                let (bad, is_judging) = (&beat.health.bad, beat.health.is_judging);
                write!(f, "beat, judging {is_judging}, bad {bad:?}, {beat:?}")
            }
            Message::Agree(body) => write!(f, "agree {} bytes", body.len()),
            Message::Ping(_) => write!(f, "ping"),
            Message::Pong { .. } => write!(f, "pong"),
        }
    }
}

/// Shows what happens to a region.
pub(crate) fn trace_input(
    trace: &mut Trace<'_>,
    now: Micros,
    atlas: &Atlas,
    here: usize,
    input: &Input,
) {
    let name = atlas.ids[here];
    match input {
        Input::Tick | Input::Truncated => {}
        Input::Message(from, message) => {
            trace.line(now, format_args!("{name} <- {from}: {}", Brief(message)));
        }
        Input::Fetched { stream, from, ops } => {
            let count = ops.len();
            trace.line(now, format_args!("{name} <- log: {stream:?} {count} ops from {from}"));
        }
        Input::Command(ticket, command) => {
            trace.line(now, format_args!("{name} <- client {ticket}: {}", brief(command)));
        }
        Input::Abandon(_)
        | Input::Linked(_)
        | Input::Unlinked(_)
        | Input::Durable(_)
        | Input::Disk(_) => trace.line(now, format_args!("{name} <- {input:?}")),
    }
}

fn brief(command: &Command) -> String {
    match command {
        Command::Submit(spec) => {
            let key = spec.idempotency.as_ref().map(|it| &it.key);
            format!("submit {:?} in {} key {key:?}", spec.target, spec.placement)
        }
        Command::Register(spec) => {
            format!("register {} for {}, {:?}", spec.name, spec.capacity, spec.skills)
        }
        Command::Deregister(_)
        | Command::Agent(_)
        | Command::Agents { .. }
        | Command::AgentChanges { .. }
        | Command::Route { .. }
        | Command::Task(_)
        | Command::Tasks { .. }
        | Command::Events { .. }
        | Command::Acquire { .. }
        | Command::Webhooks(_)
        | Command::TakeDue { .. }
        | Command::Told { .. }
        | Command::AtHome(_)
        | Command::Data(_)
        | Command::Topic(_)
        | Command::Govern(_)
        | Command::Topology => format!("{command:?}"),
    }
}

/// Shows what a region does.
pub(crate) fn trace_output(
    trace: &mut Trace<'_>,
    now: Micros,
    atlas: &Atlas,
    here: usize,
    output: &Output,
) {
    let name = atlas.ids[here];
    match output {
        Output::Append(op) => {
            let (stream, seq) = (&op.stream, op.seq);
            trace.line(now, format_args!("{name} -> log: {stream:?} {seq} {:?}", op.change));
        }
        Output::Send(to, message) => {
            trace.line(now, format_args!("{name} -> {to}: {}", Brief(message)));
        }
        Output::Reply(ticket, reply) => {
            trace.line(now, format_args!("{name} -> client {ticket}: {reply:?}"));
        }
        Output::Truncate { seq, .. } => {
            trace.line(now, format_args!("{name} -> log: begins with its state {seq}"));
        }
        Output::Fetch { stream, from, .. } => {
            trace.line(now, format_args!("{name} -> log: read {stream:?} from {from}"));
        }
        Output::Notice(notice) => trace.line(now, format_args!("{name} tells: {notice:?}")),
        Output::Halt(why) => trace.line(now, format_args!("{name} halts: {why}")),
    }
}
