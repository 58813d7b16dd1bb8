//! The wires: every protocol that a client may speak, translated to commands and back.
//! Must not decide anything, nor touch disks and links. The only crate that serializes for clients.
//!
//! Each protocol is one folder of the same shape: decode -> `Command`; `Reply` -> encode; errors
//! through one table (`problem.rs` for `/v1`).

mod a2a;
mod ard;
mod body;
pub mod dns;
mod follow;
mod front;
mod gate;
mod grpc;
mod health;
mod hold;
mod hooks;
mod ids;
mod kept;
mod kinds;
mod liveness;
mod mcp;
mod meter;
mod metrics;
mod names;
mod options;
mod page;
mod prefer;
mod problem;
mod server;
mod session;
mod starting;
mod time;
pub mod token;
mod trust;
pub mod v1;
mod warnings;

pub use a2a::{CardKey, CardKeyError};
pub use ard::{ArdConfig, ArdEmbedder, ArdRegistry, is_publisher};
pub use front::{Failure, Front, FrontConfig, FrontLimits, PlanetInfo, RegionInfo};
pub use hooks::PushTargets;
pub use server::{router, serve};
pub use starting::say_starting;
pub use token::TokenHash;
pub use trust::{Trust, client_tls};
