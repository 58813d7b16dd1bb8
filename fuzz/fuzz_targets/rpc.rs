//! JSON-RPC of strangers: A2A in both of its versions, and MCP in both of its own. Nothing panics
//! or hangs; each answer is a response with an id, and errors are those that are documented.

#![no_main]

#[path = "../src/of_rpc.rs"]
mod of_rpc;

use libfuzzer_sys::fuzz_target;
use photon_fuzz::world::put_case;

fuzz_target!(init: of_rpc::write(), |bytes: &[u8]| put_case(&of_rpc::TARGET, bytes));
