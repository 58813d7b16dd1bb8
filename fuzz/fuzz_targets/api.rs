//! Requests of strangers, one after the other, to the API of a region in this process. Nothing
//! panics; no answer is a 500; what is refused says what is wrong; and the region answers the next.

#![no_main]

#[path = "../src/requests.rs"]
mod requests;

use libfuzzer_sys::fuzz_target;
use photon_fuzz::world::put_case;

fuzz_target!(init: requests::write(), |bytes: &[u8]| put_case(&requests::TARGET, bytes));
