//! How long a region takes to find the agent for a task, among so many of them.
//! Must not measure what is around it: wire, disk and net are imagined, and free.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails here fails loudly")]

use std::collections::{BTreeMap, VecDeque};
use std::hint::black_box;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::Criterion;
use photon_region::{
    AgentSpec, Asked, AtHome, Command, Config, Input, Json, Limits, Message, Output, Place,
    Refusal, Region, Reply, Skill, Spec, Target, Wants,
};
use photon_state::{Now, PlacementId, RegionId};

/// How many agents the measured region knows: the last need 6 GB, and a minute.
const AGENTS: [usize; 3] = [10_000, 100_000, 1_000_000];
/// How many it knows where tasks are submitted.
const AGENTS_AT_HOME: usize = 10_000;
/// How many skills there are; every agent has two of them.
const SKILLS: usize = 40;
/// A skill that one of so many agents has, too.
const RARE: usize = 1_000;
/// How many regions a planet of many has.
const REGIONS: usize = 50;
/// How many single decisions are timed for the percentiles.
const DECISIONS: usize = 200_000;
/// The only agent of this skill is busy.
const BUSY: &str = "skill.busy";

/// Regions whose messages arrive at once and whose disks sync at once.
struct Planet {
    regions: Vec<Region>,
    names: Vec<RegionId>,
    appended: Vec<u64>,
    tickets: u64,
}

/// The time of everything: nothing lapses, no agent falls silent.
const NOW: Now = Now { mono: Duration::ZERO, wall_ms: 1_800_000_000_000 };

fn skill(number: usize) -> Skill {
    format!("skill.{}", number % SKILLS).into()
}

fn agent(name: &str, skills: &[Skill], capacity: u32) -> Command {
    let card = Json(Bytes::from_static(b"{}"));
    Command::Register(AgentSpec {
        name: name.into(),
        skills: skills.iter().cloned().collect(),
        capacity,
        cost_micros: 0,
        card,
        placement: PlacementId::global(),
    })
}

fn submission(skill: Skill) -> Command {
    Command::Submit(Spec {
        target: Target::Skill(skill),
        placement: PlacementId::global(),
        message: Json(Bytes::from(vec![b'x'; 1024])),
        context: "bench".into(),
        idempotency: None,
        ack: photon_region::Ack::Region,
        terms: None,
    })
}

impl Planet {
    /// Makes regions that are linked, and spreads the agents over them.
    fn new(count: usize, agents: usize) -> Self {
        let name = |n: usize| RegionId::try_from(format!("r{n:02}").as_str()).unwrap();
        let names: Vec<_> = (0..count).map(name).collect();
        let place = |n: usize| Place { latitude: 0.0, longitude: 3.0 * n as f64 };
        let places: BTreeMap<_, _> =
            names.iter().enumerate().map(|(n, id)| (*id, place(n))).collect();
        // Ended tasks go soon, so that memory stays the same however long criterion measures.
        let limits =
            Limits { kept_bytes_max: 1 << 20, agents_max: agents + 1, ..Limits::default() };
        let config = |region: &RegionId| Config {
            region: *region,
            incarnation: 1,
            regions: places.clone(),
            placements: BTreeMap::new(),
            datasets: vec![],
            voters: [*region].into(), // Each by itself: no time passes here.
            topology: photon_region::Topology::Mesh,
            weights: photon_region::Weights::default(),
            limits: limits.clone(),
            seed: 1,
        };
        let regions = names.iter().map(|id| Region::new(config(id))).collect();
        let appended = vec![0; names.len()];
        let mut planet = Self { regions, names, appended, tickets: 0 };
        planet.regions.iter_mut().for_each(|region| region.start(NOW));
        for at in 0..planet.names.len() {
            for peer in planet.names.clone() {
                if peer != planet.names[at] {
                    planet.regions[at].handle(NOW, Input::Linked(peer));
                }
            }
        }
        planet.settle();
        for number in 0..agents {
            let at = number % planet.names.len();
            let mut skills = vec![skill(number), skill(number / SKILLS)];
            if number % RARE == 0 {
                skills.push("skill.rare".into());
            }
            planet.command(at, agent(&format!("agent-{number}"), &skills, 4)).unwrap();
        }
        planet
    }

    /// Hands a command to a region, and returns its reply when all is quiet again.
    fn command(&mut self, at: usize, command: Command) -> Result<Reply, Refusal> {
        self.tickets += 1;
        self.regions[at].handle(NOW, Input::Command(self.tickets, command));
        self.settle().expect("every command here is answered at once")
    }

    /// Carries out what the regions want until they want nothing; returns the last reply.
    fn settle(&mut self) -> Option<Result<Reply, Refusal>> {
        let mut reply = None;
        let mut mail: VecDeque<(usize, usize, Message)> = VecDeque::new();
        loop {
            for at in 0..self.regions.len() {
                while let Some(output) = self.drain(at, &mut mail) {
                    reply = Some(output);
                }
            }
            let Some((from, to, message)) = mail.pop_front() else { return reply };
            let from = self.names[from];
            self.regions[to].handle(NOW, Input::Message(from, message));
        }
    }

    /// Drains one region, syncs its disk, and drains again; stops at a reply.
    fn drain(
        &mut self,
        at: usize,
        mail: &mut VecDeque<(usize, usize, Message)>,
    ) -> Option<Result<Reply, Refusal>> {
        let mut synced = self.appended[at];
        loop {
            while let Some(output) = self.regions[at].poll() {
                match output {
                    Output::Truncate { .. } | Output::Notice(_) => {}
                    Output::Append(_) => self.appended[at] += 1,
                    Output::Send(to, message) => {
                        let to = self.names.iter().position(|it| *it == to).unwrap();
                        mail.push_back((at, to, message));
                    }
                    Output::Reply(_, reply) => {
                        self.regions[at].handle(NOW, Input::Durable(self.appended[at]));
                        return Some(reply);
                    }
                    Output::Fetch { .. } => unreachable!("every op is acknowledged at once"),
                    Output::Halt(why) => unreachable!("nothing here is lost: {why}"),
                }
            }
            if synced == self.appended[at] {
                return None;
            }
            synced = self.appended[at];
            self.regions[at].handle(NOW, Input::Durable(synced));
        }
    }

