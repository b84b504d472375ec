"""`turnout bench link`: ISO 8583 round trips over mutual TLS, both ends ours, two processes.

An op is everything the switch does for one message on a link: reserve a window slot, build key and
frame with the compiled codec, queue, chunk, TLS; then receive, cut, decode every element, match on
the full key, hand on the event. The far end decodes every element too, and encodes an answer. The
load is a closed loop: each answer is followed by the next message, `in_flight` of them under way.

Each answer must carry the STAN of the message it settled, and no message may end otherwise than
answered. Latency is sampled, and holds the time a message waits behind `in_flight` others; the lone
round trip is measured by itself, with one message in flight.
"""

from __future__ import annotations

import gc
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

import attrs
import trio

from benchmarks.codec import sale
from benchmarks.latency import percentiles
from benchmarks.report import (
    Document,
    WrongResultsError,
    bench_document,
    process_cpu_s,
    progress,
)
from chassis.pki import development_pki
from chassis.settings.tree import Network
from chassis.tls import client_context, connect_tls
from switch.iso8583 import Dialect, load_dialect
from switch.link.context import Connect
from switch.link.correlation import correlation_key
from switch.link.events import Answered, LinkEvent
from switch.link.group import LinkGroup

NETWORK: Final = Network(server_name="vsim.turnout.test", connections=2)
SAMPLE_EVERY: Final = 64
WARM_UP_S: Final = 0.5
STANS: Final = 1_000_000


@attrs.frozen
class Round:
    """What one stretch of load gave."""

    answered: int
    wall_s: float
    switch_cpu_s: float
    network_cpu_s: float
    latencies_s: list[float]


def run(*, seconds: float = 2.0, rounds: int = 5, in_flight: int = 512) -> Document:
    """Measure and return the benchmark's document; figures are medians of the rounds.

    Args:
        seconds: of load in each round; the kernel counts CPU in ticks of 10 ms.
        rounds: of load.
        in_flight: messages under way over both connections; at most their windows.

    Raises:
        WrongResultsError: a message was not answered, or by the answer to another.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as folder:
        measured, lone = trio.run(partial(_measure, Path(folder), seconds, rounds, in_flight))
    rates = [one.answered / one.wall_s for one in measured]
    latencies_s = [latency for one in measured for latency in one.latencies_s]
    return bench_document(
        "link",
        parameters={
            "seconds": seconds,
            "rounds": rounds,
            "in_flight": in_flight,
            "connections": NETWORK.connections,
            "tls": "1.3, certificates both ways",
            "codec": "compiled, encode and decode at both ends included",
            "load": "closed loop, inside the switch process",
            "mac": False,
        },
        results={
            "round_trips_per_s": statistics.median(rates),
            "round_trips_per_s_min": min(rates),
            "lone_round_trip_us": lone.wall_s / lone.answered * 1e6,
            **percentiles(latencies_s),
        },
        cpu_us_per_op={
            "switch": statistics.median(one.switch_cpu_s / one.answered * 1e6 for one in measured),
            "network": statistics.median(
                one.network_cpu_s / one.answered * 1e6 for one in measured
            ),
        },
    )


async def _measure(
    folder: Path, seconds: float, rounds: int, in_flight: int
) -> tuple[list[Round], Round]:
    development_pki(
        folder,
        {"vsim": (NETWORK.server_name, "server"), "switch": (NETWORK.client_name, "client")},
    )
    context = client_context(
        ca=folder / "ca.pem", certificate=folder / "switch.pem", key=folder / "switch.key"
    )
    with _far_end(folder) as (port, pid):

        def connect(_turn: int, reached: Callable[[], None]) -> Awaitable[trio.abc.Stream]:
            return connect_tls(
                NETWORK.host, port, context, server_name=NETWORK.server_name, reached=reached
            )

        load = Load(load_dialect(NETWORK.dialect), connect, pid)
        async with trio.open_nursery() as nursery:
            await nursery.start(load.group.run)
            await load.group.wait_up(NETWORK.connections)
            gc.freeze()
            await load.drive(WARM_UP_S, in_flight)
            progress(f"{in_flight} round trips in flight, {rounds} x {seconds:g} s")
            measured = [await load.drive(seconds, in_flight) for _ in range(rounds)]
            lone = await load.drive(WARM_UP_S, 1)
            await load.group.drain()
    return measured, lone


@contextmanager
def _far_end(pki: Path) -> Iterator[tuple[int, int]]:
    """Start the network's process; yield its port and process id."""
    listener = socket.create_server((NETWORK.host, 0))
    port = listener.getsockname()[1]
    descriptor = listener.fileno()
    os.set_inheritable(descriptor, True)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "benchmarks.link_peer",
            str(descriptor),
            str(pki),
            NETWORK.client_name,
        ],
        pass_fds=(descriptor,),
    )
    listener.close()
    try:
        yield port, process.pid
    finally:
        process.kill()
        process.wait()


class Load:
    """Keeps messages under way through a link group and checks every answer."""

    def __init__(self, dialect: Dialect, connect: Connect, network_pid: int) -> None:
        self.group = LinkGroup(
            "vsim",
            NETWORK,
            dialect,
            connect,
            on_events=self._on_events,
            next_stan=self._next_stan,
            lease_holds=lambda: True,
        )
        self._encode = dialect.encode
        self._network_pid = network_pid
        self._serials = count(1)
        self._sale = sale(0)
        self._sent_at: dict[str, float] = {}  # of the sampled messages, by STAN
        self._latencies_s: list[float] = []
        self._answered = 0
        self._until = 0.0
        self._wrong = ""
        self._idle = trio.Event()

    async def drive(self, seconds: float, in_flight: int) -> Round:
        """Load the links for a while and wait for the last answer."""
        self._answered = 0
        self._latencies_s = []
        self._idle = trio.Event()
        network_cpu_s = process_cpu_s(self._network_pid)
        switch_cpu_s, began_at = time.process_time(), time.perf_counter()
        self._until = began_at + seconds
        for _ in range(in_flight):
            self._send()
        if not self._wrong:
            await self._idle.wait()
        if self._wrong:
            raise WrongResultsError(self._wrong)
        return Round(
            answered=self._answered,
            wall_s=time.perf_counter() - began_at,
            switch_cpu_s=time.process_time() - switch_cpu_s,
            network_cpu_s=process_cpu_s(self._network_pid) - network_cpu_s,
            latencies_s=self._latencies_s,
        )

    def _send(self) -> None:
        slot = self.group.reserve()
        if slot is None:
            self._wrong = "no window slot"
            return
        serial = next(self._serials)
        stan = f"{serial % STANS:06d}"
        fields = self._sale.copy()
        fields[11] = stan
        fields[37] = f"{serial:012d}"
        if serial % SAMPLE_EVERY == 0:
            self._sent_at[stan] = time.perf_counter()
        self.group.send(
            slot, correlation_key(fields), self._encode(fields), stan, trio.current_time()
        )

    def _on_events(self, events: list[LinkEvent]) -> None:
        now = time.perf_counter()
        going_on = now < self._until
        for event in events:
            if not isinstance(event, Answered) or event.fields[11] != event.token:
                self._wrong = f"a message ended as {type(event).__name__}"
            elif event.token in self._sent_at:
                self._latencies_s.append(now - self._sent_at.pop(event.token))
            if going_on and not self._wrong:
                self._send()
        self._answered += len(events)
        if self._wrong or not (going_on or self.group.in_flight):
            self._idle.set()

    def _next_stan(self) -> tuple[str, str]:
        return f"{next(self._serials) % STANS:06d}", self._sale[7]
