//! What the `photon` binary is made of, as a library so that tests may use it.
//! Holds no decision about agents or tasks: those are the region's.

pub mod catalog;
pub mod config;
mod nearest;
pub mod wan;
