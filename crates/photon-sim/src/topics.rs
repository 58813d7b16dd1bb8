//! Topics: those who publish, those who read, and what they are promised.
//! Must not know how a home numbers what is published.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use photon_region::{
    Ack, AtHome, Command, Json, Mark, Post, Posts, Refusal, Reply, Retention, Start, TopicAsk,
    TopicCommand, TopicName, TopicRead, topic_id,
};
use photon_state::PlacementId;

use crate::asked::Asked;
use crate::clock::{MS, Micros, SECOND};
use crate::promises::{Broken, Promise};
use crate::site::pick;
use crate::workload::{Crowd, Request, Stage, Turn};

/// A topic, and what is known of it from the outside.
#[derive(Debug)]
struct Paper {
    placement: PlacementId,
    members: u32,
    name: TopicName,
    /// Whether messages are kept for a few seconds, or forgotten by order: they may be missed.
    is_short: bool,
    /// What was shown at each mark.
    shown: BTreeMap<(u32, u64), Arc<str>>,
    /// What was acknowledged.
    acked: BTreeSet<Arc<str>>,
    /// What each region shows at the end.
    at_last: BTreeMap<usize, Vec<(u64, Arc<str>)>>,
}

/// Somebody who publishes one message after the other: the next once one is acknowledged.
#[derive(Debug)]
struct Publisher {
    paper: usize,
    ack: Ack,
    site: usize,
    next: u32,
    count: u32,
    tries: u32,
}

/// Somebody who reads on from where it was, in whatever region.
#[derive(Debug)]
struct Reader {
    paper: usize,
    site: usize,
    start: Start,
    seen: BTreeSet<Arc<str>>,
    /// Whether it stays at its region, and reads all that is there from the first on, once.
    is_last: bool,
    is_over: bool,
}

/// What is done about topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// One of those publishes.
    Publish(usize),
    /// One of those reads.
    Read(usize),
    /// Somebody says how long messages of one topic are kept, or orders some to be forgotten.
    Keep(usize),
}

/// All topics, and all who publish and read.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    papers: Vec<Paper>,
    publishers: Vec<Publisher>,
    readers: Vec<Reader>,
}

impl Topics {
    /// How often a message is published until its publisher gives up.
    const TRIES_MAX: u32 = 60;
    /// How many messages are read at once, at the most.
    const READ_MAX: usize = 20;

    /// Draws who publishes and reads: of a half of all planets, nobody.
    pub(crate) fn draw(stage: &mut Stage<'_>, until: Micros, rng: &mut fastrand::Rng) -> Self {
        let mut topics = Self::default();
        for index in 0..rng.usize(0..4).saturating_sub(1) {
            let all = &stage.atlas.placements;
            let (placement, members) = all[rng.usize(0..all.len())];
            let name = format!("topic-{index}").into();
            let (shown, acked, at_last) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
            let is_short = rng.u32(0..3) == 0;
            topics.papers.push(Paper { placement, members, name, is_short, shown, acked, at_last });
            if is_short {
                stage.later(rng.u64(0..3 * SECOND), Turn::Topic(Deed::Keep(index)));
            }
            for _ in 0..rng.usize(1..4) {
                let ack = if rng.bool() { Ack::Region } else { Ack::Quorum };
                let site = pick(members, rng).expect("a placement has members");
                let count = rng.u32(3..20);
                let (next, tries, paper) = (0, 0, index);
                topics.publishers.push(Publisher { paper, ack, site, next, count, tries });
                let deed = Deed::Publish(topics.publishers.len() - 1);
                stage.later(rng.u64(100 * MS..until), Turn::Topic(deed));
            }
            for _ in 0..rng.usize(1..4) {
                let site = pick(members, rng).expect("a placement has members");
                topics.begin_reading(stage, index, site, false);
            }
        }
        topics
    }

