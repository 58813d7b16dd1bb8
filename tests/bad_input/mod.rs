//! The subjects of `e2e_bad_input.rs`.
//! Must not depend on each other: each test has a region of its own.

mod crowd;
mod data;
mod disk;
mod planet;
mod raw;
mod requests;
mod start;
mod wire;
mod work;
