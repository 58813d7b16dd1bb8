#!/usr/bin/env bash
# Builds the clients of tests/rust into tests/.rust: a minute or two; quick when they are there.
set -euo pipefail
cd "$(dirname "$0")"

CARGO_TARGET_DIR="$PWD/.rust" cargo build --quiet --locked --manifest-path rust/Cargo.toml || {
    echo "tests/setup-rust.sh: cannot build tests/rust: is crates.io reachable?" >&2
    exit 1
}
