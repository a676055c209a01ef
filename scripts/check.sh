#!/usr/bin/env bash
# What has to hold of the sources before they are tested: format, lints, licences, documentation.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"

for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || fail "cargo $tool is missing: it comes with rustup (rustup component" \
        "add rustfmt clippy) and with some distributions' packages (rustfmt, rust-clippy)"
done

say "== format"
cargo fmt --all --check
say "== lints of the crates"
cargo clippy --locked --workspace --exclude tblb --all-targets -- -D warnings
say "== lints of the module"
scripts/build.sh installed clippy
scripts/build.sh vendored clippy
say "== documentation of the crates"
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --workspace --exclude tblb
say "== licences and sources of the dependencies"
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --all-features check licenses bans sources
else
    scripts/licences.sh
fi
if command -v shellcheck >/dev/null; then
    say "== shell scripts"
    find . \( -path ./target -o -path ./.git -o -path ./.real \) -prune -o -name "*.sh" -print0 | xargs -0 shellcheck -x .ci/run
fi
