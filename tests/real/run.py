"""The run before two real vLLM servers: nginx with the module, `vllm bench serve` as the client.

Usage (after tests/real/setup.sh, by `make real`):
    .real/vllm/bin/python tests/real/run.py --module MODULE.so [--nginx PATH] [--out docs/results/real-vllm.md]

Without --module it rehearses: nginx's own least_conn, no status. Exit code 1 when a request failed or the status showed
a number that the engine had not reported.
"""

import argparse
import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from part import faults, run_part
from processes import Failure, engine, wait_ready
from report import document

# Paths in commands are relative to the checkout, so that the document can quote them.
ROOT = Path(__file__).resolve().parents[2]
REAL = Path(".real")

# Slots (requests that run at once) and KV blocks of 32 tokens of each engine. They are unequal so that the engines
# report different numbers: a status that mixed them up would show. A slot has
# 25 blocks, and the longest request takes 15.
ENGINES = [(4, 100), (2, 50)]


def parse_arguments():
    parser = argparse.ArgumentParser(description="Balance two real vLLM servers and compare what the status shows.")
    parser.add_argument("--module", help="ngx_http_upstream_tblb_module.so; without it, a rehearsal without the module")
    parser.add_argument("--nginx", default=shutil.which("nginx") or "/usr/sbin/nginx", help="the nginx to run")
    parser.add_argument(
        "--policy",
        action="append",
        help="what follows the word tblb, as 'least_conn' or 'least_work'; once for each part (default: least_conn, "
        "then nothing, which is the default algorithm)",
    )
    parser.add_argument("--out", help="the document to write, if all is well")
    arguments = parser.parse_args()
    # The process works in the checkout; what the caller named is relative to where the caller stands.
    for name in ("module", "out"):
        if getattr(arguments, name):
            setattr(arguments, name, Path(getattr(arguments, name)).resolve())
    arguments.policy = arguments.policy or ["least_conn", ""]
    arguments.vllm, arguments.model = REAL / "vllm/bin/vllm", REAL / "tiny"
    if arguments.module is None:
        arguments.policy = arguments.policy[:1]
    elif not arguments.module.is_file():
        parser.error(f"{arguments.module} is not there: make build makes it")
    return arguments


def say(text):
    print(f"real: {text}", file=sys.stderr, flush=True)


def run(arguments, directory):
    """Starts the engines, runs every part, and returns the document and the faults."""
    with contextlib.ExitStack() as stack:
        say("starting two vLLM engines (one to three minutes)")
        begun = time.monotonic()
        engines = [
            stack.enter_context(engine(arguments.vllm, arguments.model, directory, slots, blocks))
            for slots, blocks in ENGINES
        ]
        # Left before the engines' own contexts, so that both end at the same time.
        stack.callback(lambda: [each.process.terminate() for each in engines])
        for each in engines:
            wait_ready(f"http://{each.address}/health", each.process, each.log)
        say(f"both engines are ready after {time.monotonic() - begun:.0f} s")
        parts, found = [], []
        for number, policy in enumerate(arguments.policy):
            part = run_part(policy, arguments, engines, directory / f"part-{number}")
            name = part.method.splitlines()[0]
            found += [f"{name} {fault}" for fault in faults(part, arguments.module is not None)]
            parts.append(part)
        return document(arguments, engines, parts), found


def main():
    arguments = parse_arguments()
    os.chdir(ROOT)
    directory = REAL / "run"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    # A plain "terminate" ends the engines too: it becomes an exception, and every context is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        text, found = run(arguments, directory)
    except Failure as failure:
        say(failure)
        return 1
    print(text)
    for fault in found:
        say(f"WRONG: {fault}")
    if not found and arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(text)
        say(f"wrote {arguments.out.relative_to(ROOT) if arguments.out.is_relative_to(ROOT) else arguments.out}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
