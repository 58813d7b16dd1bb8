//! All agents that this region knows, as they are searched, counted and listed.
//! Must not ask the region for them: they are handed to it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use photon_region::{Agent, AgentChange, AgentName, Skill};

use super::entry::{Card, Doc, Field, Local};
use super::filter::Filter;
use super::index::{Index, Query, TextId};

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
    users: Vec<Vec<User>>,
}

/// An agent that uses a text, with what it uses it for: one number, because a search goes through
/// all users of all texts that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct User(u32);

/// What an agent uses a text for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    /// It says what the agent is, whatever it can do.
    Head = 0,
    /// It says what one of its skills is.
    Skill = 1,
}

impl User {
    fn new(number: u32, of: Use) -> Self {
        Self(number << 1 | of as u32)
    }

    fn number(self) -> u32 {
        self.0 >> 1
    }

    /// Returns 0 for a head and 1 for a skill.
    fn of(self) -> usize {
        (self.0 & 1) as usize
    }
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

/// What is looked for, among which agents, and who publishes them.
type Asked<'a> = (Query<'a>, &'a Filter, &'a Local);

impl Shelf {
    /// How much what is said of an agent counts beside what is said of the skill that fits best.
    const HEAD_SHARE: f32 = 0.5;

    /// Whether there are texts whose vectors are to be asked for.
    pub(super) fn lacks_vectors(&self) -> bool {
        self.index.lacks_vectors()
    }

    /// Returns some of the texts that have no vector yet.
    pub(super) fn without_vectors(&self, limit: usize) -> Vec<String> {
        self.index.without_vectors(limit)
    }

    /// Takes the vectors of texts.
    pub(super) fn set_vectors(&mut self, texts: &[String], vectors: &[Option<Vec<f32>>]) {
        self.index.set_vectors(texts, vectors);
    }

    /// Returns the last change that is in it.
    pub(super) fn upto(&self) -> u64 {
        self.upto
    }

