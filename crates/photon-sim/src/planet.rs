//! The imagined world: regions on a net, disks and clocks, driven by one heap of events.
//! Must not know what a region decides, nor what a promise means.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use photon_region::{Input, Message, Output, Region, Reply, Ticket};
use photon_state::StreamId;

use crate::asked::Asked;
use crate::clock::{MS, Micros, SECOND};
use crate::digest::Digest;
use crate::faults::{Disks, Fault, Profile, Weather};
use crate::hearing::Hearing;
use crate::histories::Histories;
use crate::links::LinkEvent;
use crate::mishaps::Mishap;
use crate::net::Net;
use crate::outages::Outage;
use crate::promises::{Broken, Ledger, Promise, check_append};
use crate::queue::Queue;
use crate::run::Report;
use crate::scheduled::{Besides, Planned};
use crate::site::{Atlas, Site, pick};
use crate::trace::{Trace, trace_input, trace_output};
use crate::verdicts::Verdicts;
use crate::workload::{Crowd, Request, Stage, Turn};

/// What is going to happen in the world.
#[derive(Debug)]
pub(crate) enum Event {
    /// A region wants to be woken.
    Wake(usize),
    /// A message arrives.
    Deliver { from: usize, to: usize, session: u32, message: Message },
    /// A sync ends.
    Synced { site: usize, life: u32 },
    /// The log has read what was asked for.
    Fetched { site: usize, life: u32, stream: StreamId, from: u64, bytes_max: usize },
    /// The log was let go of as it was asked for.
    Truncated { site: usize, life: u32 },
    /// Something happens to a link.
    Link(LinkEvent),
    /// A dead region comes back.
    Restart(usize),
    /// Something goes wrong, or right again.
    Mishap(Mishap),
    /// It is somebody's turn.
    Turn(Turn),
    /// A client asks for something.
    Ask(Request),
    /// A client goes away.
    Abandon(Ticket),
    /// Somebody looks at what regions think of each other.
    Watch,
}

/// A command that awaits its reply.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) site: usize,
    pub(crate) asked: Asked,
}

/// The world of one run.
#[derive(Debug)]
pub(crate) struct Planet<'a, 's> {
    pub(crate) now: Micros,
    pub(crate) queue: Queue<Event>,
    pub(crate) rng: fastrand::Rng,
    pub(crate) atlas: Atlas,
    pub(crate) sites: Vec<Site>,
    pub(crate) net: Net,
    pub(crate) hearing: Hearing,
    pub(crate) verdicts: Verdicts,
    pub(crate) weather: Weather,
    pub(crate) crowd: Crowd,
    pub(crate) ledger: Ledger,
    pub(crate) histories: Histories,
    pub(crate) is_calm: bool,
    pub(crate) report: Report,
    pub(crate) trace: &'a mut Trace<'s>,
    pub(crate) prepare: fn(&mut Region),
    pub(crate) digest: Digest,
    pub(crate) pending: BTreeMap<Ticket, Pending>,
    abandoned: BTreeSet<Ticket>,
    /// What a look gave for a command that the machine must answer alike.
    pub(crate) glanced: Option<(Ticket, Reply)>,
    next_ticket: Ticket,
    pub(crate) chaos_ends: Micros,
    pub(crate) planned: Option<Planned>,
    pub(crate) outages: Vec<Outage>,
}

impl<'a, 's> Planet<'a, 's> {
    /// Outputs that one input may cause; a region that gives more never stops.
    const OUTPUTS_MAX: usize = 100_000;
    /// Inputs of a run of a minute; a planet that needs more never comes to rest.
    const EVENTS_MAX: u64 = 20_000_000;

