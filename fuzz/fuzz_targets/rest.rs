//! HTTP+JSON of strangers: A2A, the registry of agents, and topics. Nothing panics or hangs; what
//! is refused says what is wrong, in the form of its address.

#![no_main]

#[path = "../src/of_rest.rs"]
mod of_rest;

use libfuzzer_sys::fuzz_target;
use photon_fuzz::world::put_case;

fuzz_target!(init: of_rest::write(), |bytes: &[u8]| put_case(&of_rest::TARGET, bytes));
