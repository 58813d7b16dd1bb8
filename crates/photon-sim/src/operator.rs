//! Whoever operates the planet: drains regions, takes them out and in again, spreads homes, and
//! changes who votes, at the worst of times.
//! Must not know how regions agree.

use photon_region::{Command, Govern};

use crate::asked::Asked;
use crate::clock::{MS, SECOND};
use crate::workload::{Request, Stage, Turn};

/// How often an operator of a calm planet makes sure that some region is a member: until nothing
/// that was wanted before is still under way.
const ROUNDS: u32 = 100;

/// Does what an operator might do.
pub(crate) fn operate(
    stage: &mut Stage<'_>,
    round: u32,
    rng: &mut fastrand::Rng,
) -> Option<Request> {
    let count = stage.sites.len();
    if stage.is_calm {
        let site = round as usize % count;
        if round < ROUNDS {
            stage.later(200 * MS, Turn::Operate(round + 1));
        }
        let region = stage.atlas.ids[site];
        let command = Command::Govern(Govern::Add { region });
        let asked_at = (site + 1) % count;
        return Some(Request { site: asked_at, command, asked: Asked::Operate });
    }
    stage.later(rng.u64(100 * MS..4 * SECOND), Turn::Operate(0));
    let region = stage.atlas.ids[rng.usize(0..count)];
    let is_forced = rng.bool();
    let govern = match rng.u32(0..10) {
        0 | 1 => Govern::Drain { region, is_forced: false },
        2 | 3 => Govern::Undrain { region },
        4 | 5 => Govern::Rebalance,
        // Whoever votes alone and loses its disk ends the planet.
        6 | 7 if stage.ledger.is_strict() => {
            let voters = stage.atlas.ids.iter().copied().filter(|_| rng.u32(0..4) != 0).collect();
            // What is forced without a majority may be told of what it loses only afterwards.
            Govern::Voters { voters, is_forced: false }
        }
        8 => Govern::Remove { region, is_forced },
        9 => Govern::Add { region },
        _ => Govern::Show,
    };
    let site = rng.usize(0..count);
    Some(Request { site, command: Command::Govern(govern), asked: Asked::Operate })
}
