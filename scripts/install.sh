#!/usr/bin/env bash
# install.sh install|uninstall NGINX: puts the module where that nginx looks for modules, or takes it away. Where
# Debian's and Ubuntu's directories for enabling modules are, it is enabled there too.
#   DESTDIR=…      put all under this directory
#   MODULES_DIR=…  instead of what nginx -V says
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh
[ "${2:-}" != vendored ] || fail "the vendored nginx is there for tests and not installed itself: there is no place for the module"
choose_nginx "${2:-}"
[ -x "$nginx" ] || fail "$nginx is absent, so there is no telling where it looks for modules"

# configured_as OPTION DEFAULT: the value of one of nginx's configure arguments.
configured_as() {
    local value
    value=$(nginx_says -V | sed -n "s/^configure arguments:.* --$1=\([^ ]*\).*/\1/p")
    echo "${value:-$2}"
}
prefix=$(configured_as prefix /usr/local/nginx)
modules_dir=${DESTDIR:-}${MODULES_DIR:-$(configured_as modules-path "$prefix/modules")}
conf_dir=$(dirname "$(configured_as conf-path "$prefix/conf/nginx.conf")")
available=${DESTDIR:-}$conf_dir/modules-available/mod-http-upstream-tblb.conf
enabled=${DESTDIR:-}$conf_dir/modules-enabled/50-mod-http-upstream-tblb.conf

# Under DESTDIR all is the user's; elsewhere it takes root.
run() { if [ -n "${DESTDIR:-}" ]; then "$@"; else as_root "$@"; fi; }

install_module() {
    [ -f "$directory/$module" ] || fail "$directory/$module is absent: make build"
    run mkdir -p "$modules_dir"
    replace_file 644 "$directory/$module" "$modules_dir/$module"
    say "installed: $modules_dir/$module"
}

enable_module() {
    local line="load_module ${modules_dir#"${DESTDIR:-}"}/$module;"
    if [ ! -d "$conf_dir/modules-enabled" ]; then
        say "Put this line at the top of nginx.conf:"
        say "    $line"
        return
    fi
    echo "$line" >"$directory/enable.conf"
    run mkdir -p "$(dirname "$available")" "$(dirname "$enabled")"
    replace_file 644 "$directory/enable.conf" "$available"
    run ln -sfn "../modules-available/$(basename "$available")" "$enabled"
    say "enabled:   $enabled"
}

# remove_empty DIRECTORY: and those above that are then empty, as install made them. A package's own stays.
remove_empty() {
    local made=$1
    while ! dpkg-query -S "$made" >/dev/null 2>&1 && run rmdir "$made" 2>/dev/null; do
        made=$(dirname "$made")
    done
}

remove_all() {
    local file
    for file in "$enabled" "$available" "$modules_dir/$module"; do
        run rm -f "$file"
        remove_empty "$(dirname "$file")"
    done
    say "removed:   $modules_dir/$module"
}

case ${1:-} in
install)
    install_module
    enable_module
    say "A running nginx takes it after a restart; on a reload it keeps the module it has."
    ;;
uninstall) remove_all ;;
*) fail "install.sh: neither install nor uninstall" ;;
esac
