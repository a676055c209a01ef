#!/usr/bin/env bash
# cargo.sh ARGUMENTS…: cargo, found where setup.sh may have put it.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"
exec cargo "$@"
