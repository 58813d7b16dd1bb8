//! What is true: replicated records, the ops that made them, and who has seen what.
//! Pure and deterministic; must not know of agents, routing, files or sockets.

mod block;
pub mod codec;
pub mod crdt;
mod dot;
mod hash;
mod log;
mod name;
mod op;
mod pack;
mod pages;
mod position;
mod relief;
mod seen;
mod short;
mod slot;
mod store;
mod tally;
mod time;
mod values;

pub use dot::{Dot, Source};
pub use hash::StableHash;
pub use log::{Entry, EntryPlace, Log, Placed, Run};
pub use name::{NameError, PlacementId, RegionId};
pub use op::{Change, Dataset, Key, Op, Record, StreamId, Update};
pub use pages::{PAGE_BYTES, PageCounts, Pages};
pub use position::Position;
pub use seen::Seen;
pub use store::{Applied, Content, Place, Register, Shelf, Store};
pub use tally::{Seat, Tally};
pub use time::{Hlc, HlcError, Now};
pub use values::Held;
