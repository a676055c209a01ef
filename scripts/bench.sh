#!/usr/bin/env bash
# Measures the core by time (criterion) and by instructions (callgrind) into docs/results/bench.json, and requests through
# nginx by instructions into docs/results/requests.json; and makes docs/algorithms.md anew with that. The machine should be
# idle.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"
command -v valgrind >/dev/null || fail "valgrind is missing: make setup"

cargo bench --locked -p tblb-core --bench core
cargo bench --locked -p tblb-core --bench costs
scripts/bench-requests.sh "${1:-installed}" --write
TBLB_REWRITE=yes cargo test --locked -q -p tblb-core --test algorithms_page
