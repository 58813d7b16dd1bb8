//! Chores of the repository: `cargo run -p xtask -- tidy`.
//! Must not build or need any crate of Photon.

mod tidy;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

fn main() -> anyhow::Result<ExitCode> {
    let mut out = std::io::stderr().lock();
    let args: Vec<String> = std::env::args().skip(1).collect();
    if args != ["tidy"] {
        writeln!(out, "usage: cargo run -p xtask -- tidy")?;
        return Ok(ExitCode::from(2));
    }
    let complaints = tidy::check(&root()?)?;
    for complaint in &complaints {
        writeln!(out, "{complaint}")?;
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Finds the root of the repository, wherever the command is run.
fn root() -> anyhow::Result<PathBuf> {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map(PathBuf::from).context("xtask lies in the root of the repository")
}
