//! The binary: hands over to the library.
//! Must not do anything else.

use std::process::ExitCode;

/// Many threads allocate at once and free what others allocated; the system's allocator makes
/// them wait for each other.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    photon::run()
}
