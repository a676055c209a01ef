# shellcheck shell=bash
# Read by the scripts that build, test and install, after environment.sh: which nginx it is for.

# shellcheck disable=SC2034 # read by the scripts that read this one
module=ngx_http_upstream_tblb_module.so

use_vendored_nginx() {
    version=vendored
    directory=$PWD/target/nginx-vendored
    nginx=$directory/nginx
    unset NGINX_SOURCE_DIR NGINX_BUILD_DIR
    # Beside the crate's own flags, what the end-to-end tests need.
    export NGX_CONFIGURE_ARGS="--with-debug --with-http_auth_request_module --with-http_stub_status_module"
}

# NGINX_VARIANT keeps a build of the same version apart that is made otherwise, as soak.sh does.
use_named_nginx() {
    NGINX_SOURCE_DIR=$(realpath -m "${NGINX_SOURCE_DIR:-$(dirname "$NGINX_BUILD_DIR")}")
    NGINX_BUILD_DIR=$(realpath -m "${NGINX_BUILD_DIR:-$NGINX_SOURCE_DIR/objs}")
    [ -f "$NGINX_SOURCE_DIR/src/core/nginx.h" ] || fail "NGINX_SOURCE_DIR=$NGINX_SOURCE_DIR has no src/core/nginx.h"
    [ -f "$NGINX_BUILD_DIR/ngx_auto_config.h" ] || fail "NGINX_BUILD_DIR=$NGINX_BUILD_DIR is not configured." \
        "In $NGINX_SOURCE_DIR run ./configure --builddir=$NGINX_BUILD_DIR with the configure arguments that nginx -V prints."
    version=$(nginx_source_version "$NGINX_SOURCE_DIR")
    directory=$PWD/target/nginx-$version${NGINX_VARIANT:+-$NGINX_VARIANT}
    nginx=$NGINX_BUILD_DIR/nginx
}

use_installed_nginx() {
    nginx=$(command -v nginx) || fail "nginx is not installed: make setup"
    version=$(installed_nginx_version)
    directory=$PWD/target/nginx-$version
}

# nginx_says OPTION: what the chosen nginx prints for -v or -V, on standard error.
nginx_says() { "$nginx" "$1" 2>&1; }

# choose_nginx installed|vendored sets version, nginx (its binary, which may be absent) and directory (where all that
# is made for it goes); and what nginx-sys reads, except for the installed nginx, which nginx-source.sh looks after.
choose_nginx() {
    case $1 in
    vendored) use_vendored_nginx ;;
    installed) if [ -n "${NGINX_SOURCE_DIR:-}${NGINX_BUILD_DIR:-}" ]; then use_named_nginx; else use_installed_nginx; fi ;;
    *) fail "NGINX=$1 is neither installed nor vendored" ;;
    esac
}
