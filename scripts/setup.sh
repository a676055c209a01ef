#!/usr/bin/env bash
# setup.sh [lints|bench|valgrind|nginx-tests|faults]: installs what is missing on Debian and Ubuntu, by their packages;
# elsewhere says what is. Quick when nothing is. With one of the words, also what the target of make that does it needs.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# is_offered PACKAGE [VERSION]: the archives that apt knows have it (in that version).
is_offered() { apt-cache madison "$1" 2>/dev/null | cut -d '|' -f 2 | grep -F " ${2:+$2 }" >/dev/null; }

if ! command -v apt-get >/dev/null; then
    for tool in cc nginx cargo; do
        command -v "$tool" >/dev/null || fail "$tool is missing, and this is neither Debian nor Ubuntu. Please install a" \
            "C compiler, make, libclang, nginx, the headers of OpenSSL, PCRE2 and zlib, and Rust $(rust_minimum) or newer."
    done
    say "This is neither Debian nor Ubuntu: taking libclang and the headers of OpenSSL, PCRE2 and zlib to be there."
    exit 0
fi

updated=
update_once() {
    [ -n "$updated" ] || as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q
    updated=yes
}

# install PACKAGE…: those that are missing, together.
install_missing() {
    local package missing=()
    for package in "$@"; do
        is_installed "$package" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing ${missing[*]}"
    update_once
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}"
}

# nginx's headers: nginx-dev if it is of the version of nginx, else what it takes to get the source package
# (scripts/nginx-source.sh gets it).
install_nginx_source() {
    local package version=
    nginx_dev_fits "$(installed_nginx_version)" && return
    package=$(package_of nginx)
    [ -z "$package" ] || version=$(dpkg-query -W -f '${source:Version}' "$package")
    is_offered nginx || update_once # no lists yet
    if [ -n "$version" ] && is_offered nginx-dev "$version"; then
        install_missing nginx-dev
    else
        install_missing dpkg-dev
    fi
}

# The distribution's default Rust if that is new enough, else one of those it keeps beside it.
install_rust() {
    update_once
    local version
    # Debian up to 12 numbered cargo apart from Rust (0.66 came with 1.63), so rustc's version counts.
    version=$(apt-cache policy rustc | sed -n 's/^ *Candidate: *\([0-9.]*\).*/\1/p')
    if [ -n "$version" ] && version_at_least "$version" "$(rust_minimum)"; then
        install_missing cargo rustc
    elif is_offered cargo-web; then
        install_missing cargo-web rustc-web # Debian keeps these new, for its browsers
    else
        version=$(apt-cache pkgnames cargo-1. | sed -n 's/^cargo-\(1\.[0-9]*\)$/\1/p' | sort -V | tail -n 1)
        [ -z "$version" ] || install_missing "cargo-$version" "rustc-$version" # Ubuntu
    fi
}

# rustfmt and clippy of the Rust there, and shellcheck. The packages of one Rust end alike: cargo, cargo-web, cargo-1.NN.
install_lints() {
    local package
    install_missing shellcheck
    cargo fmt --version >/dev/null 2>&1 && cargo clippy --version >/dev/null 2>&1 && return
    package=$(package_of cargo)
    [ -z "$package" ] || install_missing "rustfmt${package#cargo}" "rust${package#cargo}-clippy"
}

install_missing ca-certificates gcc libc6-dev libclang-dev libpcre2-dev libssl-dev zlib1g-dev
command -v nginx >/dev/null || install_missing nginx
if ! version_at_least "$(installed_nginx_version)" 1.21.5; then
    install_missing libpcre3-dev # nginx knows PCRE2 since 1.21.5
fi
install_nginx_source

find_rust || install_rust || say "These packages could not be installed."
find_rust || fail "Rust $(rust_minimum) or newer is needed, and the packages of this distribution have none." \
    "Please install it with rustup (https://rustup.rs), then try again. Found: $(cargo --version 2>/dev/null || echo no cargo)"
case ${1:-} in
    lints) install_lints ;;
    bench | valgrind) command -v valgrind >/dev/null || install_missing valgrind ;;
    nginx-tests) install_missing perl libio-socket-ssl-perl ;;
    faults) install_missing libfaketime ;; # moves the clock on the wall of one nginx
esac
