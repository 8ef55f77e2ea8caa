# What people run is what CI runs. `make help` lists the targets.
#
# Build output and downloaded tools live outside the clone, so that a second clone is fast.

CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/roomtape
export CARGO_TARGET_DIR ?= $(CACHE)/target
export ROOMTAPE_PLAYWRIGHT ?= $(CACHE)/node
TOOLS := $(CACHE)/tools
DENY_VERSION := 0.20.2
# A server for tests, a process beside ours: its licence (AGPL) does not touch what we build.
GARAGE_VERSION := 2.5.0
export ROOMTAPE_GARAGE ?= $(TOOLS)/bin/garage
# The newest that Debian 12's Node.js (18) runs.
PLAYWRIGHT_VERSION := 1.61.1
PLAYWRIGHT := $(ROOMTAPE_PLAYWRIGHT)/installed-$(PLAYWRIGHT_VERSION)
# Tests that need not run on the second pair (PostgreSQL and Garage instead of SQLite and a folder):
# they touch neither, or run on both anyhow.
ON_ONE_PAIR := accuracy:: browser:: caption:: cli:: cmaf:: cluster:: conformance:: demo:: engine:: \
	hostile:: outage::nothing_is_lost parse:: stale:: store::
FUZZ_SECONDS ?= 20
DEMO ?=

.PHONY: help demo test lint fmt doc deny walls fuzz bench chaos soak build packages-build packages-test
.DEFAULT_GOAL := help

help: ## this list
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: packages-build ## a live room, recorded, transcribed and replayed: open the address it prints (DEMO='--speed 4')
	cargo run --quiet -- demo $(DEMO)

test: packages-test $(ROOMTAPE_GARAGE) $(PLAYWRIGHT) ## every test, real peers included (ffmpeg, Janus, Liquidsoap, Chromium, Garage, PostgreSQL)
	cargo test --workspace
	ROOMTAPE_TEST_PAIR=postgres cargo test --workspace --tests -- $(ON_ONE_PAIR:%=--skip %)

lint: packages-build fmt walls ## formatting, clippy, documentation, licences, the house plan's walls
	cargo clippy --workspace --all-targets -- -D warnings
	$(MAKE) doc deny

fmt: ## formatting as it must be
	cargo fmt --all --check

doc: ## documentation without warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items

deny: $(TOOLS)/bin/cargo-deny ## licences, sources and duplicate bans of every dependency
	$(TOOLS)/bin/cargo-deny --log-level error --config .ci/deny.toml check bans licenses sources

walls: ## stages do not reach past their neighbours
	.ci/walls

fuzz: packages-build ## each fuzz target for FUZZ_SECONDS, eight side by side
	fuzz/run $(FUZZ_SECONDS)

bench: packages-test ## what a claim and a room cost; speed against whisper.cpp and faster-whisper (WHISPER_CLI=…/whisper-cli PEER_PYTHON=…/python)
	cargo bench --profile dev --bench claims
	cargo bench --profile dev --bench rooms
	cargo bench --profile dev --bench scale
	cargo bench --bench transcribe

chaos: packages-test $(ROOMTAPE_GARAGE) ## kill -9 and a storm of faults under live rooms, everything compared (CHAOS_KILLS=20 CHAOS_STORM_S=60 CHAOS_ROOMS=10 CHAOS_SEED= CHAOS_PAIR=postgres|sqlite)
	cargo bench --workspace --profile dev --bench chaos -- kills
	cargo bench --workspace --profile dev --bench chaos -- storm

soak: packages-test $(ROOMTAPE_GARAGE) ## memory and every packet over a long time (SOAK_MINUTES=60 SOAK_ROOMS=50 CHAOS_PAIR=postgres|sqlite)
	cargo bench --workspace --profile dev --bench chaos -- soak

build: packages-build ## the optimised binary
	cargo build --release

packages-build:
	@.ci/packages build

packages-test:
	@.ci/packages test

$(TOOLS)/bin/cargo-deny:
	cargo install cargo-deny --version $(DENY_VERSION) --locked --debug --root $(TOOLS)

# About five minutes on two cores. Its build output is large and of no further use.
$(TOOLS)/bin/garage:
	CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_CODEGEN_UNITS=64 \
	CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_LTO=off \
	CARGO_TARGET_DIR=$(CACHE)/garage-build cargo install garage --version $(GARAGE_VERSION) --locked \
	  --no-default-features --features bundled-libs,lmdb --root $(TOOLS)
	rm -rf $(CACHE)/garage-build

$(PLAYWRIGHT):
	npm install --silent --no-audit --no-fund --prefix $(ROOMTAPE_PLAYWRIGHT) playwright-core@$(PLAYWRIGHT_VERSION)
	touch $@
