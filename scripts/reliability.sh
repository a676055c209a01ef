#!/usr/bin/env bash
# Whether docs/reliability.md and the tests agree: a row names the tests that own promises, `file::test` or, in a crate,
# `module::test`; the doc comment of such a test has a line that begins with "Promise 4" or "Promises 4 and 5".
set -euo pipefail
cd "$(dirname "$0")/.."
page=docs/reliability.md

# numbers: of the lines "test: Promises 4, 5 and 9 …" makes "test 4 5 9".
numbers() { sed 's/,/ /g; s/ and / /g' | awk '{ line = $1; for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) line = line " " $i; print line }' | sort; }

# promised FILE MODULE: the tests of a file that own promises.
promised() {
    awk -v module="$2" '
        /^ *\/\/\/ Promises? [0-9]/ { sub(/^ *\/\/\/ Promises? /, ""); sub(/[:.].*/, ""); owned = $0; next }
        /^ *\/\/\// { next }
        /^ *(pub )?fn / { sub(/^ *(pub )?fn /, ""); sub(/[(<].*/, ""); if (owned != "") print module "::" $0, owned; owned = "" }
        !/^ *#/ { owned = "" }' "$1"
}

# What a test of the file is named by.
module_of() { sed 's|.*/tests/||; s|.*/src/||; s|\.rs$||; s|/mod$||; s|/|::|g' <<<"$1"; }

tests() {
    local file
    while IFS= read -r file; do promised "$file" "$(module_of "$file")"; done < <(find crates tests -name '*.rs' | sort)
}

# The rows that have a promise, one line for each test in them.
rows() {
    awk -F ' *\\| *' '$4 ~ /^[0-9]/ && $5 ~ /^`/ { n = split($5, test, /, /); for (i = 1; i <= n; i++) { gsub(/`/, "", test[i]); print test[i], $4 } }' $page
}

wrong=0
listed=$(rows | numbers)
if ! difference=$(diff <(echo "$listed") <(tests | numbers)); then
    echo "$page (<) and the doc comments of the tests (>) differ:" >&2
    grep '^[<>]' <<<"$difference" >&2
    wrong=1
fi
while IFS= read -r promise; do
    cut -d ' ' -f 2- <<<"$listed" | grep -w "$promise" >/dev/null && continue
    echo "$page: no test owns promise $promise" >&2
    wrong=1
done < <(sed -n 's/^\([0-9]*\)\. .*/\1/p' $page)
exit $wrong