    /// Draws a planet from a seed.
    pub(crate) fn draw(seed: u64, profile: &Profile, trace: &'a mut Trace<'s>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let weather = Weather::draw(&mut rng);
        let planned = profile.planned.clone();
        let is_quiet = planned.as_ref().is_some_and(|it| it.besides() == Besides::Nothing);
        let weather = if is_quiet { Weather::calm() } else { weather };
        let most = (*profile.regions.end()).clamp(2, Atlas::SITES_MAX);
        let least = (*profile.regions.start()).clamp(2, most);
        let spare = (rng.f64().powi(3) * (most - least + 1) as f64) as usize;
        let names = || Atlas::names((least + spare).min(most));
        let ids = planned.as_ref().map_or_else(names, Planned::regions);
        let mut atlas = Atlas::draw(ids, &weather, &mut rng);
        atlas.limits.tenure = profile.tenure;
        let net = Net::new(&atlas.places, rng.fork());
        let (shortest, longest) = (profile.chaos.start(), profile.chaos.end());
        let chaos = shortest.as_micros() as u64..=longest.as_micros() as u64;
        let chaos_ends = rng.u64(chaos);
        let chaos_ends = planned.as_ref().map_or(chaos_ends, Planned::ends);
        let site = |site| Site::new(atlas.config(site, rng.u64(..), 0));
        let sites: Vec<Site> = (0..atlas.ids.len()).map(site).collect();
        let (mut queue, mut ledger) = (Queue::new(), Ledger::new(profile.disks));
        let mut stage = Stage {
            now: 0,
            queue: &mut queue,
            atlas: &atlas,
            sites: &sites,
            ledger: &mut ledger,
            weather: &weather,
            alive: 0,
            is_calm: false,
        };
        let tasks = rng.u32(profile.tasks.clone());
        let crowd = Crowd::draw(&mut stage, tasks, chaos_ends, rng.fork());
        if !is_quiet {
            stage.later(2 * SECOND, Turn::Operate(0));
        }
        let count = sites.len();
        let mut planet = Self {
            now: 0,
            queue,
            rng,
            atlas,
            sites,
            net,
            hearing: Hearing::new(count),
            verdicts: Verdicts::new(count),
            weather,
            crowd,
            ledger,
            histories: Histories::default(),
            is_calm: false,
            report: Report { seed, ..Report::default() },
            trace,
            prepare: profile.prepare,
            digest: Digest::default(),
            pending: BTreeMap::new(),
            abandoned: BTreeSet::new(),
            glanced: None,
            next_ticket: 1,
            chaos_ends,
            planned,
            outages: Vec::new(),
        };
        planet.net.conditions = planet.weather.conditions();
        planet.begin(profile.disks);
        planet
    }

    fn begin(&mut self, disks: Disks) {
        let (atlas, weather) = (&self.atlas, &self.weather);
        self.trace.line(0, format_args!("{} regions, {weather}", atlas.ids.len()));
        for (id, topology) in self.atlas.ids.iter().zip(&self.atlas.topologies) {
            self.trace.line(0, format_args!("{id}: {topology:?}"));
        }
        for (placement, members) in &self.atlas.placements {
            self.trace.line(0, format_args!("placement {placement}: {members:b}"));
        }
        for site in 0..self.sites.len() {
            let at = self.rng.u64(0..50 * MS);
            self.queue.put(at, Event::Restart(site));
        }
        self.begin_links();
        self.begin_mishaps(disks);
        self.begin_schedule();
        self.begin_watching();
    }

    /// Runs until the world has come to rest and all promises have been checked.
    pub(crate) fn run(&mut self) -> Result<Report, Broken> {
        while self.now < self.chaos_ends {
            self.run_until(self.chaos_ends.min(self.now + 4 * SECOND))?;
            self.check_all_contents()?;
        }
        self.calm_down()?;
        self.come_to_rest()?;
        self.audit()?;
        self.histories.check(&self.sites, &self.ledger, &mut self.report)?;
        (0..self.sites.len()).try_for_each(|here| self.retire_counters(here))?;
        self.report.virtual_time = Duration::from_micros(self.now);
        self.report.digest = self.digest.value();
        self.report.regions = self.sites.len();
        let first = &self.atlas.topologies[0];
        let are_alike = self.atlas.topologies.iter().all(|it| it == first);
        self.report.topology = are_alike.then(|| first.name());
        self.report.tasks = self.crowd.promised();
        self.report.told = self.crowd.tellers.told();
        self.report.redriven = self.crowd.redriven();
        self.report.posted = self.crowd.topics.acked();
        Ok(self.report)
    }

    /// How many inputs there may be: schedules may go on for long.
    fn events_max(&self) -> u64 {
        let planned = self.chaos_ends + self.jumps();
        Self::EVENTS_MAX.saturating_mul(1 + planned / (60 * SECOND))
    }

