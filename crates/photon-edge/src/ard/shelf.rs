//! All agents that this region knows, as they are searched, counted and listed.
//! Must not ask the region for them: they are handed to it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use photon_region::{Agent, AgentChange, AgentName};

use super::entry::{Card, Doc, Field};
use super::filter::Filter;
use super::index::{Index, TextId};

/// Agents by their texts.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    /// The last change of the region's agents that is in it.
    upto: u64,
    index: Index,
    by_name: BTreeMap<AgentName, u32>,
    docs: Vec<Option<Shelved>>,
    vacant: Vec<u32>,
    /// By text: the agents that use it.
    users: Vec<Vec<u32>>,
}

/// An agent with its texts.
#[derive(Debug)]
struct Shelved {
    doc: Doc,
    /// What is said of it whatever it can do.
    head: TextId,
    /// What is said of each of its skills.
    skills: Box<[TextId]>,
}

/// An agent that was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hit<'a> {
    pub(super) doc: &'a Doc,
    /// How well it fits, from 1 to 100.
    pub(super) score: u8,
}

impl Hit<'_> {
    /// Puts the best first, and who is heard of before who is not, of those that fit as well.
    fn order(a: &Self, b: &Self) -> Ordering {
        let (of_a, of_b) = (&a.doc.agent, &b.doc.agent);
        let by_score = b.score.cmp(&a.score);
        let by_life = of_b.is_online.cmp(&of_a.is_online);
        by_score.then(by_life).then_with(|| of_a.spec.name.cmp(&of_b.spec.name))
    }
}

/// By what a list is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Identifier,
    DisplayName,
    UpdatedAt,
}

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// Some of what was found.
#[derive(Debug)]
pub(super) struct Part<T> {
    pub(super) items: Vec<T>,
    /// How many there are.
    pub(super) total: usize,
}

impl Shelf {
    /// How much what is said of an agent counts beside what is said of the skill that fits best.
    const HEAD_SHARE: f32 = 0.5;

    /// Returns the last change that is in it.
    pub(super) fn upto(&self) -> u64 {
        self.upto
    }

    /// Takes in changes; `is_anew` says that all are told again, and what is not is gone.
    pub(super) fn take_in(&mut self, changes: Vec<AgentChange>, upto: u64, is_anew: bool) {
        if is_anew {
            *self = Self::default();
        }
        for AgentChange { name, agent } in changes {
            if self.is_the_same(&name, agent.as_ref()) {
                continue;
            }
            self.remove(&name);
            if let Some(agent) = agent {
                let card = Card::of(&agent);
                let head = self.index.add(&card.head(&agent));
                let skills = agent.spec.skills.iter();
                let skills = skills.map(|it| self.index.add(&card.skill_text(it))).collect();
                let doc = Doc {
                    display_name: card.display_name(&agent).into(),
                    small_name: card.display_name(&agent).to_lowercase().into(),
                    tags: card.tags(),
                    version: card.version().into(),
                    agent,
                };
                self.add(name, Shelved { doc, head, skills });
            }
        }
        self.upto = upto;
    }

    /// Takes in an agent of which nothing has changed by which it is found; says whether it was
    /// such a one. Whole regions come and go, with all their agents.
    fn is_the_same(&mut self, name: &AgentName, agent: Option<&Arc<Agent>>) -> bool {
        let (Some(number), Some(agent)) = (self.by_name.get(name), agent) else { return false };
        let shelved = self.docs[*number as usize].as_mut().expect("a name has an agent");
        let known = &shelved.doc.agent.spec;
        let is_same = known.card == agent.spec.card && known.skills == agent.spec.skills;
        if is_same {
            shelved.doc.agent = Arc::clone(agent);
        }
        is_same
    }

    fn add(&mut self, name: AgentName, shelved: Shelved) {
        let number = self.vacant.pop().unwrap_or_else(|| {
            self.docs.push(None);
            u32::try_from(self.docs.len() - 1).expect("there are fewer agents")
        });
        self.users.resize_with(self.index.capacity(), Vec::new);
        for text in shelved.texts() {
            self.users[text.get()].push(number);
        }
        self.docs[number as usize] = Some(shelved);
        self.by_name.insert(name, number);
    }

