"""The three signals in a vLLM metrics answer, and a log of every answer that an engine gave.

Both engines run with `--middleware signals.AnswerLog`: what an engine told the module at each poll is then known to
the digit, and the module's status can be held against it. A value that was scraped a moment earlier or later could not
serve: waiting and running change many times a second.
"""

import gzip
import json
import os
import time
from typing import NamedTuple

# Environment variable that names the file to which an engine's answers are appended, one JSON object a line.
LOG_VARIABLE = "TBLB_ANSWER_LOG"

# Family names of vLLM V1. A family ends at its label braces: `vllm:num_requests_waiting_by_reason` is another one.
FAMILIES = {
    "waiting": "vllm:num_requests_waiting{",
    "running": "vllm:num_requests_running{",
    "cache": "vllm:kv_cache_usage_perc{",
}


class Signals(NamedTuple):
    """Requests waiting and running, and the used part of the KV cache (0 to 1); None is not known."""

    waiting: float | None
    running: float | None
    cache: float | None

    def agrees(self, other):
        """The same numbers, but for digits lost in printing: the engines here have 101 levels of cache use at most."""
        pairs = zip(self, other, strict=True)
        return all(None not in pair and abs(pair[0] - pair[1]) < 0.001 for pair in pairs)


def read_signals(text):
    """The signals in one metrics answer of an engine with one data-parallel rank and one model."""
    found = dict.fromkeys(FAMILIES)
    for line in text.splitlines():
        for signal, family in FAMILIES.items():
            if line.startswith(family):
                found[signal] = float(line.rsplit(" ", 1)[1])
    return Signals(**found)


def counters(text, family):
    """Every series of one counter family: its labels as text, and its value."""
    series = {}
    for line in text.splitlines():
        if line.startswith((family + "{", family + " ")):
            name, value = line.rsplit(" ", 1)
            series[name[len(family) :]] = float(value)
    return series


class AnswerLog:
    """ASGI middleware that appends when, to whom and with which signals the engine answered GET /metrics."""

    def __init__(self, app):
        self.app = app
        # Open as long as the engine runs.
        self.log = open(os.environ[LOG_VARIABLE], "a", encoding="utf-8")

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http" or scope["path"] != "/metrics":
            await self.app(scope, receive, send)
            return
        headers = {name.lower(): value.decode("latin-1") for name, value in scope["headers"]}
        body = bytearray()
        compressed = False

        async def record(message):
            nonlocal compressed
            if message["type"] == "http.response.start":
                compressed = (b"content-encoding", b"gzip") in message["headers"]
            elif message["type"] == "http.response.body":
                body.extend(message.get("body", b""))
            await send(message)

        await self.app(scope, receive, record)
        text = (gzip.decompress(bytes(body)) if compressed else bytes(body)).decode()
        answer = {"at": time.time(), "agent": headers.get(b"user-agent", ""), **read_signals(text)._asdict()}
        self.log.write(json.dumps(answer) + "\n")
        self.log.flush()
