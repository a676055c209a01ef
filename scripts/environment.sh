# shellcheck shell=bash
# Read by the other scripts: where the tools and the nginx of this machine are.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# make hands its own variables (NGINX=vendored, -j) down to every make below it, so to nginx's own build too.
# nginx takes a variable NGINX for the sockets that a former nginx left to it.
unset NGINX
unset MAKEFLAGS MFLAGS MAKEOVERRIDES MAKELEVEL
# With any of these set, the crate nginx-src downloads another version than the one it carries.
unset NGX_VERSION OPENSSL_VERSION PCRE2_VERSION ZLIB_VERSION

# Debian keeps nginx in /usr/sbin, which is not in the PATH of a user who is not root; rustup puts cargo where
# only a new login finds it.
PATH=$PATH:/usr/local/sbin:/usr/sbin:${CARGO_HOME:-${HOME:-/root}/.cargo}/bin

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "error: $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        fail "this has to be run as root, and there is no sudo: $*"
    fi
}

# run COMMAND…: for the files of this directory as the user; install.sh has its own for those of the system.
run() { "$@"; }

# replace_file MODE FROM TO: whole or not at all, and a process that has mapped TO keeps what it mapped: writing
# into a module that nginx has loaded crashes its master and its workers.
replace_file() {
    run install -m "$1" "$2" "$3.new"
    run mv "$3.new" "$3"
}

# version_at_least VERSION MINIMUM
version_at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

rust_minimum() { sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml; }

# rust_is_new_enough DIRECTORY: cargo and rustc there are at least what Cargo.toml asks for.
rust_is_new_enough() {
    local tool version
    for tool in cargo rustc; do
        [ -x "$1/$tool" ] || return 1
        # "cargo 1.85.0 (d73d2caf9 2024-12-31)"
        version=$("$1/$tool" --version 2>/dev/null | cut -d ' ' -f 2)
        [ -n "$version" ] && version_at_least "$version" "$(rust_minimum)" || return 1
    done
}

# Puts a cargo that is new enough first in PATH: the one there, or one of Ubuntu's versioned packages, which are
# never the default. Fails if there is none.
find_rust() {
    local directory
    directory=$(dirname "$(command -v cargo || echo /nowhere/cargo)")
    rust_is_new_enough "$directory" && return
    for directory in $(printf '%s\n' /usr/lib/rust-1.*/bin | sort -Vr); do
        if rust_is_new_enough "$directory"; then
            PATH=$directory:$PATH
            return
        fi
    done
    return 1
}

installed_nginx_version() { nginx -v 2>&1 | sed -n 's|^nginx version: nginx/\([0-9.]*\).*|\1|p'; }

# nginx_source_version SOURCE_DIR
nginx_source_version() { sed -n 's/^#define NGINX_VERSION *"\(.*\)"$/\1/p' "$1/src/core/nginx.h"; }

# package_of COMMAND: the Debian package that it belongs to; empty if it was installed by hand.
package_of() { dpkg-query -S "$(realpath "$(command -v "$1")")" 2>/dev/null | cut -d : -f 1 || true; }

# Where nginx-dev puts nginx's headers and its configure.
nginx_dev_source=/usr/share/nginx/src

# nginx_dev_fits VERSION: nginx-dev is installed, and it is that of nginx VERSION.
nginx_dev_fits() {
    [ -f $nginx_dev_source/src/core/nginx.h ] && [ "$(nginx_source_version $nginx_dev_source)" = "$1" ]
}
