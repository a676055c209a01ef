# shellcheck shell=bash
# Read by the scripts that run tests: parts that run one after the other, and their summary.

# shellcheck source=scripts/environment.sh
. "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh
find_rust || fail "no Rust $(rust_minimum) or newer: make setup"

summary=
passed_in_all=0
failed_in_all=0

# count WORD LOG: the sum of the numbers before WORD in cargo's "test result: ok. 3 passed; 0 failed; …".
count() { sed -n "s/^test result:.* \([0-9]*\) $1;.*/\1/p" "$2" | awk '{ sum += $1 } END { print sum + 0 }'; }

# run_part NAME COMMAND…: a part that runs no test has failed too.
run_part() {
    local name=$1 log result=passed passed failed start=$SECONDS
    mkdir -p target
    log=target/test-$(echo "$1" | tr ' /' '--').log
    shift
    say "== $name"
    "$@" 2>&1 | tee "$log" || result=FAILED
    passed=$(count passed "$log")
    failed=$(count failed "$log")
    if [ "$result" = passed ] && [ "$passed" -eq 0 ]; then
        result="FAILED: no test ran"
    fi
    # A part that broke otherwise than by a test counts as one failure.
    [ "$result" = passed ] || [ "$failed" -gt 0 ] || failed=1
    passed_in_all=$((passed_in_all + passed))
    failed_in_all=$((failed_in_all + failed))
    summary+=$(printf '%-32s %4d passed %4d failed %5d s  %s' "$name" "$passed" "$failed" $((SECONDS - start)) "$result")$'\n'
}

# end_to_end NGINX ARGUMENT…: the end-to-end tests on an nginx, with further arguments of cargo test.
end_to_end() (
    choose_nginx "$1"
    shift
    export TBLB_NGINX=$nginx TBLB_MODULE=$directory/$module TBLB_FAILPOINTS_MODULE=$directory/failpoints/$module
    cargo test --no-fail-fast -p tblb-tests "$@"
)

# sum_up: the summary; fails if a test did.
sum_up() {
    printf '\n%s%d passed, %d failed\n' "$summary" "$passed_in_all" "$failed_in_all"
    [ "$failed_in_all" -eq 0 ]
}
