#!/usr/bin/env bash
# bench-requests.sh [installed|vendored] [--write | --keep FILE whole|streamed METHOD 2|64]: counts the instructions of a
# request through nginx under callgrind, as a ratio to nginx's own least_conn, and prints a table.
#   --write  also writes docs/results/requests.json, of which docs/algorithms.md is made
#   --keep   counts one case instead (METHOD: nginx_least_conn, least_conn or least_work) and leaves FILE for
#            callgrind_annotate
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"
command -v valgrind >/dev/null || fail "valgrind is missing: make setup"

which=installed
case ${1:-} in
installed | vendored)
    which=$1
    shift
    ;;
esac
scripts/build.sh "$which"
choose_nginx "$which"
export TBLB_NGINX=$nginx TBLB_MODULE=$directory/$module
cargo run --locked -q -p tblb-tests --example request_cost -- "$@"
