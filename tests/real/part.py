"""One part of the run: a balancing method, nginx and the benchmark before both engines, and whether all went well."""

import json
import subprocess
from collections import Counter
from typing import NamedTuple

import balancer
from processes import Failure, free_port, get, nginx, offline
from signals import counters
from status import Observer, is_right, polls_of

# 200 requests, 12 at a time: twice what the engines' slots hold, so queues are there to be seen, and a slow machine
# is not buried as it would be at a fixed rate. Half a minute to a minute.
PROMPTS, CONCURRENCY = 200, 12
# Requests before the measured ones, to warm connections and code paths.
WARMUPS = 16

# Readings of each peer under which the status was hardly seen: half of what half a minute brings.
ENOUGH_READINGS = 30

# Readings of each peer at work (a running request, used cache) that a part must bring.
ENOUGH_BUSY = 10


class Served(NamedTuple):
    """What an engine's own counters gained in this part: requests by the reason of their end, and the mean time to the
    first token as the engine measures it (seconds)."""

    ended: Counter
    mean_ttft: float


class Part(NamedTuple):
    """Everything that one part brought."""

    method: str
    command: list
    bench: dict
    served: dict
    tries: balancer.Tries
    readings: list
    polls: dict
    busiest: dict | None


def bench_command(vllm, model, port, directory):
    """The client's command line; the same seed gives every part the same prompts and lengths."""
    return [
        *(str(vllm), "bench", "serve", "--backend", "openai", "--base-url", f"http://127.0.0.1:{port}"),
        *("--endpoint", "/v1/completions", "--model", "tiny", "--tokenizer", str(model)),
        *("--dataset-name", "random", "--random-input-len", "200", "--random-output-len", "100"),
        *("--random-range-ratio", "0.5", "--num-prompts", str(PROMPTS), "--seed", "1"),
        *("--max-concurrency", str(CONCURRENCY), "--num-warmups", str(WARMUPS), "--ignore-eos"),
        *("--percentile-metrics", "ttft,tpot,itl,e2el", "--save-result"),
        *("--result-dir", str(directory), "--result-filename", "bench.json"),
    ]


def snapshot(engine):
    """The counters of an engine that a part is measured by: ends by reason, and the sum and count of its TTFT."""
    text = get(f"http://{engine.address}/metrics")
    ended = Counter()
    for labels, value in counters(text, "vllm:request_success_total").items():
        ended[labels.split('finished_reason="')[1].split('"')[0]] += int(value)
    ttft = "vllm:time_to_first_token_seconds"
    return ended, sum(counters(text, f"{ttft}_sum").values()), sum(counters(text, f"{ttft}_count").values())


def gained(engine, before):
    """What an engine did since a snapshot."""
    (old_ended, old_sum, old_count), (ended, total, count) = before, snapshot(engine)
    return Served(ended - old_ended, (total - old_sum) / max(count - old_count, 1))


def run_part(policy, arguments, engines, directory):
    """Runs nginx and the benchmark once. The client's own report goes to standard output."""
    directory.mkdir()
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    configuration = balancer.configuration(arguments.module, policy, port, engines)
    command = bench_command(arguments.vllm, arguments.model, port, directory)
    with nginx(arguments.nginx, configuration, directory, f"{url}/health"):
        before = {engine.address: snapshot(engine) for engine in engines}
        observer = Observer(f"{url}/tblb?format=json" if arguments.module else None, engines)
        observer.start()
        try:
            subprocess.run([*command, "--disable-tqdm"], env=offline(), check=True)
        except subprocess.CalledProcessError as error:
            raise Failure(f"vllm bench serve ended with exit code {error.returncode}") from error
        finally:
            observer.stop()
        served = {engine.address: gained(engine, before[engine.address]) for engine in engines}
    if observer.error:
        raise Failure(f"the status or an engine's metrics could not be read: {observer.error!r}")
    return Part(
        method=balancer.method(arguments.module, policy),
        command=command,
        bench=json.loads((directory / "bench.json").read_text()),
        served=served,
        tries=balancer.read_tries(directory / "access.log"),
        readings=observer.readings,
        polls={engine.address: polls_of(engine.answers) for engine in engines},
        busiest=observer.busiest,
    )


def faults(part, with_module):
    """What is wrong with a part, in words; nothing when all is as it should be."""
    found = request_faults(part)
    if with_module:
        for server in part.served:
            found += status_faults(server, [r for r in part.readings if r.server == server], part.polls[server])
        if not any(reading.shown.waiting for reading in part.readings):
            found.append("no queue ever showed in the status: the load was too light to prove anything")
    return found


def request_faults(part):
    """Failed requests, by each of the three who count them: the client, nginx and the engines."""
    found, expected = [], PROMPTS + WARMUPS
    if (part.bench["completed"], part.bench["failed"]) != (PROMPTS, 0):
        found.append(f"the client completed {part.bench['completed']} of {PROMPTS}, {part.bench['failed']} failed")
    if part.tries.trouble or part.tries.by_peer.total() != expected:
        found.append(f"nginx's log has {part.tries.by_peer.total()} of {expected}, and {part.tries.trouble[:3]}")
    for server, served in part.served.items():
        if served.ended["length"] != part.tries.by_peer[server] or served.ended.total() != served.ended["length"]:
            found.append(f"{server} counts {dict(served.ended)}, nginx sent it {part.tries.by_peer[server]}")
        if not served.ended:
            found.append(f"{server} got no request")
    return found


def status_faults(server, readings, polls):
    """What the status said wrongly of one peer."""
    found = []
    fresh = [reading for reading in readings if reading.state == "fresh"]
    if len(readings) < ENOUGH_READINGS or len(fresh) < 0.9 * len(readings):
        found.append(f"{server}: {len(fresh)} readings of {len(readings)} were fresh")
    if wrong := [reading for reading in readings if reading.state != "unknown" and not is_right(reading, polls)]:
        found.append(f"{server}: {len(wrong)} of {len(readings)} readings show what was never said, as {wrong[0]}")
    busy = sum(bool(reading.shown.running and reading.shown.cache) for reading in readings)
    if busy < ENOUGH_BUSY:
        found.append(f"{server}: only {busy} readings show a running request and used cache")
    if strange := {reading.engine for reading in fresh} - {"vllm"}:
        found.append(f"{server}: the engine is called {strange}")
    return found
