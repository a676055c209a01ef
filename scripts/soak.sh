#!/usr/bin/env bash
# soak.sh installed|vendored MINUTES [valgrind|asan]: nginx with the module under load and random faults, natively, or
# under valgrind's memcheck, or with the address sanitiser built into nginx and, if there is a nightly Rust, into the
# module. With either checker it is nginx 1.28 of the crate nginx-src, whichever was asked for. Arguments after these go
# to `tblb-sim soak`. What each process held is written to target/soak-TOOL.csv.
# What build_checked sets is for its subshell only.
# shellcheck disable=SC2030,SC2031
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh
# shellcheck source=scripts/checked-nginx.sh
. scripts/checked-nginx.sh
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"

tool=${3:-}
findings=$PWD/target/soak-${tool:-plain}
options=(--minutes "$2" --out "$findings.csv")

# build_checked: the nginx that a checker sees through, and the module for it.
build_checked() (
    configure_checked_nginx "$tool" "$PWD/target/nginx-$tool"
    export NGINX_SOURCE_DIR NGINX_BUILD_DIR NGINX_VARIANT=$tool ASAN_OPTIONS=detect_leaks=0
    [ "$tool" != asan ] || sanitise_rust
    scripts/build.sh installed
)

# wrap COMMAND…: makes the nginx that is run one that runs under a command. What it only says of itself needs none.
wrap() {
    # shellcheck disable=SC2016
    printf '#!/bin/sh\ncase $1 in -[vV]) exec "%s" "$@" ;; esac\nexec %s "%s" "$@"\n' "$nginx" "$*" "$nginx" \
        >"$findings.sh"
    chmod +x "$findings.sh"
    nginx=$findings.sh
}

case $tool in
'')
    choose_nginx "$1"
    [ -x "$nginx" ] || fail "$nginx is absent: there must be an nginx to run"
    ;;
valgrind | asan)
    [ "$tool" = asan ] || command -v valgrind >/dev/null || fail "valgrind is missing: make soak CHECKER=valgrind installs it"
    build_checked
    export NGINX_SOURCE_DIR=$PWD/target/nginx-$tool/source NGINX_VARIANT=$tool
    choose_nginx installed
    rm -rf "$findings"
    # The sanitiser writes what it finds when it finds it, which is in a worker that is root no more.
    mkdir -m 1777 "$findings"
    options+=(--findings "$findings")
    ;;
*) fail "CHECKER=$tool is neither valgrind nor asan" ;;
esac
case $tool in
valgrind)
    # Quiet, it writes only what it finds. Memcheck is some thirty times slower than the machine.
    wrap valgrind -q --leak-check=full --show-leak-kinds=definite --suppressions="$PWD/scripts/valgrind.supp" \
        --gen-suppressions=all --fair-sched=yes --log-file="$findings/%p"
    options+=(--rate 8)
    ;;
asan)
    # What leaks is for valgrind to say, which can leave out what nginx leaks.
    wrap env "ASAN_OPTIONS=log_path=$findings/asan:detect_leaks=0:detect_stack_use_after_return=1:quarantine_size_mb=64"
    options+=(--rate 40)
    ;;
esac
exec nice cargo run --locked --release -p tblb-sim -- soak --nginx "$nginx" --module "$directory/$module" \
    "${options[@]}" "${@:4}"
