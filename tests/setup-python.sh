#!/usr/bin/env bash
# Makes tests/.venv with the clients that tests/requirements.txt pins; quick when it is there.
set -euo pipefail
cd "$(dirname "$0")"

fail() {
    echo "tests/setup-python.sh: $1" >&2
    exit 1
}

python="${PYTHON:-python3}"
stamp=".venv/.made-from"
if [ -x .venv/bin/python ] && cat requirements.txt constraints.txt | cmp --silent - "$stamp"; then
    exit 0
fi

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# Debian splits `ensurepip` from Python, so that `import venv` works where `python3 -m venv` fails.
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
    command -v apt-get >/dev/null ||
        fail "\`$python\` has no venv module: install Python 3.10 or later with venv, or set PYTHON"
    echo "installing python3-venv" >&2
    as_root apt-get update -qq && as_root apt-get install -y -qq python3 python3-venv >&2 ||
        fail "cannot install python3-venv: run \`apt-get install python3-venv\` as root, then try again"
fi
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "\`$python\` is older than 3.10: set PYTHON to a later one"

echo "making tests/.venv" >&2
rm -rf .venv
"$python" -m venv .venv || fail "cannot make tests/.venv with \`$python\`"
.venv/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt \
    --constraint constraints.txt ||
    fail "cannot install the packages of tests/requirements.txt: is PyPI reachable?"
cat requirements.txt constraints.txt >"$stamp"
