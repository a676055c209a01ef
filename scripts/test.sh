#!/usr/bin/env bash
# Runs the crates' tests, those of the board under loom, then the end-to-end tests on the installed nginx and on the
# vendored one; the modules for both are built already. Ends with a summary.
# shellcheck source=scripts/parts.sh
. "$(dirname "$0")/parts.sh"

run_part "crates" cargo test --no-fail-fast --workspace --exclude tblb --exclude tblb-tests
run_part "board under loom" scripts/loom.sh
run_part "end to end, installed nginx" end_to_end installed
run_part "end to end, vendored nginx" end_to_end vendored
sum_up
