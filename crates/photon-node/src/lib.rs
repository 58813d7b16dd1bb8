//! The shell of a region: real time, disk and links around the machine of `photon-region`.
//! Must not decide anything, nor speak to clients.

mod handle;

pub use handle::{Handle, SubmitError};
