//! Programs of strangers that need Node: the packages from npm that `tests/node/package.json` pins.
//! Must not install anything outside `tests/.node`, where `tests/node_modules` leads; the script it
//! calls says what it needs.

use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use super::{beside, run};

/// How long it may take to install the packages.
const SETUP_MAX: Duration = Duration::from_secs(300);

/// Returns the Node that is pinned with the packages; installs all of them first when they are not
/// there.
pub(crate) async fn node() -> Command {
    run(Command::new(beside("setup-node.sh")), SETUP_MAX).await.ok();
    let mut command = Command::new(package("node/bin/node"));
    // Proxies are for the world outside; what speaks gRPC knows the variable in small letters.
    command.env("NO_PROXY", "127.0.0.1").env("no_proxy", "127.0.0.1");
    command
}

/// Returns the path of a file of a package.
pub(crate) fn package(file: &str) -> PathBuf {
    beside("node_modules").join(file)
}
