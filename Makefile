# `make help` lists the targets. Each does the set-up that it needs, given Rust and Debian or Ubuntu.

ARGS  ?=
SEEDS ?= 1000
SECONDS := 600
N     ?= 20
NEXTEST := 0.9.143
FUZZ_VERSION := 0.13.2
FUZZ  := $(abspath fuzz/target)
SUDO  := $(if $(filter 0,$(shell id -u)),,sudo)

.DEFAULT_GOAL := help
.PHONY: up test sim lint bench detect e2e drills fuzz fmt release help linker nextest python node

up: linker ## start a planet on this machine: make up ARGS="--fresh"
	cargo build --release -p photon
	exec target/release/photon up $(ARGS)

test: linker nextest python node ## pass all tests, and the rules of the house; PHOTON_TEST_ALL=1 lets none do less
	cargo run --quiet -p xtask -- tidy
	cargo nextest run --workspace
	cargo test --quiet --workspace --doc

sim: linker ## simulate planets, one for each seed: make sim SEEDS=1000
	cargo run --release -p photon -- simulate --seeds $(SEEDS)

lint: linker ## check format, lints, licences and sources
	cargo fmt --all --check
	cargo fmt --manifest-path fuzz/Cargo.toml --check
	cargo fmt --manifest-path bench/detect/Cargo.toml --check
	cargo clippy --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null; then cargo deny check; \
	else echo "cargo-deny is not installed: licences and sources go unchecked"; fi

bench: linker ## measure side by side with real peers: make bench ARGS="..."
	cargo build --release -p photon
	cargo run --release -p photon-bench -- $(ARGS)

# The peers that it measures are no part of Photon's build: it has a lock and a folder of its own.
detect: linker ## measure how soon a lost region is noticed: make detect ARGS="--rtt FILE"
	cargo run --release --locked --manifest-path bench/detect/Cargo.toml --target-dir target/detect -- $(ARGS)

e2e: linker nextest python node ## run only the tests that start real planets
	cargo nextest run --workspace --filterset 'package(photon) & kind(test)'

drills: linker ## kill and stall regions of a planet under load, N times each: make drills N=20
	cargo build --release -p photon
	tests/drills.sh target/release/photon $(N)

# Coverage is a flag that stable compilers have, but hide; sanitizers, which they lack, would find nothing
# more in code without `unsafe`.
fuzz: linker ## feed bytes of strangers to logs, links, requests and workers, one after the other: make fuzz SECONDS=600
	@command -v cargo-fuzz >/dev/null || cargo install cargo-fuzz --locked --version $(FUZZ_VERSION)
	@for target in log link api rpc rest worker; do \
	  echo "== $$target for $(SECONDS) s"; \
	  RUSTC_BOOTSTRAP=1 CARGO_TARGET_DIR=$(FUZZ) cargo fuzz run -s none $$target -- \
	    -max_total_time=$(SECONDS) -max_len=65536 -rss_limit_mb=2048 -timeout=20 -print_final_stats=1 || exit 1; \
	done

fmt: ## format all code
	cargo fmt --all
	cargo fmt --manifest-path fuzz/Cargo.toml
	cargo fmt --manifest-path bench/detect/Cargo.toml

release: linker ## build the binary as it is shipped, with its checksum
	cargo build --release --locked -p photon
	cd target/release && sha256sum photon | tee photon.sha256 && ls -l photon

help: ## list the targets
	@grep -E '^[a-z0-9]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

# Rust links with the system's C compiler, which a fresh Debian lacks.
linker:
	@command -v cc >/dev/null || { $(SUDO) apt-get update -qq && $(SUDO) apt-get install -y -qq build-essential; }

nextest: linker
	@command -v cargo-nextest >/dev/null || cargo install cargo-nextest --locked --version $(NEXTEST)

python:
	@tests/setup-python.sh

node:
	@tests/setup-node.sh
