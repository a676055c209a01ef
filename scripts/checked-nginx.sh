# shellcheck shell=bash
# Read by soak.sh after environment.sh: an nginx whose every allocation a checker sees, of the source that the crate
# nginx-src brings.

# configure_checked_nginx TOOL DIRECTORY: sets NGINX_SOURCE_DIR and NGINX_BUILD_DIR, and builds that nginx there.
# With NGX_DEBUG_PALLOC each piece of a pool is an allocation of its own, so that running over its end is seen.
configure_checked_nginx() {
    local carried compiler="-g -O1 -fno-omit-frame-pointer -DNGX_DEBUG_PALLOC=1" linker="-Wl,-E"
    carried=$(cargo metadata --locked --format-version 1 --features tblb/vendored --filter-platform "$(rust_target)" |
        sed 's/.*"manifest_path":"\([^"]*nginx-src-[^"]*\)\/Cargo.toml".*/\1/')
    [ -f "$carried/nginx/src/core/nginx.h" ] || fail "the crate nginx-src is not where cargo says: $carried"
    if [ "$1" = asan ]; then
        compiler+=" -fsanitize=address"
        linker+=" -fsanitize=address"
    fi
    # shellcheck disable=SC2034
    NGINX_SOURCE_DIR=$2/source
    NGINX_BUILD_DIR=$2/source/objs
    [ ! -x "$NGINX_BUILD_DIR/nginx" ] || return 0
    say "Building nginx for $1 in $2"
    rm -rf "$2/source"
    mkdir -p "$2"
    cp -r "$carried/nginx" "$2/source"
    # configure runs what it builds, and none of that frees its memory.
    (
        cd "$2/source"
        export ASAN_OPTIONS=detect_leaks=0
        auto/configure --with-compat --with-debug --with-threads --with-http_ssl_module --with-http_v2_module \
            --with-cc-opt="$compiler" --with-ld-opt="$linker"
        make -j "$(nproc)"
    ) >"$2/build.log" 2>&1 || {
        tail -n 20 "$2/build.log" >&2
        fail "nginx could not be built: see $2/build.log"
    }
}

rust_target() { rustc -vV | sed -n 's/^host: //p'; }

# sanitise_rust: has cargo build the module with the address sanitiser too, where there is a nightly Rust, which alone
# can do that. Without it the sanitiser sees what the module allocates and frees, and what nginx and libc read and write.
sanitise_rust() {
    local nightly=${FUZZ_TOOLCHAIN:-nightly}
    if cargo "+$nightly" --version >/dev/null 2>&1; then
        RUSTUP_TOOLCHAIN=$nightly
        CARGO_BUILD_TARGET=$(rust_target)
        RUSTFLAGS="-Zsanitizer=address"
        export RUSTUP_TOOLCHAIN CARGO_BUILD_TARGET RUSTFLAGS
    else
        say "There is no nightly Rust, so only nginx itself is built with the address sanitiser."
    fi
}
