//! What the targets share that ask the routes of a region: how a case is read, whom it is asked of,
//! and what a right answer is.
//! Must not know what is asked for.

pub mod answers;
pub mod case;
pub mod driver;
pub mod known;
#[allow(dead_code, reason = "tests of the front door use the rest")]
#[path = "../../crates/photon-edge/tests/region/mod.rs"]
mod region;
pub mod seed;
pub mod world;
