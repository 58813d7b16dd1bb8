#!/usr/bin/env bash
# Makes tests/.node with what tests/node/package.json pins: the conformance kit of MCP, the clients
# of A2A and MCP for JavaScript, with what the former needs for gRPC, what builds sdk/typescript,
# and a Node of its own for all of them. Quick when it is there.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
    echo "tests/setup-node.sh: $1" >&2
    exit 1
}

stamp=".node/.made-from"
if [ -x node_modules/node/bin/node ] && cmp --silent node/package.json "$stamp"; then
    exit 0
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

if ! command -v npm >/dev/null; then
    command -v apt-get >/dev/null || fail "install npm, then try again"
    echo "installing npm" >&2
    as_root apt-get update -qq && as_root apt-get install -y -qq npm >&2 ||
        fail "cannot install npm: run \`apt-get install npm\` as root, then try again"
fi

echo "making tests/.node" >&2
rm -rf .node
mkdir .node
cp node/package.json .node/
(cd .node && npm install --no-audit --no-fund --no-package-lock --loglevel=error >&2) ||
    fail "cannot install the packages of tests/node/package.json: is npm's registry reachable?"
# Node looks for the packages that a script imports in the folders above the script.
ln -sfn .node/node_modules node_modules
cp node/package.json "$stamp"