    fn begin_reading(&mut self, stage: &mut Stage<'_>, paper: usize, site: usize, is_last: bool) {
        let (start, seen) = (Start::First, BTreeSet::new());
        self.readers.push(Reader { paper, site, start, seen, is_last, is_over: false });
        stage.later(MS, Turn::Topic(Deed::Read(self.readers.len() - 1)));
    }

    /// Lets somebody read all that each region shows in the end.
    pub(crate) fn begin_last_reads(&mut self, stage: &mut Stage<'_>) {
        for paper in 0..self.papers.len() {
            let members = self.papers[paper].members;
            for site in (0..stage.sites.len()).filter(|it| members >> it & 1 == 1) {
                self.begin_reading(stage, paper, site, true);
            }
        }
    }

    /// Whether all of it was read.
    pub(crate) fn are_read(&self) -> bool {
        self.readers.iter().all(|it| it.is_over || !it.is_last)
    }

    /// Whether everybody has published what they had to say.
    pub(crate) fn are_published(&self) -> bool {
        self.publishers.iter().all(|it| it.next == it.count)
    }

    pub(crate) fn act(
        &mut self,
        stage: &mut Stage<'_>,
        deed: Deed,
        rng: &mut fastrand::Rng,
    ) -> Option<Request> {
        let (site, members) = match deed {
            Deed::Publish(it) => (self.publishers[it].site, self.publishers[it].paper),
            Deed::Read(it) => (self.readers[it].site, self.readers[it].paper),
            Deed::Keep(it) => (it, it),
        };
        let members = self.papers[members].members;
        let site = if (stage.alive & members) >> site & 1 == 1 && rng.u32(0..12) != 0 {
            Some(site)
        } else {
            pick(stage.alive & members, rng)
        };
        let is_last = matches!(deed, Deed::Read(it) if self.readers[it].is_last);
        let site = if is_last { Some(self.readers[deed.index()].site) } else { site };
        let Some(site) = site else {
            stage.later(rng.u64(50 * MS..700 * MS), Turn::Topic(deed));
            return None;
        };
        let command = match deed {
            Deed::Publish(it) => {
                self.publishers[it].site = site;
                self.publish(it)?
            }
            Deed::Keep(it) => self.papers[it].keep(rng),
            Deed::Read(it) => {
                let reader = &mut self.readers[it];
                reader.site = site;
                let paper = &self.papers[reader.paper];
                let (placement, name, start) = (paper.placement, paper.name.clone(), reader.start);
                let limit = if is_last { Self::READ_MAX } else { rng.usize(1..Self::READ_MAX) };
                let wait = if is_last { 0 } else { rng.u64(0..2_000) };
                let (key, wait) = (None, Duration::from_millis(wait));
                let read =
                    TopicCommand::Read(TopicRead { placement, name, start, key, limit, wait });
                Command::Topic(read)
            }
        };
        Some(Request { site, command, asked: Asked::Topic(deed) })
    }

    fn publish(&mut self, index: usize) -> Option<Command> {
        let publisher = &mut self.publishers[index];
        if publisher.next == publisher.count {
            return None;
        }
        publisher.tries += 1;
        if Self::TRIES_MAX < publisher.tries {
            publisher.next = publisher.count; // It gives up.
            return None;
        }
        let paper = &self.papers[publisher.paper];
        let id: Arc<str> = post_id(index, publisher.next);
        let data = Json(format!("\"{id}\"").into());
        let post = Post { id, key: Some(format!("k{index}").into()), data };
        let ask = Box::new(TopicAsk::Publish { post, ack: publisher.ack });
        let topic = topic_id(paper.placement, &paper.name);
        Some(Command::AtHome(AtHome::Topic { topic, name: paper.name.clone(), ask }))
    }

    /// Takes in that there was no answer, or none of use.
    pub(crate) fn again(stage: &mut Stage<'_>, deed: Deed, rng: &mut fastrand::Rng) {
        stage.later(rng.u64(50 * MS..700 * MS), Turn::Topic(deed));
    }

