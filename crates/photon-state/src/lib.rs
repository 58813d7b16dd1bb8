//! What is true: replicated records, the ops that made them, and who has seen what.
//! Pure and deterministic; must not know of agents, routing, files or sockets.

pub mod codec;
mod name;
mod op;
mod seen;
mod store;
mod time;

pub use name::{NameError, PlacementId, RegionId};
pub use op::{Change, Dataset, Key, Op, Record, StreamId};
pub use seen::Seen;
pub use store::{Applied, Entry, Log, Register, Store};
pub use time::{Hlc, HlcError, Now};
