//! What agents say that work, over HTTP and gRPC, with a lease and without; and A2A and topics over
//! gRPC. Nothing panics or hangs; what is refused says what is wrong, and blames nobody else.

#![no_main]

#[path = "../src/of_worker.rs"]
mod of_worker;

use libfuzzer_sys::fuzz_target;
use photon_fuzz::world::put_case;

fuzz_target!(init: of_worker::write(), |bytes: &[u8]| put_case(&of_worker::TARGET, bytes));