    /// Lets everything happen that is due until a moment.
    pub(crate) fn run_until(&mut self, end: Micros) -> Result<(), Broken> {
        while let Some(at) = self.queue.next_at() {
            if end < at {
                break;
            }
            let (at, event) = self.queue.pop().expect("there is a next event: seen above");
            assert!(self.now <= at, "time went back");
            self.now = at;
            self.happen(event)?;
            Promise::Calm.holds(self.report.events < self.events_max(), || {
                "the run has too many events".to_owned()
            })?;
        }
        self.now = end;
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), Broken> {
        if let Some(until) = self.waits_until(&event) {
            self.wait(until, event);
            return Ok(());
        }
        match event {
            Event::Wake(site) => self.wake(site),
            Event::Deliver { from, to, session, message } => {
                self.deliver(from, to, session, message)
            }
            Event::Synced { site, life } => {
                if self.sites[site].life != life || self.sites[site].machine.is_none() {
                    return Ok(());
                }
                if self.sites[site].disk.is_full && self.rng.bool() {
                    // What was written before may have to wait until there is room.
                    self.queue.put(self.now + 50 * MS, Event::Synced { site, life });
                    return Ok(());
                }
                let number = self.sites[site].disk.end_sync();
                self.feed(site, Input::Durable(number))?;
                self.sync(site);
                Ok(())
            }
            Event::Fetched { site, life, stream, from, bytes_max } => {
                if self.sites[site].life != life {
                    return Ok(());
                }
                let ops = self.sites[site].disk.fetch(&stream, from, bytes_max);
                self.feed(site, Input::Fetched { stream, from, ops })
            }
            Event::Truncated { site, life } => {
                if self.sites[site].life != life {
                    return Ok(());
                }
                self.feed(site, Input::Truncated)
            }
            Event::Link(event) => self.on_link(event),
            Event::Restart(site) => self.restart(site),
            Event::Watch => self.watch(),
            Event::Mishap(mishap) => self.on_mishap(mishap),
            Event::Turn(turn) => {
                let (crowd, mut stage) = self.stage();
                match crowd.turn(&mut stage, turn) {
                    Some(request) if self.is_still(request.site) => {
                        self.queue.put(self.now, Event::Ask(request));
                        Ok(())
                    }
                    Some(request) => self.ask(request),
                    None => Ok(()),
                }
            }
            Event::Ask(request) => self.ask(request),
            Event::Abandon(ticket) => {
                let Some(pending) = self.pending.remove(&ticket) else { return Ok(()) };
                self.abandoned.insert(ticket);
                self.feed(pending.site, Input::Abandon(ticket))?;
                let (crowd, mut stage) = self.stage();
                crowd.lost(&mut stage, &pending.asked);
                Ok(())
            }
        }
    }

    /// Splits the world into the crowd and what it sees.
    pub(crate) fn stage(&mut self) -> (&mut Crowd, Stage<'_>) {
        let alive = self.alive();
        let stage = Stage {
            now: self.now,
            queue: &mut self.queue,
            atlas: &self.atlas,
            sites: &self.sites,
            ledger: &mut self.ledger,
            weather: &self.weather,
            alive,
            is_calm: self.is_calm,
        };
        (&mut self.crowd, stage)
    }

    /// Returns the sites that live, one bit for each.
    pub(crate) fn alive(&self) -> u32 {
        let bit = |(site, it): (usize, &Site)| u32::from(it.machine.is_some()) << site;
        self.sites.iter().enumerate().map(bit).sum()
    }

