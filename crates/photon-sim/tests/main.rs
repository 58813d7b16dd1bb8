//! All tests of the simulator, as one program: it is compiled and linked once.
//! Must not hold tests itself.

mod lies;
mod promises;
mod schedules;
