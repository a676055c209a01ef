#!/usr/bin/env bash
# live.sh installed|vendored: plays both pools through that nginx with the module that is built for it, in real time, and
# writes what came of it into docs/results/live.md. Arguments after the first go to `tblb-sim live`.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"
choose_nginx "${1:-}"
[ -x "$nginx" ] || fail "$nginx is absent: there must be an nginx to run"
exec cargo run --release -p tblb-sim -- live --nginx "$nginx" --module "$directory/$module" \
    --out docs/results/live.md "${@:2}"
