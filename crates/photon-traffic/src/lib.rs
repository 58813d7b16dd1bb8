//! How strangers are answered, from tables: names, routes, caches, limits, without io.
//! Must not wait for the machine, nor know sockets, threads or clocks: time is an argument.

pub mod dns;
pub mod geo;
mod shelf;

pub use shelf::{Reader, Shelf};
