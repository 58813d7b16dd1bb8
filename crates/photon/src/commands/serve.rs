//! `photon serve`: one region, as production runs it.
//! Must not decide anything: it wires the node to its front door.

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing_subscriber::EnvFilter;

use crate::cli::Serve;
use crate::exit::Exit;

pub(super) async fn run(options: &Serve) -> Result<Exit> {
    let _ = options;
    std::future::ready(()).await;
    Ok(Exit::Ok)
}

/// Begins to log to standard error: what the user chose, else `RUST_LOG`, else the default.
pub(super) fn log_to_stderr(filter: Option<&str>, default: &str) -> Result<()> {
    let from_env = std::env::var("RUST_LOG").ok().filter(|it| !it.is_empty());
    let filter = filter.map(str::to_owned).or(from_env).unwrap_or_else(|| default.to_owned());
    let filter = EnvFilter::try_new(&filter)
        .with_context(|| format!("`{filter}` is no filter for logs: try `info`"))?;
    let is_coloured = crate::output::Output::new(crate::output::Format::Table).remark_colour
        == crate::output::Colour::On;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(is_coloured)
        .init();
    Ok(())
}

/// Lets the process open as many files as the operating system allows.
pub(super) fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // What cannot be raised still is what it was.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
