#!/usr/bin/env bash
# A plain stand-in for `cargo deny check licenses sources`, which takes minutes to install: every dependency comes from
# crates.io, and the licence expression of each can be met by the licences that deny.toml allows.
# licences.sh MANIFEST: those of the workspace of that Cargo.toml.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"

elsewhere=$(sed -n 's/^source = "\(.*\)"$/\1/p' "$(dirname "$1")/Cargo.lock" | sort -u | sed '\|^registry+https://github.com/rust-lang/crates.io-index$|d')
[ -z "$elsewhere" ] || fail "dependencies that are not from crates.io: $elsewhere"

mapfile -t allowed < <(sed -n '/^allow = \[/,/^\]/s/^ *"\(.*\)",$/\1/p' deny.toml)

is_allowed() { printf '%s\n' "${allowed[@]}" | grep -xF "$1" >/dev/null; }

# is_met EXPRESSION: with each licence replaced by 1 (allowed) or 0, an SPDX expression is one of arithmetic.
is_met() {
    local words word arithmetic=
    # "MIT/Apache-2.0" is an old form of "MIT OR Apache-2.0"; "X WITH Y" is a licence of its own.
    # shellcheck disable=SC2001 # three replacements read better in sed
    words=$(sed 's|/| OR |g; s/ WITH /_WITH_/g; s/[()]/ & /g' <<<"$1")
    for word in $words; do
        case $word in
        OR) arithmetic+='||' ;;
        AND) arithmetic+='&&' ;;
        '(' | ')') arithmetic+=$word ;;
        *) arithmetic+=$(is_allowed "$word" && echo 1 || echo 0) ;;
        esac
    done
    [ $((${arithmetic:-0})) -eq 1 ]
}

licences=$(cargo tree --manifest-path "$1" --locked --workspace --all-features --edges normal,build,dev --prefix none --format '{l}|{p}')
rejected=0
while IFS='|' read -r licence package; do
    is_met "$licence" || {
        say "licence \"$licence\" of $package is not among those that deny.toml allows"
        rejected=1
    }
done < <(sed 's/ (\*)$//; /^$/d' <<<"$licences" | sort -u)
[ $rejected -eq 0 ] && say "licences ok, sources ok"
