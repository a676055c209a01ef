#!/usr/bin/env bash
# demo.sh installed|vendored: runs the demo on that nginx, with the module that is built for it.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"
choose_nginx "${1:-}"
[ -x "$nginx" ] || fail "$nginx is absent: the demo needs an nginx to run"
exec cargo run --release -p tblb-sim -- demo --nginx "$nginx" --module "$directory/$module"
