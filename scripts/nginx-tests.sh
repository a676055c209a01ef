#!/usr/bin/env bash
# nginx-tests.sh installed|vendored DIRECTORY: runs those of nginx's own tests that touch what the module touches, from
# the checkout of them in DIRECTORY: on that nginx as it is, with least_conn and with tblb least_conn put into every
# upstream. Fails where an assertion turns out otherwise with the module. tests/nginx-tests/ says which tests, what each
# nginx does not pass by itself, and what legitimately differs.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh

suite=${2:-}
[ -n "$suite" ] || fail "NGINX_TESTS= names no directory. nginx's tests are not part of this project. Please get them by" \
    "git clone https://github.com/nginx/nginx-tests ../nginx-tests, then make nginx-tests NGINX_TESTS=../nginx-tests"
[ -f "$suite/lib/Test/Nginx.pm" ] || fail "NGINX_TESTS=$suite has no lib/Test/Nginx.pm: it is no checkout of nginx's tests"
choose_nginx "${1:-}"
[ -x "$nginx" ] || fail "$nginx is absent: nginx's tests need an nginx to run"
[ -f "$directory/$module" ] || fail "$directory/$module is absent: make build"
perl -MTest::More -MIO::Socket::SSL -e 1 2>/dev/null || fail "Perl's Test::More or IO::Socket::SSL is missing: make setup"

# In seconds; the longest test takes 20.
patience=120
number=$(nginx_says -v | sed -n 's|^nginx version: nginx/\([0-9.]*\).*|\1|p')
expected=tests/nginx-tests/nginx-${number%.*}.txt

work=$(mktemp -d)
chmod 755 "$work" # by mktemp it is root's alone, and workers may run as another
declare -A running=()
# timeout hands the signal on to the test and what it has started, all but an nginx that became a daemon.
clean_up() {
    local pid_file
    [ ${#running[@]} -eq 0 ] || kill "${running[@]}" 2>/dev/null || true
    wait
    for pid_file in "$work"/*/tmp/*/nginx.pid*; do
        [ ! -s "$pid_file" ] || kill "$(cat "$pid_file")" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# The tests load all modules that nginx -V calls dynamic, whether they are installed or not.
write_wrapper() {
    cat >"$work/wrapper" <<END
#!/bin/sh
[ "\$1" = -V ] || exec "$nginx" "\$@"
"$nginx" -V 2>&1 | sed 's/--with-[a-z_]*=dynamic//g'
END
    chmod 755 "$work/wrapper"
}

# listed FILE: its lines, less comments and empty ones.
listed() { sed -e '/^#/d' -e '/^ *$/d' "$1"; }

# method_of WAY: what is put into the upstreams.
method_of() {
    case $1 in
    tblb) echo "tblb least_conn; tblb_metrics off;" ;;
    least_conn) echo "least_conn;" ;;
    nginx) ;;
    esac
}

# put_in METHOD <TEST: at the top of each upstream, so that keepalive and sticky come after it, in place of the methods
# that least_conn can stand for. An upstream with another method keeps that, since two methods in one upstream are an error.
put_in() {
    awk -v method="$1" '
        function flush_block() {
            if (!other) sub(/\{/, "{ " method, block[1])
            for (i = 1; i <= lines; i++) if (other || block[i] !~ stands) print block[i]
            lines = 0
        }
        BEGIN { stands = "^ *(least_conn|random( two( least_conn)?)?);$" }
        !lines && /^ *upstream [^ ]+ \{/ { lines = 1; block[1] = $0; other = 0; if (/\}/) flush_block(); next }
        lines { block[++lines] = $0; if (/^ *(ip_hash|hash [^;]*|least_time [^;]*);/) other = 1; if (/^ *\}/) flush_block(); next }
        { print }'
}

# prepare WAY: a directory with the tests as they are run that way.
prepare() {
    local test kind method
    method=$(method_of "$1")
    mkdir -p "$work/$1/tmp" "$work/$1/found"
    cp -R "$suite/lib" "$work/$1/"
    while read -r test kind; do
        [ -f "$suite/$test.t" ] || fail "$suite has no $test.t: it is newer or older than tests/nginx-tests/tests.txt"
        if [ "$1" = nginx ]; then cat "$suite/$test.t"; else put_in "$method" <"$suite/$test.t"; fi >"$work/$1/$test.t"
        [ "$kind" = beside ] || [ "$1" = nginx ] || grep -qF "{ $method" "$work/$1/$test.t" ||
            fail "nothing was put into $test.t: its upstreams are written otherwise than they were"
    done < <(listed tests/nginx-tests/tests.txt)
}

