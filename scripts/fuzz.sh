#!/usr/bin/env bash
# fuzz.sh [SECONDS] [TARGET…]: looks for inputs that break the core, so long for each target (all of fuzz/targets unless
# some are named). What it tried stays in target/fuzz/corpus and is where the next run goes on; what broke something is
# in target/fuzz/artifacts, and ends the run.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"

seconds=${1:-60}
shift || true
toolchain=${FUZZ_TOOLCHAIN:-nightly}
cargo "+$toolchain" --version >/dev/null 2>&1 || fail "fuzzing needs a nightly toolchain, which rustup installs" \
    "(rustup toolchain install nightly); another name than nightly goes into FUZZ_TOOLCHAIN"
command -v c++ >/dev/null || fail "fuzzing needs a C++ compiler, for libFuzzer: the package g++ or clang"
cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
    for file in fuzz/targets/*.rs; do targets+=("$(basename "$file" .rs)"); done
fi
for target in "${targets[@]}"; do
    say "== $target"
    mkdir -p "target/fuzz/corpus/$target" "target/fuzz/artifacts/$target"
    cargo "+$toolchain" fuzz run --target-dir target/fuzz "$target" \
        "target/fuzz/corpus/$target" crates/core/corpus -- -max_total_time="$seconds" -timeout=10 -print_final_stats=1 \
        -artifact_prefix="target/fuzz/artifacts/$target/"
done
