#!/usr/bin/env bash
# What has to hold of the sources before they are tested: format, lints, licences, documentation.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"

# sources PATTERN: the project's own files of that name, each ended by a NUL.
sources() { find . \( -path ./target -o -path ./.git -o -path ./.real \) -prune -o -name "$1" -print0; }

for tool in fmt clippy; do
    cargo "$tool" --version >/dev/null 2>&1 || fail "cargo $tool is missing: it comes with rustup (rustup component" \
        "add rustfmt clippy) and with some distributions' packages (rustfmt, rust-clippy)"
done

say "== format"
cargo fmt --all --check
cargo fmt --manifest-path fuzz/Cargo.toml --check
say "== lints of the crates"
cargo clippy --locked --workspace --exclude tblb --all-targets -- -D warnings
scripts/loom.sh clippy -- -D warnings
# No library is linked for lints, so that they need neither libFuzzer nor the C++ compiler that it is built with.
CUSTOM_LIBFUZZER_PATH=none/libfuzzer.a cargo clippy --locked --manifest-path fuzz/Cargo.toml --target-dir target/fuzz-lints \
    --all-targets -- -D warnings
say "== lints and documentation of the module"
scripts/build.sh installed lint
scripts/build.sh vendored lint
say "== failpoints are refused in a release"
refused=$(cargo check --locked --release -p tblb-core --features failpoints 2>&1 || true)
grep -q "failpoints are for tests" <<<"$refused" || fail "a build without debug assertions takes the feature failpoints:" "$refused"
say "== documentation"
sources "*.md" | xargs -0 scripts/links.sh
scripts/reliability.sh
RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps --document-private-items --workspace --exclude tblb
say "== licences and sources of the dependencies"
if cargo deny --version >/dev/null 2>&1; then
    cargo deny --all-features check licenses bans sources
    cargo deny --manifest-path fuzz/Cargo.toml --config deny.toml check licenses sources
else
    scripts/licences.sh Cargo.toml
    scripts/licences.sh fuzz/Cargo.toml
fi
if command -v shellcheck >/dev/null; then
    say "== shell scripts"
    sources "*.sh" | xargs -0 shellcheck -x .ci/run
fi