    fn remove(&mut self, name: &AgentName) {
        let Some(number) = self.by_name.remove(name) else { return };
        let shelved = self.docs[number as usize].take().expect("a name has an agent");
        for text in shelved.texts() {
            let users = &mut self.users[text.get()];
            let at = users.iter().position(|it| *it == number).expect("it is among the users");
            users.swap_remove(at);
            self.index.remove(text);
        }
        self.vacant.push(number);
    }

    fn shelved(&self, number: u32) -> &Shelved {
        self.docs[number as usize].as_ref().expect("a number in use has an agent")
    }

    /// Returns the agents that fit a text and pass a filter, in no order.
    fn matched(&self, text: &str, takes: impl Fn(&Doc) -> bool) -> Vec<Hit<'_>> {
        let mut best = vec![(0.0_f32, 0.0_f32); self.docs.len()];
        let mut found = Vec::new();
        for (text, score) in self.index.search(text) {
            for number in &self.users[text.get()] {
                let slot = &mut best[*number as usize];
                if *slot == (0.0, 0.0) {
                    found.push(*number);
                }
                let shelved = self.shelved(*number);
                if shelved.head == text {
                    slot.0 = slot.0.max(score);
                }
                if shelved.skills.contains(&text) {
                    slot.1 = slot.1.max(score);
                }
            }
        }
        let hits = found.into_iter().filter_map(|number| {
            let ((head, skill), doc) = (best[number as usize], &self.shelved(number).doc);
            let fit = skill + Self::HEAD_SHARE * head;
            let score = (100.0 * (1.0 - (-1.5 * fit).exp())).round() as u8;
            (0 < score && takes(doc)).then_some(Hit { doc, score })
        });
        hits.collect()
    }

    /// Returns the agents that fit a text best: those after the first `skip`, `limit` at the most.
    pub(super) fn search(
        &self,
        (text, filter, publisher): (&str, &Filter, &str),
        skip: usize,
        limit: usize,
    ) -> Part<Hit<'_>> {
        let mut hits = self.matched(text, |doc| filter.takes(doc, publisher));
        let total = hits.len();
        let end = skip.saturating_add(limit).min(total);
        if 0 < end && end < total {
            hits.select_nth_unstable_by(end, Hit::order);
        }
        hits.truncate(end);
        hits.sort_unstable_by(Hit::order);
        hits.drain(..skip.min(end));
        Part { items: hits, total }
    }

    /// Counts the values of fields, of those that fit a text, if there is one, and pass a filter.
    pub(super) fn count(
        &self,
        (text, filter, publisher): (Option<&str>, &Filter, &str),
        fields: &[Field],
    ) -> Vec<BTreeMap<String, u64>> {
        let takes = |doc: &Doc| filter.takes(doc, publisher);
        let docs: Vec<&Doc> = match text {
            Some(text) => self.matched(text, takes).into_iter().map(|it| it.doc).collect(),
            None => self.all().filter(|it| takes(it)).collect(),
        };
        let count = |field: &Field| {
            let mut counts: HashMap<std::borrow::Cow<'_, str>, u64> = HashMap::new();
            for value in docs.iter().flat_map(|it| it.values(*field, publisher)) {
                *counts.entry(value).or_default() += 1;
            }
            counts.into_iter().map(|(value, count)| (value.into_owned(), count)).collect()
        };
        fields.iter().map(count).collect()
    }

    fn all(&self) -> impl Iterator<Item = &Doc> {
        self.by_name.values().map(|it| &self.shelved(*it).doc)
    }

    /// Lists the agents that pass a filter: those after the first `skip`, `limit` at the most.
    pub(super) fn list(
        &self,
        (filter, publisher): (&Filter, &str),
        (order, direction): (Order, Direction),
        (skip, limit): (usize, usize),
    ) -> Part<&Doc> {
        let mut docs: Vec<&Doc> = self.all().filter(|it| filter.takes(it, publisher)).collect();
        match order {
            Order::Identifier => {}
            Order::DisplayName => docs.sort_by(|a, b| a.display_name.cmp(&b.display_name)),
            Order::UpdatedAt => docs.sort_by_key(|it| it.agent.at),
        }
        if direction == Direction::Down {
            docs.reverse();
        }
        let total = docs.len();
        Part { items: docs.into_iter().skip(skip).take(limit).collect(), total }
    }
}

impl Shelved {
    fn texts(&self) -> impl Iterator<Item = TextId> {
        std::iter::once(self.head).chain(self.skills.iter().copied())
    }
}
