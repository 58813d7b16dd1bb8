//! Programs of strangers that need Node: the packages from npm that `tests/node/package.json` pins.
//! Must not install anything outside `tests/.node`; the script it calls says what it needs.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;

use super::run;

/// How long it may take to install the packages.
const SETUP_MAX: Duration = Duration::from_secs(300);

/// Returns a program of a package, run by the Node that is pinned with it; installs both first when
/// they are not there.
pub(crate) async fn node(program: &str) -> Command {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests");
    run(Command::new(tests.join("setup-node.sh")), SETUP_MAX).await.ok();
    let modules = tests.join(".node/node_modules");
    let mut command = Command::new(modules.join("node/bin/node"));
    command.arg(modules.join(program)).env("NO_PROXY", "127.0.0.1");
    command
}
