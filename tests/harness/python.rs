//! Clients of strangers: the packages from PyPI that `tests/requirements.txt` pins.
//! Must not install anything outside `tests/.venv`; the script it calls says what it needs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use super::run;

/// How long it may take to install the packages.
const SETUP_MAX: Duration = Duration::from_secs(300);

/// Returns a program of the virtual environment; makes that first when it is not there.
pub(crate) async fn python(program: &str) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    run(Command::new(tests.join("setup-python.sh")), SETUP_MAX).await.ok();
    let mut command = Command::new(tests.join(".venv/bin").join(program));
    // Proxies are for the world outside, and nothing of a run should stay behind.
    command.env("NO_PROXY", "127.0.0.1").env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Returns the path of a file in `tests`.
pub(crate) fn beside(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests").join(name)
}
