//! The processes that are killed, and started again.
//! Must not ask anybody: `kill -9` and nothing else.

use rustix::process::Signal;

use super::{CAT, worker};
use crate::harness::{Planet, Process, REGIONS, regions_of, say, signal_to};

/// A region with workers, and the one to which the program is attached.
const AGENT_REGION: &str = "eu-west-1";

/// Another region with workers.
const OTHER_AGENT_REGION: &str = "ap-southeast-1";

/// A region without workers: it is only the home of tasks.
const HOME_REGION: &str = "us-east-1";

/// The processes that do the work.
#[derive(Debug)]
pub(crate) struct Victims {
    near: Process,
    far: Process,
    program: Process,
}

/// What was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    /// A region.
    Region(&'static str),
    /// The worker in [`AGENT_REGION`].
    Near,
    /// The worker in [`OTHER_AGENT_REGION`].
    Far,
    /// `photon agent run`.
    Program,
}

/// In turn: a region with agents, a home without, a worker.
const TURNS: [Victim; 9] = [
    Victim::Region(AGENT_REGION),
    Victim::Region(HOME_REGION),
    Victim::Near,
    Victim::Region(OTHER_AGENT_REGION),
    Victim::Region(HOME_REGION),
    Victim::Program,
    Victim::Region(AGENT_REGION),
    Victim::Region(HOME_REGION),
    Victim::Far,
];

impl Victims {
    /// Starts the workers, and waits until every region knows them.
    pub(crate) async fn start(planet: &Planet) -> Self {
        let near = worker::start(&planet.url(AGENT_REGION), "near");
        let far = worker::start(&planet.url(OTHER_AGENT_REGION), "far");
        let program = planet.agent("program", CAT, AGENT_REGION, &["cat"]).await;
        planet.knows_agent("near").await;
        planet.knows_agent("far").await;
        Self { near, far, program }
    }

    /// Kills the one whose turn it is.
    pub(crate) fn kill(&mut self, planet: &Planet, round: u32) -> Victim {
        let victim = TURNS[round as usize % TURNS.len()];
        say(&format!("round {round}: kill {victim:?}"));
        match victim {
            Victim::Region(region) => {
                let regions = regions_of(planet.up.pid());
                assert_eq!(regions.len(), REGIONS.len(), "a region died by itself: {regions:?}");
                signal_to(regions[region], Signal::KILL);
            }
            Victim::Near => self.near.signal(Signal::KILL),
            Victim::Far => self.far.signal(Signal::KILL),
            Victim::Program => self.program.signal(Signal::KILL),
        }
        victim
    }

    /// Starts again what was killed.
    pub(crate) async fn start_again(&mut self, planet: &Planet, victim: Victim) {
        match victim {
            Victim::Region(region) => {
                planet.region("start", region).await;
            }
            Victim::Near => self.near = worker::start(&planet.url(AGENT_REGION), "near"),
            Victim::Far => self.far = worker::start(&planet.url(OTHER_AGENT_REGION), "far"),
            Victim::Program => {
                self.program = planet.agent("program", CAT, AGENT_REGION, &["cat"]).await;
            }
        }
    }

    /// Panics unless all run: none may have ended but by the test's hand.
    pub(crate) fn are_running(&mut self) {
        for process in [&mut self.near, &mut self.far, &mut self.program] {
            assert!(process.is_running(), "{process:?} has ended by itself");
        }
    }
}
