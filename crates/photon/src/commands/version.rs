//! `photon version` and `photon completions`: what the binary says of itself.
//! Must not need a region.

use anyhow::Result;
use clap::CommandFactory as _;
use serde::Serialize;

use super::show;
use crate::cli::{Cli, Completions};
use crate::exit::Exit;
use crate::output::Output;

#[derive(Serialize)]
struct Version {
    version: &'static str,
    os: &'static str,
    arch: &'static str,
}

pub(super) fn run(output: Output) -> Result<Exit> {
    let version = env!("CARGO_PKG_VERSION");
    let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
    show(output, &Version { version, os, arch }, |it| {
        output.line(&format!("photon {} ({} {})", it.version, it.os, it.arch))
    })
}

pub(super) fn completions(options: &Completions, output: Output) -> Result<Exit> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "photon", &mut script);
    output.raw(&script)?;
    Ok(Exit::Ok)
}