    fn published(
        &mut self,
        stage: &mut Stage<'_>,
        index: usize,
        mark: Mark,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let publisher = &mut self.publishers[index];
        let number = publisher.next;
        let id = post_id(index, number);
        Promise::Topics.holds(0 < mark.generation, || format!("{id} is nowhere: {mark:?}"))?;
        (publisher.next, publisher.tries) = (number + 1, 0);
        let paper = &mut self.papers[publisher.paper];
        paper.acked.insert(id.clone());
        paper.show(mark, &id)?;
        stage.later(rng.u64(0..2 * SECOND), Turn::Topic(Deed::Publish(index)));
        Ok(())
    }

    fn was_read(
        &mut self,
        stage: &mut Stage<'_>,
        index: usize,
        posts: &Posts,
        rng: &mut fastrand::Rng,
    ) -> Result<(), Broken> {
        let reader = &mut self.readers[index];
        let paper = &mut self.papers[reader.paper];
        Promise::Topics.holds(paper.is_short || !posts.is_cut, || {
            format!("{} lacks messages before {}", paper.name, posts.first)
        })?;
        let due = posts.posts.first().map_or(0, |it| it.mark.generation);
        if let Start::After(mark) = reader.start {
            Promise::Topics.holds(due <= mark.generation + 1 || posts.is_cut, || {
                format!("{} goes on at {due} for who has read up to {mark:?}", paper.name)
            })?;
        }
        for (due, it) in (due..).zip(&posts.posts) {
            Promise::Topics.holds(it.mark.generation == due, || {
                format!("{} shows {:?} where {due} should be", paper.name, it.mark)
            })?;
            paper.show(it.mark, &it.post.id)?;
            reader.seen.insert(it.post.id.clone());
            if reader.is_last {
                let all = paper.at_last.entry(reader.site).or_default();
                all.push((it.mark.generation, it.post.id.clone()));
            }
        }
        reader.start = Start::After(posts.next);
        if reader.is_last && posts.posts.is_empty() {
            reader.is_over = true;
            return Ok(());
        }
        let pause = if reader.is_last { 0 } else { rng.u64(0..300 * MS) };
        if !stage.is_calm || reader.is_last || posts.next.generation < posts.last {
            stage.later(pause, Turn::Topic(Deed::Read(index)));
        } else {
            stage.later(SECOND, Turn::Topic(Deed::Read(index)));
        }
        Ok(())
    }

    /// All regions show the same, nothing is lost, nothing is there twice, and who waits for each
    /// acknowledgement finds what it published in that order.
    pub(crate) fn check(&self, atlas: &[photon_state::RegionId]) -> Result<(), Broken> {
        for (index, paper) in self.papers.iter().enumerate().filter(|(_, it)| !it.is_short) {
            let first = paper.at_last.values().next().cloned().unwrap_or_default();
            for (site, all) in &paper.at_last {
                Promise::Topics.holds(*all == first, || {
                    let name = atlas[*site];
                    format!("{name} shows {} otherwise: {all:?} and {first:?}", paper.name)
                })?;
            }
            Promise::Topics.holds(
                paper.at_last.len() as u32 == paper.members.count_ones() || first.is_empty(),
                || format!("{} is not shown everywhere", paper.name),
            )?;
            let ids: BTreeSet<Arc<str>> = first.iter().map(|(_, id)| id.clone()).collect();
            Promise::Topics.holds(ids.len() == first.len(), || {
                format!("{} shows something twice: {first:?}", paper.name)
            })?;
            let lost = paper.acked.iter().find(|it| !ids.contains(*it));
            Promise::Acknowledged.holds(lost.is_none(), || {
                format!("{} lacks {lost:?}, which was acknowledged", paper.name)
            })?;
            let readers = self.readers.iter().filter(|it| it.paper == index);
            for reader in readers {
                let missed = ids.iter().find(|it| !reader.seen.contains(*it));
                Promise::Topics.holds(missed.is_none(), || {
                    format!("who reads {} never saw {missed:?}", paper.name)
                })?;
            }
            let sure = self.publishers.iter().enumerate();
            for (at, publisher) in sure.filter(|(_, it)| it.paper == index) {
                let own: Vec<&Arc<str>> = (0..publisher.count)
                    .map(|number| post_id(at, number))
                    .filter_map(|id| ids.get(&id))
                    .collect();
                let prefix = format!("p{at}-");
                let shown: Vec<&Arc<str>> =
                    first.iter().map(|(_, id)| id).filter(|it| it.starts_with(&prefix)).collect();
                let is_so = publisher.ack == Ack::Region || own == shown;
                Promise::Topics.holds(is_so, || {
                    format!("{} shows what was said one after the other so: {shown:?}", paper.name)
                })?;
            }
        }
        Ok(())
    }

