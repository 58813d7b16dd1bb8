//! The binary: hands over to the library.
//! Must not do anything else.

use std::process::ExitCode;

fn main() -> ExitCode {
    photon::run()
}