    fn ask(&mut self, request: Request) -> Result<(), Broken> {
        let Request { site, command, asked } = request;
        if self.sites[site].machine.is_none() {
            let (crowd, mut stage) = self.stage();
            crowd.lost(&mut stage, &asked);
            return Ok(());
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        if !self.is_calm && self.weather.strikes(Fault::Abandon, 0.15, &mut self.rng) {
            let patience = self.rng.u64(0..SECOND);
            self.queue.put(self.now + patience, Event::Abandon(ticket));
        }
        self.histories.asked(self.now, &self.atlas, (ticket, site), &command);
        self.pending.insert(ticket, Pending { site, asked });
        self.submit(site, ticket, command)
    }

    /// Gives a region an input and carries out what it says.
    pub(crate) fn feed(&mut self, here: usize, input: Input) -> Result<(), Broken> {
        let site = &mut self.sites[here];
        let Some(machine) = &mut site.machine else { return Ok(()) };
        assert!(site.still_until.is_none(), "nothing reaches a process that stands still");
        self.report.events += 1;
        self.digest.number(self.now ^ (here as u64) << 56);
        self.digest.input(&input);
        if self.trace.is_on() {
            trace_input(self.trace, self.now, &self.atlas, here, &input);
        }
        machine.handle(site.clock.read(self.now), input);
        for _ in 0..Self::OUTPUTS_MAX {
            if self.sites[here].doomed == Some(0) {
                return self.crash(here);
            }
            let site = &mut self.sites[here];
            let Some(machine) = &mut site.machine else { return Ok(()) };
            let Some(output) = machine.poll() else {
                self.plan_wakeup(here);
                return Ok(());
            };
            if let Some(left) = &mut site.doomed {
                *left -= 1;
            }
            self.digest.output(&output);
            if self.trace.is_on() {
                trace_output(self.trace, self.now, &self.atlas, here, &output);
            }
            self.carry_out(here, output)?;
        }
        Err(Promise::Contract.broken(format!("{} gives outputs without end", self.atlas.ids[here])))
    }

    /// Carries out what a region says.
    pub(crate) fn carry_out(&mut self, here: usize, output: Output) -> Result<(), Broken> {
        match output {
            Output::Append(op) => {
                let disks = if self.ledger.is_strict() { Disks::Survive } else { Disks::MayBeLost };
                check_append(&self.atlas, &self.sites, here, &op, disks)?;
                let appended = self.sites[here].disk.append(&op);
                appended.map_err(|what| {
                    Promise::SameOps.broken(format!("{}: {what}", self.atlas.ids[here]))
                })?;
                let site = &self.sites[here];
                if let Some(machine) = &site.machine {
                    self.histories.takeovers.note(&site.config, machine, &op)?;
                }
                self.sync(here);
                Ok(())
            }
            Output::Send(to, message) => self.send(here, self.atlas.site(to), message),
            Output::Fetch { stream, from, bytes_max } => {
                self.report.fetched += 1;
                let life = self.sites[here].life;
                let at = self.now + self.rng.u64(100..20 * MS);
                let fetched = Event::Fetched { site: here, life, stream, from, bytes_max };
                self.queue.put(at, fetched);
                Ok(())
            }
            Output::Truncate { stream, seq } => {
                self.report.truncated += 1;
                self.sites[here].disk.truncate(&stream, seq);
                let (at, life) = (self.now + self.rng.u64(100..20 * MS), self.sites[here].life);
                self.queue.put(at, Event::Truncated { site: here, life });
                Ok(())
            }
            Output::Notice(_) => Ok(()),
            Output::Halt(why) => self.halt(here, &why),
            Output::Reply(ticket, reply) => {
                let Some(pending) = self.pending.remove(&ticket) else {
                    return Promise::Contract.holds(self.abandoned.remove(&ticket), || {
                        format!("{} answered {ticket} twice", self.atlas.ids[here])
                    });
                };
                assert_eq!(pending.site, here, "a ticket is known to one region only");
                self.compare_with_glance(here, ticket, &reply)?;
                self.histories.answered(self.now, ticket, &reply)?;
                self.report.replies += 1;
                self.report.records += u64::from(matches!(reply, Ok(Reply::Data(_))));
                let (crowd, mut stage) = self.stage();
                crowd.replied(&mut stage, here, pending.asked, reply)
            }
        }
    }

    fn sync(&mut self, here: usize) {
        if !self.sites[here].disk.begin_sync() {
            return;
        }
        let mut delay = self.rng.u64(150..3 * MS);
        if !self.is_calm && self.weather.strikes(Fault::SlowSync, 0.2, &mut self.rng) {
            delay += self.rng.u64(10 * MS..2 * SECOND);
        }
        let life = self.sites[here].life;
        self.queue.put(self.now + delay, Event::Synced { site: here, life });
    }

    fn plan_wakeup(&mut self, here: usize) {
        let site = &mut self.sites[here];
        let Some(machine) = &site.machine else { return };
        let (mono, _) = machine.next_wakeup();
        // A region that is late with its own work gets a moment between two ticks.
        site.wanted = site.clock.moment(mono).max(self.now + 10);
        if site.wanted < site.queued {
            site.queued = site.wanted;
            self.queue.put(site.wanted, Event::Wake(here));
        }
    }

    fn wake(&mut self, here: usize) -> Result<(), Broken> {
        let site = &mut self.sites[here];
        if site.queued != self.now {
            return Ok(()); // An earlier wake-up has taken its place.
        }
        site.queued = Micros::MAX;
        if self.now < site.wanted {
            if site.machine.is_some() {
                site.queued = site.wanted;
                self.queue.put(site.wanted, Event::Wake(here));
            }
            return Ok(());
        }
        self.feed(here, Input::Tick)
    }

    /// Says who still waits for an answer.
    pub(crate) fn unanswered(&self) -> Option<String> {
        let first = self.pending.iter().find(|(_, it)| it.asked.must_be_answered())?;
        Some(format!("{} was never answered: {:?}", first.0, first.1.asked))
    }

    /// Picks one of the sites that live.
    pub(crate) fn some_site(&mut self) -> Option<usize> {
        let alive = self.alive();
        pick(alive, &mut self.rng)
    }
}
