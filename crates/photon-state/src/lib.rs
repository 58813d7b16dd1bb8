//! What is true: replicated records, the ops that made them, and who has seen what.
//! Pure and deterministic; must not know of agents, routing, files or sockets.

mod block;
pub mod codec;
pub mod crdt;
mod dot;
mod hash;
mod name;
mod op;
mod pack;
mod seen;
mod short;
mod store;
mod time;
mod values;

pub use dot::{Dot, Source};
pub use hash::StableHash;
pub use name::{NameError, PlacementId, RegionId};
pub use op::{Change, Dataset, Key, Op, Record, StreamId, Update};
pub use seen::Seen;
pub use store::{Applied, Content, Entry, Log, Position, Register, Shelf, Store};
pub use time::{Hlc, HlcError, Now};
