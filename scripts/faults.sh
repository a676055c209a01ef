#!/usr/bin/env bash
# Runs the end-to-end tests that take long, on the installed nginx and on the vendored one; the modules for both are
# built already. Ends with a summary.
# shellcheck source=scripts/parts.sh
. "$(dirname "$0")/parts.sh"

run_part "faults, installed nginx" end_to_end installed -- --ignored
run_part "faults, vendored nginx" end_to_end vendored -- --ignored
sum_up
