//! All tests of nodes that run, as one program: it is compiled and linked once.
//! Must not hold tests itself.

#![expect(clippy::unwrap_used, reason = "a helper of a test may fail the test")]

mod bounded;
mod drilled;
mod nodes;
mod running;
