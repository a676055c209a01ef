#!/usr/bin/env bash
# links.sh PAGE…: every link of these Markdown pages that stays among the project's files leads to one, and to a
# heading in it if it names one. Links to other sites are not followed.
# shellcheck disable=SC2016 # the backquotes are Markdown's
set -euo pipefail

# without_blocks PAGE: without its blocks of code, where # and brackets mean something else.
without_blocks() { sed '/^ *```/,/^ *```/d' "$1"; }

links() { without_blocks "$1" | sed 's/`[^`]*`//g' | grep -o '](\([^)]*\))' | sed 's/^](//; s/)$//; /^[a-z]*:/d'; }

# has_heading PAGE ANCHOR: an anchor is the heading in small letters, with a dash for each space and no punctuation.
has_heading() {
    without_blocks "$1" | sed -n 's/^##* //p' | tr '[:upper:]' '[:lower:]' | sed 's/[^[:alnum:] _-]//g; s/ /-/g' |
        grep -xF -- "$2" >/dev/null
}

# leads_somewhere PAGE LINK
leads_somewhere() {
    local file=${2%%#*} page=$1
    [ -z "$file" ] || page=$(dirname "$1")/$file
    [ -e "$page" ] || return
    [ "$file" = "$2" ] || has_heading "$page" "${2#*#}"
}

broken=0
for page in "$@"; do
    while IFS= read -r link; do
        leads_somewhere "$page" "$link" && continue
        echo "$page: the link to \"$link\" leads nowhere" >&2
        broken=1
    done < <(links "$page")
done
exit $broken
