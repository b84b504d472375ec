"""`turnout bench hsm`: cards opened through the HSM's real socket, by one worker process.

An op is one card of an `OpenCards` batch: open, check, seal PAN and expiry for the ledger,
fingerprint. The figure that counts is `opens_per_s_per_core`: opens by CPU second of the HSM
process, user and system, socket and msgpack included. The peer is a bare `Suite.decrypt` of
`cryptography`, which does the first of these steps only and pays for no process boundary.

Beside it, counted alike: MACs of messages, half of them made and half verified, and stored cards
released, audit lines on disk included.
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from benchmarks.child import service_process
from benchmarks.hsm_loads import Client, Workload, macs, opens, releases
from benchmarks.report import (
    Document,
    WrongResultsError,
    bench_document,
    process_cpu_s,
    progress,
)
from chassis.development_keks import development_keks
from chassis.mux import MuxClient, MuxError, dial_unix
from chassis.settings.tree import HSM, Settings
from hsm_sim.wire import HSMReply, HSMRequest

WARM_UP_S: Final = 0.3
TICK_S: Final = 1 / os.sysconf("SC_CLK_TCK")  # of CPU as the kernel counts it
PEER_ROUNDS: Final = 2_000
# The limit is there to be met by a thief, and a benchmark asks for as many cards as one.
SETTINGS: Final = Settings(hsm=HSM(releases_per_minute_max=1_000_000_000))


@attrs.frozen
class Round:
    """What one stretch of load gave."""

    items: int
    wall_s: float
    hsm_cpu_s: float
    load_cpu_s: float


def run(*, seconds: float = 2.0, rounds: int = 5, batch: int = 32, in_flight: int = 4) -> Document:
    """Measure every workload and return the benchmark's document, with medians of the rounds.

    Args:
        seconds: of load in each round; the kernel counts CPU in ticks of 10 ms.
        rounds: per workload.
        batch: cards or messages a request.
        in_flight: batches waiting at the worker, so that it is never idle.

    Raises:
        WrongResultsError: a card did not open to what was sealed, or a MAC is wrong.
    """
    measured = trio.run(partial(_measure, seconds, rounds, batch, in_flight))
    results: dict[str, float] = {}
    for name, stretches in measured.items():
        results[f"{name}_per_s_per_core"] = statistics.median(
            one.items / one.hsm_cpu_s for one in stretches
        )
        results[f"{name}_per_s"] = statistics.median(one.items / one.wall_s for one in stretches)
    results["load_cpu_us"] = statistics.median(
        one.load_cpu_s / one.items * 1e6 for one in measured["opens"]
    )
    return bench_document(
        "hsm",
        parameters={
            "seconds": seconds,
            "rounds": rounds,
            "batch": batch,
            "in_flight": in_flight,
            "workers": 1,
        },
        results=results,
        cpu_us_per_op={"hsm": 1e6 / results["opens_per_s_per_core"]},
        peers={"cryptography_suite_decrypt_us": _peer_us()},
    )


async def _measure(
    seconds: float, rounds: int, batch: int, in_flight: int
) -> dict[str, list[Round]]:
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as folder:
        development_keks(Path(folder) / "networks", SETTINGS.networks)
        path = str(Path(folder) / "hsm.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        with service_process(
            "hsm",
            settings=SETTINGS,
            data_dir=Path(folder),
            listeners={"mux": listener},
            allowed_uids={"switch": os.getuid()},
        ) as process:
            listener.close()
            async with trio.open_nursery() as nursery:
                client: Client = MuxClient(
                    request_type=HSMRequest, reply_type=HSMReply, limits=SETTINGS.mux, name="hsm"
                )
                await nursery.start(client.run, partial(dial_unix, path))
                measured: dict[str, list[Round]] = {}
                for workload in await _workloads(client, batch):
                    progress(f"{workload.title}, {rounds} x {seconds:g} s")
                    load = Load(client, workload, in_flight)
                    await load.drive(WARM_UP_S, process.pid)
                    measured[workload.name] = [
                        await load.drive(seconds, process.pid) for _ in range(rounds)
                    ]
                nursery.cancel_scope.cancel()
    return measured


async def _workloads(client: Client, batch: int) -> Sequence[Workload]:
    opening = await opens(client, suite=1, batch=batch)
    return (
        opening,
        await opens(client, suite=2, batch=batch),
        await macs(client, batch=batch),
        await releases(client, opening.requests),
    )


class Load:
    """Keeps `in_flight` batches at the worker and checks every answer."""

    def __init__(self, client: Client, workload: Workload, in_flight: int) -> None:
        self._client = client
        self._workload = workload
        self._in_flight = in_flight
        self._sent = 0
        self._answered = 0
        self._deadline = 0.0
        self._wrong = ""
        self._idle = trio.Event()

    async def drive(self, seconds: float, pid: int) -> Round:
        """Load the worker for a while and wait for the last answer."""
        self._sent = self._answered = 0
        self._idle = trio.Event()
        hsm_cpu_s, load_cpu_s, started = process_cpu_s(pid), time.process_time(), time.monotonic()
        self._deadline = started + seconds
        for _ in range(self._in_flight):
            self._send()
        await self._idle.wait()
        if self._wrong:
            raise WrongResultsError(self._wrong)
        return Round(
            items=self._answered * self._workload.items,
            wall_s=time.monotonic() - started,
            hsm_cpu_s=max(process_cpu_s(pid) - hsm_cpu_s, TICK_S),
            load_cpu_s=time.process_time() - load_cpu_s,
        )

    def _send(self) -> None:
        which = self._sent % len(self._workload.requests)
        self._sent += 1
        self._client.submit(self._workload.requests[which], partial(self._answer, which))

    def _answer(self, which: int, reply: HSMReply | MuxError) -> None:
        self._answered += 1
        if not self._workload.is_right(which, reply):
            self._wrong = f"a batch of {self._workload.name} was answered by {type(reply).__name__}"
        if time.monotonic() < self._deadline and not self._wrong:
            self._send()
        elif self._answered == self._sent:
            self._idle.set()


def _peer_us() -> float:
    """Microseconds of one `Suite.decrypt`, median of five stretches in this process."""
    suite = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_128_GCM)
    private = X25519PrivateKey.generate()
    sealed = suite.encrypt(bytes(256), private.public_key(), bytes(100))
    stretches = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(PEER_ROUNDS // 5):
            suite.decrypt(sealed, private, bytes(100))
        stretches.append((time.perf_counter() - started) / (PEER_ROUNDS // 5) * 1e6)
    return statistics.median(stretches)
