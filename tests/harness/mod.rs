//! Real processes under test: how they are started, watched, talked to, and ended.
//! Must not know what a test wants of them, nor link anything of Photon but its binary.

mod api;
mod node;
mod planet;
mod ports;
mod process;
mod program;
mod python;
mod region;

use std::fmt::Debug;
use std::time::Duration;

pub(crate) use self::api::{Answer, Api, problem, text};
pub(crate) use self::node::{node, package};
pub(crate) use self::planet::{Planet, PlanetOptions, REGIONS, Wan};
pub(crate) use self::ports::free_ports;
pub(crate) use self::process::{Process, is_alive, peak_memory_bytes, regions_of, signal_to};
pub(crate) use self::program::{Done, photon, run};
pub(crate) use self::python::{beside, python};
pub(crate) use self::region::{Region, RegionOptions, Site};

/// How long anything may take that ought to happen soon.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// How long to wait before asking again whether something has happened.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// Asks until there is an answer, and panics when there is none in time.
pub(crate) async fn eventually<T, F>(what: impl Debug, ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    eventually_within(SOON, what, ask).await
}

/// Asks until there is an answer, and panics when there is none within `patience`.
pub(crate) async fn eventually_within<T, F>(
    patience: Duration,
    what: impl Debug,
    mut ask: impl FnMut() -> F,
) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    let answer = tokio::time::timeout(patience, asking).await;
    answer.unwrap_or_else(|_| panic!("within {patience:?} it never came to: {what:?}"))
}

/// Says what a test cannot do on this machine. Where `PHOTON_TEST_ALL` is set it fails
/// instead: nobody reads what a test that passes says.
pub(crate) fn falls_short(text: &str) {
    assert!(std::env::var_os("PHOTON_TEST_ALL").is_none(), "{text}");
    say(text);
}

/// Says something to whoever reads the output of the test.
#[expect(clippy::print_stderr, reason = "the output of a test is its report")]
pub(crate) fn say(text: &str) {
    eprintln!("{text}");
}
