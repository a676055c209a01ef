#!/usr/bin/env bash
# Makes the pages and plots of docs/results that come from the simulator, as crates/sim/results.toml says.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"
exec cargo run --locked --release -p tblb-sim -- results --out docs/results "$@"
