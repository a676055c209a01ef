"""The processes of the run: two vLLM engines and nginx. Each is ended by its own process id, whatever happens."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import NamedTuple

from signals import LOG_VARIABLE

# The run's own requests carry this name, so that they are told apart in the engines' logs.
AGENT = "tblb-real-run"

# An engine that has not answered by then will not: two at once on two cores need one to three minutes.
READY_SECONDS = 600


class Failure(Exception):
    """The run cannot go on, or its outcome is wrong; the text says why."""


class Engine(NamedTuple):
    """One vLLM server: its address, and where it logs what it does and what it answered to GET /metrics."""

    address: str
    slots: int
    blocks: int
    log: Path
    answers: Path
    process: subprocess.Popen


def free_port():
    """A TCP port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def get(url, timeout=10.0):
    """The body of a URL as text."""
    with urllib.request.urlopen(urllib.request.Request(url, headers={"User-Agent": AGENT}), timeout=timeout) as answer:
        return answer.read().decode()


def offline():
    """The environment for vLLM's programs: no model hub, no usage reports, one compute thread each."""
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": "1",
        "VLLM_HOST_IP": "127.0.0.1",
    }


def engine_command(vllm, model, port, slots, blocks):
    """How an engine is started. Without the override of the blocks, use of the KV cache never leaves 0; without prefix
    caching, the second part of the run cannot live on what the first part left in the cache."""
    return [
        *(str(vllm), "serve", str(model), "--served-model-name", "tiny", "--host", "127.0.0.1", "--port", str(port)),
        *("--load-format", "dummy", "--dtype", "bfloat16", "--enforce-eager", "--max-model-len", "1024"),
        *("--max-num-batched-tokens", "1024", "--block-size", "32", "--no-enable-prefix-caching"),
        *("--max-num-seqs", str(slots), "--num-gpu-blocks-override", str(blocks)),
        *("--middleware", "signals.AnswerLog"),
    ]


def end(process, how):
    """Asks a process to end, and kills its process group (itself and its children) if it has not after 10 seconds."""
    if process.poll() is None:
        process.send_signal(how)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=10)
    # The group is the process's own (start_new_session). When all have gone there is nobody to kill.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextlib.contextmanager
def engine(vllm, model, directory, slots, blocks):
    """Starts an engine on a free port; it is not ready yet. Ends it on the way out."""
    port = free_port()
    log, answers = directory / f"engine-{port}.log", directory / f"answers-{port}.jsonl"
    environment = {**offline(), "PYTHONPATH": str(Path(__file__).parent), LOG_VARIABLE: str(answers)}
    with log.open("wb") as output:
        process = subprocess.Popen(
            engine_command(vllm, model, port, slots, blocks),
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Engine(f"127.0.0.1:{port}", slots, blocks, log, answers, process)
    finally:
        end(process, signal.SIGTERM)


def wait_ready(url, process, log):
    """Waits until a URL answers 200. A process that died, or that takes too long, is told with the end of its log."""
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        with contextlib.suppress(OSError, urllib.error.URLError):
            get(url, timeout=2)
            return
        time.sleep(0.5)
    print("".join(log.read_text(errors="replace").splitlines(keepends=True)[-30:]), file=sys.stderr)
    raise Failure(f"{url} never answered (exit code {process.poll()}); the end of {log} is above")


@contextlib.contextmanager
def nginx(binary, configuration, directory, url):
    """Runs nginx with a configuration until the block ends; `url` must answer first."""
    directory = directory.resolve()
    path, log = directory / "nginx.conf", directory / "error.log"
    path.write_text(configuration)
    # The directory is nginx's prefix, to which relative paths are; -e catches what it says before it has read the file.
    process = subprocess.Popen(
        [binary, "-p", str(directory), "-e", str(log), "-c", str(path)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_ready(url, process, log)
        yield process
    finally:
        end(process, signal.SIGQUIT)
