//! All tests of the edge in front of real regions, as one program: it is compiled and linked once.
//! Must not hold tests itself.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod ard;
mod checkpoints;
mod client;
mod data;
mod gate;
mod grpc;
mod observe;
mod region;
mod residency;
mod server;
mod topics;
mod v1;
mod watch;
