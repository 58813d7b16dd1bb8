//! The parts of `e2e_chaos.rs`: who asks, who works, who is killed, and what must be true after it.
//! Must not know each other but through the planet.

pub(crate) mod clients;
pub(crate) mod verdict;
pub(crate) mod victims;
pub(crate) mod worker;

/// The skill that bare workers have.
pub(crate) const UPPER: &str = "chaos.upper";

/// The skill of a program under `photon agent run`.
pub(crate) const CAT: &str = "chaos.cat";

/// Returns what has to come of a task.
pub(crate) fn expected(skill: &str, asked: &str) -> String {
    if skill == UPPER { asked.to_uppercase() } else { asked.to_owned() }
}
