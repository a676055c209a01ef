"""Reads the module's status and the engines' metrics while a benchmark runs, and holds the one against the other."""

import json
import threading
import time
from typing import NamedTuple

from processes import AGENT, get
from signals import Signals, read_signals

# Seconds between two readings.
PERIOD = 0.5

# How far the instant at which the engine wrote its answer down may lie outside the poll, which the age in the status
# and the time that the poll took tell: the engine and the poller wait for their turns on a full machine. It is a
# quarter of the polling interval, so no other poll's answer comes into question.
SLACK = 0.25


class Reading(NamedTuple):
    """What the status said of one peer, between two instants (seconds of the clock), and what the engine itself said
    when it was asked right after."""

    begun: float
    done: float
    server: str
    engine: str
    state: str
    age: float
    took: float
    shown: Signals
    now: Signals


class Answer(NamedTuple):
    """One answer of an engine to GET /metrics: when, to whom, and the signals in it."""

    at: float
    agent: str
    signals: Signals


def answers_of(path):
    """Every answer in an engine's log (signals.AnswerLog)."""
    answers = []
    for line in path.read_text().splitlines():
        answer = json.loads(line)
        answers.append(Answer(answer.pop("at"), answer.pop("agent"), Signals(**answer)))
    return answers


def polls_of(path):
    """The answers that went to the module's poller: neither to this run, nor through nginx to the client's aiohttp."""
    return [answer for answer in answers_of(path) if answer.agent != AGENT and "aiohttp" not in answer.agent]


class Observer(threading.Thread):
    """Takes readings until it is stopped. Without the module (`status_url` None) it reads the engines only, so that a
    rehearsal bears the same load. `error` holds what ended it early."""

    def __init__(self, status_url, engines):
        super().__init__(name="observer", daemon=True)
        self.status_url, self.engines = status_url, engines
        self.readings, self.error = [], None
        # The status with the most requests waiting, to be shown.
        self.busiest, self.busiest_waiting = None, -1
        self.stopped = threading.Event()

    def run(self):
        try:
            while not self.stopped.wait(PERIOD):
                self.read_once()
        except (OSError, ValueError, KeyError) as error:
            self.error = error

    def read_once(self):
        begun = time.time()
        status = json.loads(get(self.status_url)) if self.status_url else {"upstreams": [{"peers": []}]}
        done = time.time()
        now = {engine.address: read_signals(get(f"http://{engine.address}/metrics")) for engine in self.engines}
        for peer in status["upstreams"][0]["peers"]:
            shown = Signals(peer["waiting"], peer["running"], peer["cache"])
            age = peer["age_ms"] / 1000 if peer["age_ms"] is not None else float("inf")
            took = (peer["polls"]["took_ms"] or 0) / 1000
            reading = (begun, done, peer["server"], peer["engine"], peer["state"], age, took, shown)
            self.readings.append(Reading(*reading, now[peer["server"]]))
        waiting = sum(peer["waiting"] or 0 for peer in status["upstreams"][0]["peers"])
        if waiting > self.busiest_waiting:
            self.busiest, self.busiest_waiting = status, waiting

    def stop(self):
        """Ends the thread; the readings are complete then."""
        self.stopped.set()
        self.join()


def is_right(reading, polls):
    """Whether the engine gave the module these very numbers at the poll that the status speaks of."""
    first, last = reading.begun - reading.age - reading.took - SLACK, reading.done - reading.age + SLACK
    return any(first <= poll.at <= last and poll.signals.agrees(reading.shown) for poll in polls)
