//! What the `photon` binary is made of, as a library so that tests may use it.
//! Holds no decision about agents or tasks: those are the region's.

mod backoff;
pub mod catalog;
pub mod cli;
pub mod client;
mod commands;
pub mod config;
mod door;
mod drill;
pub mod exit;
mod nearest;
pub mod output;
mod schedule;
mod signals;
pub mod sse;
mod up;
pub mod wan;
mod wiring;
pub mod worker;

use std::io;
use std::process::ExitCode;

use clap::Parser as _;

use crate::client::ClientError;
use crate::exit::Exit;
use crate::output::{Format, Output, Tone};

/// Does what the command line asks for; the whole of the binary.
#[must_use]
pub fn run() -> ExitCode {
    let cli = cli::Cli::parse();
    match commands::run(cli) {
        Ok(exit) => exit.into(),
        // Whoever read the results has enough of them, as `head` does.
        Err(error) if is_closed_pipe(&error) => Exit::Ok.into(),
        Err(error) => {
            let output = Output::new(Format::Table);
            output.remark_as(Tone::Bad, "error:", &sentence(&error));
            let fix = error.chain().find_map(|it| it.downcast_ref::<ClientError>()?.fix());
            if let Some(fix) = fix {
                output.remark_as(Tone::Odd, "fix:", &fix);
            }
            Exit::of(&error).into()
        }
    }
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|it| it.kind() == io::ErrorKind::BrokenPipe)
}

/// Joins an error with its causes, and says nothing twice: some errors repeat their cause.
fn sentence(error: &anyhow::Error) -> String {
    let mut sentence = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence = format!("{sentence}: {cause}");
        }
    }
    sentence
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn an_error_tells_its_causes_once() {
        let error = anyhow::anyhow!("disk full").context("cannot write: disk full");
        let error = Err::<(), _>(error).context("failed to start").unwrap_err();
        assert_eq!(sentence(&error), "failed to start: cannot write: disk full");
    }
}
