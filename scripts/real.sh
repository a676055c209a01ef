#!/usr/bin/env bash
# real.sh installed|vendored: runs that nginx with the module before two real vLLM servers, which tests/real/setup.sh
# has installed, and writes what was measured into docs/results/.
# shellcheck source=scripts/environment.sh
. "$(dirname "$0")/environment.sh"
# shellcheck source=scripts/choose-nginx.sh
. scripts/choose-nginx.sh
choose_nginx "${1:-}"
exec .real/vllm/bin/python tests/real/run.py --nginx "$nginx" --module "$directory/$module" --out docs/results/real-vllm.md
