#!/usr/bin/env bash
# build.sh installed|vendored [clippy]: builds the module for an nginx into target/nginx-VERSION (nginx-vendored for
# that of the crate nginx-src, which is built beside it) and prints the line that loads it; or lints it for that nginx.
#   NGINX_SOURCE_DIR=… NGINX_BUILD_DIR=…  another nginx than the installed one, configured; either stands for both
#                                         where the build directory is objs/ in the source directory
#   PROFILE=release (the default) or dev
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/nginx-source.sh
. scripts/nginx-source.sh
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"

module=ngx_http_upstream_tblb_module.so
options=(-p tblb --profile "${PROFILE:-release}")

# Each use_…_nginx sets version, nginx (its binary, which may be absent) and directory (where all goes).

use_vendored_nginx() {
    version=vendored
    directory=$PWD/target/nginx-vendored
    nginx=$directory/nginx
    options+=(--features vendored)
    unset NGINX_SOURCE_DIR NGINX_BUILD_DIR
    # Beside the crate's own flags, what the end-to-end tests need.
    export NGX_CONFIGURE_ARGS="--with-debug --with-http_auth_request_module --with-http_stub_status_module"
}

use_named_nginx() {
    NGINX_SOURCE_DIR=$(realpath -m "${NGINX_SOURCE_DIR:-$(dirname "$NGINX_BUILD_DIR")}")
    NGINX_BUILD_DIR=$(realpath -m "${NGINX_BUILD_DIR:-$NGINX_SOURCE_DIR/objs}")
    [ -f "$NGINX_SOURCE_DIR/src/core/nginx.h" ] || fail "NGINX_SOURCE_DIR=$NGINX_SOURCE_DIR has no src/core/nginx.h"
    [ -f "$NGINX_BUILD_DIR/ngx_auto_config.h" ] || fail "NGINX_BUILD_DIR=$NGINX_BUILD_DIR is not configured." \
        "In $NGINX_SOURCE_DIR run ./configure --builddir=$NGINX_BUILD_DIR with the configure arguments that nginx -V prints."
    version=$(nginx_source_version "$NGINX_SOURCE_DIR")
    directory=$PWD/target/nginx-$version
    nginx=$NGINX_BUILD_DIR/nginx
}

use_installed_nginx() {
    nginx=$(command -v nginx) || fail "nginx is not installed: make setup"
    version=$(installed_nginx_version)
    directory=$PWD/target/nginx-$version
    mkdir -p "$directory"
    configure_installed_nginx "$version" "$directory"
}

# Does that nginx take the module? It compares its version and flags with those the module was compiled for.
check_loading() {
    local quiet=(-q)
    # Without -e, which came with 1.19.5, nginx first complains of the log it was compiled to write to.
    version_at_least "$version" 1.19.5 && quiet+=(-e stderr)
    printf 'load_module "%s";\npid "%s";\nevents { }\n' \
        "$directory/$module" "$directory/check.pid" >"$directory/check.conf"
    "$nginx" -t "${quiet[@]}" -p "$directory" -c "$directory/check.conf" || fail "$nginx does not load the module"
    rm -f "$directory/check.conf" "$directory/check.pid"
}

case ${1:-} in
vendored) use_vendored_nginx ;;
installed) if [ -n "${NGINX_SOURCE_DIR:-}${NGINX_BUILD_DIR:-}" ]; then use_named_nginx; else use_installed_nginx; fi ;;
*) fail "NGINX=${1:-} is neither installed nor vendored" ;;
esac
export NGINX_SOURCE_DIR NGINX_BUILD_DIR CARGO_TARGET_DIR=$directory/cargo

if [ "${2:-}" = clippy ]; then
    exec cargo clippy "${options[@]}" --all-targets -- -D warnings
fi

say "Building $module in $directory"
messages=$(cargo build "${options[@]}" --message-format=json-render-diagnostics)
# said PATTERN: the part in \(…\) of cargo's messages.
said() { printf '%s\n' "$messages" | sed -n "s|.*$1.*|\\1|p"; }

replace_file 644 "$(said "\"\\([^\"]*/lib$module\\)\"")" "$directory/$module"
if [ "$version" = vendored ]; then
    replace_file 755 "$(said '#nginx-sys@.*"out_dir":"\([^"]*\)"')/objs/nginx" "$nginx"
fi
if [ -x "$nginx" ]; then
    check_loading
    say "nginx:  $nginx"
fi
say "module: $directory/$module"
say "load it with:"
say "    load_module $directory/$module;"
