//! The shell of a region: real time, disk and links around the machine of `photon-region`.
//! Must not decide anything, nor speak to clients.

mod authority;
mod driver;
mod fake;
mod faults;
mod handle;
mod lanes;
mod links;
mod log;
mod node;
mod notice;
mod pagefile;
#[doc(hidden)]
pub mod probe;
mod random;
mod stats;
mod troubles;
mod window;

pub use authority::{
    Authority, AuthorityError, Credentials, NotCertifiable, Validity, certificate_name,
};
pub use faults::Faults;
pub use handle::{Handle, SubmitError};
pub use lanes::{Carried, LaneStats};
pub use links::{TlsError, TlsFiles};
pub use log::{Corrupt, DiskFailed, LogError, Recovered, Torn};
pub use node::{LinkConfig, LinkRates, Node, NodeConfig, RunError, Secret, StartError};
pub use stats::{Histogram, LinkStats, LogStats};
