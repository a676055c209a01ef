#!/usr/bin/env bash
# loom.sh [test|clippy] [ARGUMENT…]: plays the board's words through under loom (crates/core/tests/loom), or lints what does.
# What is built for that lies apart, or all other builds would be thrown away.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"

command=${1:-test}
shift || true
# Only loom itself need be quick, and to have all of it so would take longer than the tests do.
RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom \
    cargo --config profile.dev.package.loom.opt-level=3 "$command" --locked -p tblb-core --test loom "$@"
