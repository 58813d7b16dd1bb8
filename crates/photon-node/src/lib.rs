//! The shell of a region: real time, disk and links around the machine of `photon-region`.
//! Must not decide anything, nor speak to clients.

mod driver;
mod fake;
mod handle;
mod links;
mod log;
mod node;
mod random;
mod stats;

pub use handle::{Handle, SubmitError};
pub use log::{Corrupt, DiskFailed, LogError, Recovered, Torn};
pub use node::{LinkConfig, Node, NodeConfig, RunError, Secret, StartError};
pub use stats::{Histogram, LinkStats, LogStats};
