//! Which agents have changed, so that whoever keeps an index of them need not read all again.
//! Must not know what has changed of them.

use std::collections::BTreeMap;

use rustc_hash::FxHashMap;

use crate::task::AgentName;

/// Changes of agents, numbered from 1 on; of each agent the last.
#[derive(Debug, Default)]
pub(crate) struct AgentChanges {
    last: u64,
    /// Whoever knows less than this may have missed that an agent is gone.
    whole_from: u64,
    by_number: BTreeMap<u64, AgentName>,
    by_agent: FxHashMap<AgentName, u64>,
}

impl AgentChanges {
    /// Agents that are gone and remembered; beyond it they are forgotten, and whoever has not
    /// heard of them reads all anew.
    const GONE_MAX: usize = 10_000;

    /// Takes note of a change of an agent; `living` tells which agents there are.
    pub(crate) fn note(
        &mut self,
        name: &AgentName,
        living: usize,
        is_living: impl Fn(&AgentName) -> bool,
    ) {
        self.last += 1;
        if let Some(before) = self.by_agent.insert(name.clone(), self.last) {
            self.by_number.remove(&before);
        }
        self.by_number.insert(self.last, name.clone());
        if living + Self::GONE_MAX < self.by_agent.len() {
            // Who is left is told again under later numbers: whoever begins anew, and reads page by
            // page, is not taken for one who knows too little.
            self.whole_from = self.last;
            let left = std::mem::take(&mut self.by_number).into_values().filter(is_living);
            self.by_number = (self.last + 1..).zip(left).collect();
            let numbers = self.by_number.iter().map(|(number, name)| (name.clone(), *number));
            self.by_agent = numbers.collect();
            self.last += self.by_number.len() as u64;
        }
    }

    /// Whether somebody who knows all changes up to a number has to begin anew.
    pub(crate) fn is_anew(&self, after: u64) -> bool {
        after < self.whole_from && after != 0 || self.last < after
    }

    /// Iterates over the changes after a number: the agents, each with the number of its last.
    pub(crate) fn after(&self, after: u64) -> impl Iterator<Item = (u64, &AgentName)> {
        self.by_number.range(after + 1..).map(|(number, name)| (*number, name))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_agent_is_told_once_and_those_that_are_gone_until_they_are_too_many() {
        let mut changes = AgentChanges::default();
        let mut living: BTreeSet<AgentName> = BTreeSet::new();
        let mut note = |changes: &mut AgentChanges, name: &str, lives: bool| {
            let name: AgentName = name.into();
            _ = if lives { living.insert(name.clone()) } else { living.remove(&name) };
            changes.note(&name, living.len(), |it| living.contains(it));
        };
        let told = |changes: &AgentChanges, after| {
            changes.after(after).map(|(_, name)| name.to_string()).collect::<Vec<_>>()
        };
        note(&mut changes, "a", true);
        note(&mut changes, "b", true);
        note(&mut changes, "a", true);
        assert_eq!(told(&changes, 0), ["b", "a"]);
        assert_eq!(told(&changes, 2), ["a"]);
        note(&mut changes, "b", false);
        assert_eq!(told(&changes, 3), ["b"]);
        assert!(!changes.is_anew(1) && !changes.is_anew(4) && changes.is_anew(5));
        for number in 0..=AgentChanges::GONE_MAX {
            note(&mut changes, &format!("gone-{number}"), false);
        }
        assert!(changes.is_anew(4) && !changes.is_anew(0));
        assert_eq!(told(&changes, 0)[0], "a");
        assert!(told(&changes, 0).len() <= 2, "only who lives, and who came since");
    }

    #[test]
    fn whoever_reads_page_by_page_comes_to_an_end() {
        let mut changes = AgentChanges::default();
        let is_living = |it: &AgentName| it.starts_with("living");
        for number in 0..50 {
            changes.note(&format!("living-{number}").as_str().into(), number + 1, is_living);
        }
        for number in 0..=AgentChanges::GONE_MAX {
            changes.note(&format!("gone-{number}").as_str().into(), 50, is_living);
        }
        let (mut after, mut seen) = (0, 0);
        loop {
            assert!(!changes.is_anew(after), "after {after}");
            let page: Vec<u64> = changes.after(after).take(20).map(|(number, _)| number).collect();
            let Some(last) = page.last() else { break };
            (after, seen) = (*last, seen + page.len());
        }
        assert!((50..=51).contains(&seen), "{seen} were read");
        assert!(changes.is_anew(30), "who has read some of it before cannot go on there");
    }
}
