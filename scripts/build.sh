#!/usr/bin/env bash
# build.sh installed|vendored [lint|failpoints]: builds the module for an nginx into target/nginx-VERSION (nginx-vendored for
# that of the crate nginx-src, which is built beside it) and prints the line that loads it; or lints it for that nginx;
# or builds the one with failpoints, for tests, into failpoints/ there.
#   NGINX_SOURCE_DIR=… NGINX_BUILD_DIR=…  another nginx than the installed one, configured; either stands for both
#                                         where the build directory is objs/ in the source directory
#   PROFILE=release (the default) or dev
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh
# shellcheck source=scripts/nginx-source.sh
. scripts/nginx-source.sh
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"

purpose=${2:-}
# Failpoints are refused without debug assertions.
[ "$purpose" != failpoints ] || PROFILE=dev
options=(-p tblb --profile "${PROFILE:-release}")

# Does that nginx take the module? It compares its version and flags with those the module was compiled for.
check_loading() {
    local quiet=(-q)
    # Without -e, which came with 1.19.5, nginx first complains of the log it was compiled to write to.
    version_at_least "$version" 1.19.5 && quiet+=(-e stderr)
    printf 'load_module "%s";\npid "%s";\nerror_log stderr;\nevents { }\n' \
        "$built" "$directory/check.pid" >"$directory/check.conf"
    "$nginx" -t "${quiet[@]}" -p "$directory" -c "$directory/check.conf" || fail "$nginx does not load the module"
    rm -f "$directory/check.conf" "$directory/check.pid"
}

choose_nginx "${1:-}"
mkdir -p "$directory"
if [ "$version" = vendored ]; then
    options+=(--features vendored)
elif [ -z "${NGINX_SOURCE_DIR:-}" ]; then
    configure_installed_nginx "$version" "$directory"
fi
export NGINX_SOURCE_DIR NGINX_BUILD_DIR CARGO_TARGET_DIR=$directory/cargo

if [ "$purpose" = lint ]; then
    cargo clippy --locked "${options[@]}" --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" exec cargo doc --locked --no-deps --document-private-items "${options[@]}"
fi

built=$directory/$module
if [ "$purpose" = failpoints ]; then
    options+=(--features failpoints)
    built=$directory/failpoints/$module
    mkdir -p "$directory/failpoints"
fi
say "Building $built"
messages=$(cargo build "${options[@]}" --message-format=json-render-diagnostics)
# said PATTERN: the part in \(…\) of cargo's messages.
said() { printf '%s\n' "$messages" | sed -n "s|.*$1.*|\\1|p"; }

replace_file 644 "$(said "\"\\([^\"]*/lib$module\\)\"")" "$built"
if [ "$version" = vendored ] && [ "$purpose" != failpoints ]; then
    replace_file 755 "$(said '#nginx-sys@.*"out_dir":"\([^"]*\)"')/objs/nginx" "$nginx"
fi
if [ -x "$nginx" ]; then
    check_loading
    say "nginx:  $nginx"
fi
say "module: $built"
say "load it with:"
say "    load_module $built;"