    /// Takes in changes; `is_anew` says that all are told again, and what is not is gone.
    pub(super) fn take_in(&mut self, changes: Vec<AgentChange>, upto: u64, is_anew: bool) {
        if is_anew {
            let mut index = std::mem::take(&mut self.index);
            index.clear();
            *self = Self { index, ..Self::default() };
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
            let number = u32::try_from(self.docs.len() - 1).ok();
            number.filter(|it| *it <= u32::MAX >> 1).expect("there are fewer agents")
        });
        self.users.resize_with(self.index.capacity(), Vec::new);
        for (text, of) in shelved.texts() {
            self.users[text.get()].push(User::new(number, of));
        }
        self.docs[number as usize] = Some(shelved);
        self.by_name.insert(name, number);
    }

    fn remove(&mut self, name: &AgentName) {
        let Some(number) = self.by_name.remove(name) else { return };
        let shelved = self.docs[number as usize].take().expect("a name has an agent");
        for (text, of) in shelved.texts() {
            let (users, user) = (&mut self.users[text.get()], User::new(number, of));
            let at = users.iter().position(|it| *it == user).expect("it is among the users");
            users.swap_remove(at);
            self.index.remove(text);
        }
        self.vacant.push(number);
    }

    fn shelved(&self, number: u32) -> &Shelved {
        self.docs[number as usize].as_ref().expect("a number in use has an agent")
    }

    /// Returns the agents that fit a text and pass a filter, in no order, each with how well it
    /// fits. Of most no more is read than what it uses which texts for.
    fn scored(&self, (query, filter, local): Asked<'_>) -> Vec<(u32, u8)> {
        let mut best = vec![[0.0_f32; 2]; self.docs.len()];
        let mut found = Vec::new();
        for (text, score) in self.index.search(query) {
            for user in &self.users[text.get()] {
                let slot = &mut best[user.number() as usize];
                if *slot == [0.0; 2] {
                    found.push(user.number());
                }
                let of = &mut slot[user.of()];
                *of = of.max(score);
            }
        }
        let scored = found.into_iter().map(|number| {
            let [head, skill] = best[number as usize];
            let fit = skill + Self::HEAD_SHARE * head;
            (number, (100.0 * (1.0 - (-1.5 * fit).exp())).round() as u8)
        });
        let takes = |it: &(u32, u8)| {
            0 < it.1 && (filter.takes_all() || filter.takes(&self.shelved(it.0).doc, local))
        };
        scored.filter(takes).collect()
    }

    /// Returns the agents that fit a text best: those after the first `skip`, `limit` at the most.
    pub(super) fn search(&self, asked: Asked<'_>, skip: usize, limit: usize) -> Part<Hit<'_>> {
        let scored = self.scored(asked);
        let total = scored.len();
        let end = skip.saturating_add(limit).min(total);
        let least = nth_best(&scored, end);
        let hits = scored.into_iter().filter(|(_, score)| least <= *score);
        let hit = |(number, score)| Hit { doc: &self.shelved(number).doc, score };
        let mut hits: Vec<Hit<'_>> = hits.map(hit).collect();
        if 0 < end && end < hits.len() {
            hits.select_nth_unstable_by(end, Hit::order);
        }
        hits.truncate(end);
        hits.sort_unstable_by(Hit::order);
        hits.drain(..skip.min(end));
        Part { items: hits, total }
    }

    /// Returns the skill of an agent that fits a text best; nothing if it is rather found by what
    /// it is, whatever it can do.
    pub(super) fn best_skill(&self, query: Query<'_>, name: &AgentName) -> Option<Skill> {
        let shelved = self.shelved(*self.by_name.get(name)?);
        let scores: HashMap<TextId, f32> = self.index.search(query).into_iter().collect();
        let skills = shelved.doc.agent.spec.skills.iter().zip(&shelved.skills);
        let fit = skills.filter_map(|(skill, text)| Some((skill, *scores.get(text)?)));
        let (skill, score) = fit.max_by(|a, b| a.1.total_cmp(&b.1))?;
        let head = scores.get(&shelved.head).copied().unwrap_or_default();
        (Self::HEAD_SHARE * head < score).then(|| skill.clone())
    }

    /// Counts the values of fields, of those that fit a text, if there is one, and pass a filter.
    pub(super) fn count(
        &self,
        (query, filter, local): (Option<Query<'_>>, &Filter, &Local),
        fields: &[Field],
    ) -> Vec<BTreeMap<String, u64>> {
        let takes = |doc: &Doc| filter.takes(doc, local);
        let docs: Vec<&Doc> = match query {
            Some(query) => {
                let scored = self.scored((query, filter, local)).into_iter();
                scored.map(|(number, _)| &self.shelved(number).doc).collect()
            }
            None => self.all().filter(|it| takes(it)).collect(),
        };
        let count = |field: &Field| {
            let mut counts: HashMap<std::borrow::Cow<'_, str>, u64> = HashMap::new();
            for value in docs.iter().flat_map(|it| it.values(*field, local)) {
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
        (filter, local): (&Filter, &Local),
        (order, direction): (Order, Direction),
        (skip, limit): (usize, usize),
    ) -> Part<&Doc> {
        let mut docs: Vec<&Doc> = self.all().filter(|it| filter.takes(it, local)).collect();
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

/// Returns a score that at least `count` have, the greatest there is; 0 if there are fewer.
fn nth_best(scored: &[(u32, u8)], count: usize) -> u8 {
    let mut having = [0_usize; 1 + u8::MAX as usize];
    for (_, score) in scored {
        having[usize::from(*score)] += 1;
    }
    let mut better = 0;
    let reaches = |score: &u8| {
        better += having[usize::from(*score)];
        count <= better
    };
    (0..=u8::MAX).rev().find(reaches).unwrap_or(0)
}

impl Shelved {
    fn texts(&self) -> impl Iterator<Item = (TextId, Use)> {
        let skills = self.skills.iter().map(|it| (*it, Use::Skill));
        std::iter::once((self.head, Use::Head)).chain(skills)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_best_score_is_found_by_counting() {
        let check = |scores: &[u8], count, expected| {
            let scored: Vec<_> = (0..).zip(scores.iter().copied()).collect();
            assert_eq!(nth_best(&scored, count), expected, "{scores:?} {count}");
        };
        check(&[], 0, 255);
        check(&[3, 9, 5], 1, 9);
        check(&[3, 9, 5], 2, 5);
        check(&[3, 9, 5, 5], 2, 5);
        check(&[3, 9, 5], 3, 3);
        check(&[3], 2, 0);
    }
}