# start WAY TEST: from here to finish it is one of running.
start() {
    local globals="" globals_http=""
    # Else the workers of root's nginx could not write to the files of the test.
    [ "$(id -u)" -ne 0 ] || globals="user root;"
    if [ "$1" = tblb ]; then
        globals+=" load_module $directory/$module;"
        # Nothing answers there, so a poller is at work in all tests, and never troubles their servers.
        globals_http="upstream tblb_beside { zone tblb_beside 256k; tblb; tblb_metrics interval=100ms; server 127.0.0.1:1; }"
    fi
    # A fixed seed keeps the order in which some tests walk their tables the same on all ways.
    PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0 TMPDIR=$work/$1/tmp TEST_NGINX_BINARY=$work/wrapper TEST_NGINX_UNSAFE=1 \
        TEST_NGINX_GLOBALS=$globals TEST_NGINX_GLOBALS_HTTP=$globals_http \
        timeout -k 5 $patience perl "$work/$1/$2.t" >"$work/$1/$2.out" 2>"$work/$1/$2.err" &
    running[$1]=$!
}

# finish WAY TEST: leaves its assertions, and how it ended, in WAY/found/TEST.
finish() {
    local status=0
    wait "${running[$1]}" || status=$?
    unset "running[$1]"
    { grep -E '^(not )?ok |^1\.\.0' "$work/$1/$2.out" || true; echo "exit $status"; } |
        sed "s/^/$2: /" >"$work/$1/found/$2"
}

# differences TEST: how the assertions of the module's run (>) differ from those of nginx as it is (<).
differences() { diff "$work/nginx/found/$1" "$work/tblb/found/$1" | grep '^[<>]' || true; }

# What nginx does not pass or skips by itself; then, for tests whose assertions are the same with least_conn, in what
# both differ from nginx as it is. All other differences go to unexpected.
judge() {
    local test
    for test in "${tests[@]}"; do
        grep -E ': (not ok|1\.\.0|exit [^0])' "$work/nginx/found/$test" | grep -v '# TODO' || true
    done
    for test in "${tests[@]}"; do
        if cmp -s "$work/tblb/found/$test" "$work/least_conn/found/$test"; then
            differences "$test"
        else
            differences "$test" >>"$work/unexpected"
        fi
    done
}

# explain TEST: what it wrote to standard error with the module, which says what failed and where.
explain() {
    say "$1 with the module:"
    sed 's/^/    /' "$work/tblb/$1.err" >&2
}

# compare: the verdict on judged and unexpected.
compare() {
    local test result=0
    if [ ! -f "$expected" ]; then
        say "There is no $expected, so what nginx $number does not pass by itself is taken as it comes:"
        grep -v '^[<>]' "$work/judged" >&2 || true
        grep '^[<>]' "$work/judged" >>"$work/unexpected" || true
    elif ! diff -u --label "$expected" --label found <(listed "$expected" | sort) "$work/judged" >&2; then
        say "This is not what $expected says."
        result=1
    fi
    for test in $(cut -d ' ' -f 2 "$work/unexpected" | tr -d : | sort -u); do explain "$test"; done
    [ ! -s "$work/unexpected" ] || result=1
    return $result
}

# count PATTERN FILE…: the lines of all that match.
count() { cat "${@:2}" | grep -cE "$1" || true; }

write_wrapper
mapfile -t tests < <(listed tests/nginx-tests/tests.txt | cut -d ' ' -f 1)
say "== nginx's own tests on nginx $number"
for way in nginx least_conn tblb; do prepare "$way"; done
for test in "${tests[@]}"; do
    for way in nginx least_conn tblb; do start "$way" "$test"; done
    for way in nginx least_conn tblb; do finish "$way" "$test"; done
    say "$(printf '%-40s %4d assertions' "$test" "$(count ': (not )?ok ' "$work/tblb/found/$test")")"
    differences "$test" >&2
done

: >"$work/unexpected"
judge | sort >"$work/judged"
result=0
compare || result=1
# grep -L fails where it lists all: no line matched.
ran=$({ grep -LE ': (1\.\.0|exit [^0])' "$work"/tblb/found/* || true; } | wc -l)
say "nginx $number: $ran of ${#tests[@]} files ran to their end," \
    "$(count ': (not )?ok ' "$work"/tblb/found/*) assertions, $(count '^>' "$work/unexpected") differ," \
    "$(count '^>' "$work/judged") as with least_conn"
[ $result -eq 0 ]
