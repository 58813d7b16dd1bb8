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
            self.by_agent.retain(|name, _| is_living(name));
            self.by_number.retain(|_, name| is_living(name));
            self.whole_from = self.last;
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
}