    /// Submits a task; returns how long the region took, from the command to the durable reply.
    fn timed_submit(&mut self, skill: &Skill) -> Duration {
        let command = submission(skill.clone());
        let began = Instant::now();
        let reply = self.command(0, command);
        let took = began.elapsed();
        self.finish(reply.unwrap());
        took
    }

    /// Brings the region back to where it was before a submission.
    fn finish(&mut self, reply: Reply) {
        let Reply::Submitted { task, .. } = reply else { unreachable!("to a submission") };
        let cancel = AtHome::Cancel { task: task.id, message: None };
        self.command(0, Command::AtHome(cancel)).unwrap();
        if let Some((agent, _)) = task.worker {
            // Its claim is void by now; this takes it out of the agent's inbox.
            let wait = Duration::ZERO;
            self.command(0, Command::Acquire { agent, limit: 16, wait }).unwrap();
        }
    }
}

fn decisions(c: &mut Criterion) {
    for agents in AGENTS {
        decide(c, &Planet::new(3, agents), agents);
    }
    decide(c, &Planet::new(REGIONS, AGENTS[0]), AGENTS[0]);
}

fn decide(c: &mut Criterion, planet: &Planet, agents: usize) {
    let (region, regions) = (&planet.regions[0], planet.regions.len());
    let skills: Vec<_> = (0..SKILLS).map(|it| Target::Skill(skill(it))).collect();
    let names: Vec<_> = (0..agents).map(|it| Target::Agent(format!("agent-{it}").into())).collect();
    let rare = Wants { skills: ["skill.rare".into()].into(), ..Wants::default() };
    let (none, rare) = (None, Some(Arc::new(rare)));
    let shared = &skills[..1]; // All that have the rare one have this.
    for (what, targets, wants) in [
        ("skill", &skills[..], &none),
        ("agent", &names[..], &none),
        ("skill and a rare one", shared, &rare),
    ] {
        let asked = |at: usize| Asked {
            target: black_box(&targets[at % targets.len()]),
            placement: PlacementId::global(),
            wants: wants.as_ref(),
        };
        assert!((0..targets.len()).all(|it| region.route(asked(it)).is_some()));
        let name = format!("route by {what}, {agents} agents in {regions} regions");
        let mut at = 0;
        c.bench_function(&name, |b| {
            b.iter(|| {
                at += 1;
                region.route(asked(at))
            });
        });
        show_percentiles(&name, || {
            at += 1;
            black_box(region.route(asked(at)));
        });
    }
}

fn submissions(c: &mut Criterion) {
    let mut planet = Planet::new(1, AGENTS_AT_HOME);
    let skills: Vec<_> = (0..SKILLS).map(skill).collect();
    let busy: Skill = BUSY.into();
    planet.command(0, agent("busy", &[Arc::clone(&busy)], 1)).unwrap();
    planet.command(0, submission(Arc::clone(&busy))).unwrap();
    let target = Target::Skill(busy.clone());
    let asked = Asked { target: &target, placement: PlacementId::global(), wants: None };
    assert!(planet.regions[0].route(asked).is_none());
    let mut at = 0;
    let mut timed = |name: &str, skills: &[Skill]| {
        c.bench_function(name, |b| {
            b.iter_custom(|rounds| {
                let one = |_| {
                    at = (at + 1) % skills.len();
                    planet.timed_submit(&skills[at])
                };
                (0..rounds).map(one).sum()
            });
        });
    };
    timed("submit and claim, 10,000 agents", &skills);
    timed("submit with all busy, 10,000 agents", &[busy]);
}

/// Times single decisions: criterion's figures are means over many.
fn show_percentiles(what: &str, mut decide: impl FnMut()) {
    let mut times: Vec<Duration> = (0..DECISIONS)
        .map(|_| {
            let began = Instant::now();
            decide();
            began.elapsed()
        })
        .collect();
    times.sort_unstable();
    let at = |share: f64| times[(share * (times.len() - 1) as f64) as usize].as_nanos();
    let (p50, p99, p999) = (at(0.5), at(0.99), at(0.999));
    let mut out = std::io::stdout().lock();
    let line = format!("{what}, single decisions, the clock's own cost included");
    writeln!(out, "{line}: p50 {p50} ns, p99 {p99} ns, p99.9 {p999} ns\n").unwrap();
}

/// Shows what the index by which agents are matched takes in memory, beside the agents themselves.
fn sizes() {
    let mut kept = vec![]; // What is freed stays resident, and would be taken by the next.
    for (skills, per_agent) in [(SKILLS as u32, 2), (20_000, 2)] {
        let agents = 100_000_u32;
        let before = resident();
        let index = photon_region::matching_index(agents, skills, per_agent);
        let bytes = resident() - before;
        kept.push(index);
        let each = bytes as f64 / f64::from(agents);
        let line = format!("{agents} agents with {per_agent} of {skills} skills each");
        writeln!(std::io::stdout().lock(), "index, {line}: {each:.1} bytes an agent").unwrap();
    }
    black_box(kept);
}

/// Returns how many bytes of memory the process has.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

fn main() {
    sizes();
    let mut criterion = Criterion::default().configure_from_args();
    decisions(&mut criterion);
    submissions(&mut criterion);
    criterion.final_summary();
}
