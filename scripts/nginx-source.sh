# shellcheck shell=bash
# Read by build.sh after choose-nginx.sh: the source of the installed nginx, configured as that nginx was.

# get_source_package VERSION DIRECTORY: unpacks the source package of the installed nginx, by apt but with lists
# and settings of its own, so that it needs no root and leaves the system's as they are.
get_source_package() {
    local package list apt
    package=$(package_of nginx)
    if [ -z "$package" ] || ! command -v dpkg-source >/dev/null; then
        fail "no source of nginx $1 found. Please name one: make build NGINX_SOURCE_DIR=… NGINX_BUILD_DIR=…"
    fi
    say "Getting the source package of nginx $1"
    rm -rf "$2/apt"
    mkdir -p "$2/apt/lists/partial" "$2/apt/sources.d" "$2/apt/cache/archives/partial"
    apt=$(realpath "$2/apt")
    # The same archives, asked for sources.
    for list in /etc/apt/sources.list /etc/apt/sources.list.d/*.list; do
        [ ! -f "$list" ] || sed -n 's/^deb /deb-src /p' "$list" >>"$apt/sources.list"
    done
    for list in /etc/apt/sources.list.d/*.sources; do
        [ ! -f "$list" ] || sed 's/^Types:.*/Types: deb-src/' "$list" >"$apt/sources.d/$(basename "$list")"
    done
    local options=(-q -o "Dir::Etc::sourcelist=$apt/sources.list" -o "Dir::Etc::sourceparts=$apt/sources.d"
        -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache")
    # An archive without sources fails here though another has them: apt-get source is the judge.
    apt-get "${options[@]}" update || say "Not all archives offer sources."
    (cd "$2" && apt-get "${options[@]}" source "$(dpkg-query -W -f '${source:Package}=${source:Version}' "$package")")
    mv "$2"/nginx-*/ "$2/source"
    rm -r "$apt"
}

# configure_flags: the installed nginx's own, one a line, less what neither the layout of its structures nor a
# module depends on and what may not be here: other modules, and the libraries that some of them need.
configure_flags() {
    local flag
    nginx_says -V | sed -n 's/^configure arguments: //p' | xargs printf '%s\n' | while IFS= read -r flag; do
        case $flag in
        *=dynamic | --add-dynamic-module=* | --add-module=* | --builddir=* | --with-cc=*) ;;
        --with-openssl=* | --with-zlib=* | --with-libatomic=*) ;;
        --with-http_xslt_module | --with-http_image_filter_module | --with-http_geoip_module) ;;
        --with-stream_geoip_module | --with-http_perl_module | --with-google_perftools_module) ;;
        --with-pcre=*) echo --with-pcre ;;
        *) printf '%s\n' "$flag" ;;
        esac
    done
}

# configure_installed_nginx VERSION DIRECTORY: sets NGINX_SOURCE_DIR and NGINX_BUILD_DIR.
configure_installed_nginx() {
    # shellcheck disable=SC2154 # environment.sh sets it
    NGINX_SOURCE_DIR=$nginx_dev_source
    if ! nginx_dev_fits "$1"; then
        NGINX_SOURCE_DIR=$2/source
        [ -d "$2/source" ] || get_source_package "$1" "$2"
    fi
    NGINX_BUILD_DIR=$2/objs
    local flags stamp="$2/configured-as"
    mapfile -t flags < <(configure_flags)
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$NGINX_SOURCE_DIR ${flags[*]}" ]; then
        return
    fi
    say "Configuring nginx $1 as it is installed"
    rm -rf "$stamp" "$NGINX_BUILD_DIR"
    mkdir -p "$NGINX_BUILD_DIR"
    (cd "$NGINX_SOURCE_DIR" && ./configure "${flags[@]}" --builddir="$NGINX_BUILD_DIR") >"$2/configure.log" 2>&1 || {
        tail -n 5 "$2/configure.log" >&2
        fail "nginx's configure failed: see $2/configure.log and $NGINX_BUILD_DIR/autoconf.err"
    }
    printf '%s %s' "$NGINX_SOURCE_DIR" "${flags[*]}" >"$stamp"
}