    /// Returns how many messages were acknowledged.
    pub(crate) fn acked(&self) -> u64 {
        self.papers.iter().map(|it| it.acked.len() as u64).sum()
    }
}

impl Deed {
    fn index(self) -> usize {
        match self {
            Self::Publish(it) | Self::Read(it) | Self::Keep(it) => it,
        }
    }
}

impl Paper {
    /// Makes what is said of how long messages are kept.
    fn keep(&self, rng: &mut fastrand::Rng) -> Command {
        let (placement, name) = (self.placement, self.name.clone());
        if rng.bool() {
            let upto = self.acked.len() as u64;
            let topic = topic_id(placement, &name);
            return Command::AtHome(AtHome::Topic {
                topic,
                name,
                ask: Box::new(TopicAsk::Purge { upto }),
            });
        }
        let time = Duration::from_millis(rng.u64(500..5_000));
        let retention = Retention { time, bytes: 1 << 20 };
        Command::Topic(TopicCommand::Keep { placement, name, retention })
    }

    /// Takes in what was shown at a mark: it is never anything else.
    fn show(&mut self, mark: Mark, id: &Arc<str>) -> Result<(), Broken> {
        let before = self.shown.entry((mark.epoch, mark.generation)).or_insert_with(|| id.clone());
        Promise::Topics
            .holds(before == id, || format!("{} shows at {mark:?} {before} and {id}", self.name))
    }
}

fn post_id(publisher: usize, number: u32) -> Arc<str> {
    format!("p{publisher}-{number}").into()
}

impl Crowd {
    /// Takes in an answer to whoever publishes or reads.
    pub(crate) fn heard_of_topic(
        &mut self,
        stage: &mut Stage<'_>,
        deed: Deed,
        reply: Reply,
    ) -> Result<(), Broken> {
        let (topics, rng) = (&mut self.topics, &mut self.rng);
        match (deed, reply) {
            (Deed::Publish(index), Reply::Posted { mark, .. }) => {
                topics.published(stage, index, mark, rng)
            }
            (Deed::Keep(_), Reply::Done | Reply::Posted { .. }) => {
                if !stage.is_calm {
                    stage.later(rng.u64(SECOND..5 * SECOND), Turn::Topic(deed));
                }
                Ok(())
            }
            (Deed::Read(index), Reply::Posts(posts)) => topics.was_read(stage, index, &posts, rng),
            (deed, reply) => {
                Err(Promise::Contract.broken(format!("{deed:?} was answered by {reply:?}")))
            }
        }
    }

    /// Takes in that somebody was turned away.
    pub(crate) fn turned_away_from_topic(
        &mut self,
        stage: &mut Stage<'_>,
        deed: Deed,
        refusal: &Refusal,
    ) -> Result<(), Broken> {
        Topics::again(stage, deed, &mut self.rng);
        let is_wrong = matches!(refusal, Refusal::PostReused { .. } | Refusal::NoSuchTask(_));
        Promise::Contract.holds(!is_wrong, || format!("{deed:?} was refused: {refusal}"))
    }
}
