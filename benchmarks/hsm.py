"""`turnout bench hsm`: cards opened through the HSM's real socket, by one worker process.

An op is one card of an `OpenCards` batch: open, check, seal PAN and expiry for the ledger,
fingerprint. The figure that counts is `opens_per_s_per_core`: opens by CPU second of the HSM
process, user and system, socket and msgpack included. The peer is a bare `Suite.decrypt` of
`cryptography`, which does the first of these steps only and pays for no process boundary.
"""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from base64 import urlsafe_b64encode
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite

from benchmarks.child import service_process
from benchmarks.report import (
    Document,
    WrongResultsError,
    bench_document,
    process_cpu_s,
    progress,
)
from chassis.mux import MuxClient, MuxError, dial_unix
from chassis.settings.tree import Settings
from hsm_sim.wire import (
    CardsOpened,
    CardToOpen,
    HSMReply,
    HSMRequest,
    KeysListed,
    ListKeys,
    OpenCards,
    OpenedCard,
)
from turnout_client.seal import seal_card

DISTINCT_BATCHES: Final = 16  # sealed beforehand and sent in turn; the HSM remembers no card
WARM_UP_S: Final = 0.3
PEER_ROUNDS: Final = 2_000
PUBLISHABLE_KEY: Final = "pk_test_0123456789abcdefghijkl"
SUITE_NAMES: Final = {1: "x25519", 2: "p256"}

Client = MuxClient[HSMRequest, HSMReply]


@attrs.frozen
class Round:
    """What one stretch of load gave."""

    opens: int
    wall_s: float
    hsm_cpu_s: float
    load_cpu_s: float


def run(*, seconds: float = 2.0, rounds: int = 5, batch: int = 32, in_flight: int = 4) -> Document:
    """Measure both suites and return the benchmark's document; figures are medians of the rounds.

    Args:
        seconds: of load in each round; the kernel counts CPU in ticks of 10 ms.
        rounds: per suite.
        batch: cards a request.
        in_flight: batches waiting at the worker, so that it is never idle.

    Raises:
        WrongResultsError: a card did not open to what was sealed.
    """
    measured = trio.run(partial(_measure, seconds, rounds, batch, in_flight))
    results: dict[str, float] = {}
    for suite, name in SUITE_NAMES.items():
        prefix = "" if suite == 1 else f"{name}_"
        per_core = [one.opens / one.hsm_cpu_s for one in measured[suite]]
        results[f"{prefix}opens_per_s_per_core"] = statistics.median(per_core)
        results[f"{prefix}opens_per_s"] = statistics.median(
            one.opens / one.wall_s for one in measured[suite]
        )
    results["load_cpu_us"] = statistics.median(
        one.load_cpu_s / one.opens * 1e6 for one in measured[1]
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
) -> dict[int, list[Round]]:
    settings = Settings()
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as folder:
        path = str(Path(folder) / "hsm.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(path)
        listener.listen()
        with service_process(
            "hsm",
            settings=settings,
            data_dir=Path(folder),
            listeners={"mux": listener},
            allowed_uids={"switch": os.getuid()},
        ) as process:
            listener.close()
            async with trio.open_nursery() as nursery:
                client: Client = MuxClient(
                    request_type=HSMRequest, reply_type=HSMReply, limits=settings.mux, name="hsm"
                )
                await nursery.start(client.run, partial(dial_unix, path))
                measured: dict[int, list[Round]] = {}
                for suite, name in SUITE_NAMES.items():
                    progress(f"opening {name} cards, {rounds} x {seconds:g} s")
                    load = Load(client, await _batches(client, suite, batch), in_flight)
                    await load.drive(WARM_UP_S, process.pid)
                    measured[suite] = [
                        await load.drive(seconds, process.pid) for _ in range(rounds)
                    ]
                nursery.cancel_scope.cancel()
    return measured


async def _batches(client: Client, suite: int, batch: int) -> list[OpenCards]:
    """Seal the cards, each of another number, to the worker's key of a suite."""
    listed = await client.call(ListKeys())
    if not isinstance(listed, KeysListed):
        raise WrongResultsError(f"keys were not listed: {listed}")
    (key,) = (key for key in listed.keys if key.suite == suite)
    public: dict[str, str | int] = {
        "kid": key.kid,
        "suite": key.suite,
        "publicKey": urlsafe_b64encode(key.public_key).rstrip(b"=").decode(),
        "state": key.state,
    }
    return [
        OpenCards([_sealed(public, first + offset) for offset in range(batch)])
        for first in range(0, DISTINCT_BATCHES * batch, batch)
    ]


def _sealed(public: dict[str, str | int], number: int) -> CardToOpen:
    intent = f"pi_{number:022d}"
    ciphertext = seal_card(
        keys=public,
        mode="test",
        publishable_key=PUBLISHABLE_KEY,
        intent_id=intent,
        number=_number(number),
        exp_month=12,
        exp_year=2030,
        cvc="123",
        name="A CARDHOLDER",
    )
    return CardToOpen(
        ciphertext=ciphertext,
        live=False,
        publishable_key=PUBLISHABLE_KEY,
        intent=intent,
        intent_id=number.to_bytes(16, "big"),
        merchant_id=bytes(16),
    )


def _number(number: int) -> str:
    return f"42424200{number:08d}"  # a test range of the simulated networks


class Load:
    """Keeps `in_flight` batches at the worker and checks every answer."""

    def __init__(self, client: Client, batches: list[OpenCards], in_flight: int) -> None:
        self._client = client
        self._batches = batches
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
            opens=self._answered * len(self._batches[0].cards),
            wall_s=time.monotonic() - started,
            hsm_cpu_s=process_cpu_s(pid) - hsm_cpu_s,
            load_cpu_s=time.process_time() - load_cpu_s,
        )

    def _send(self) -> None:
        which = self._sent % len(self._batches)
        self._sent += 1
        self._client.submit(self._batches[which], partial(self._answer, which))

    def _answer(self, which: int, reply: HSMReply | MuxError) -> None:
        self._answered += 1
        first = which * len(self._batches[0].cards)
        if not (
            isinstance(reply, CardsOpened)
            and len(reply.cards) == len(self._batches[which].cards)
            and all(
                isinstance(card, OpenedCard) and card.pan == _number(first + offset)
                for offset, card in enumerate(reply.cards)
            )
        ):
            self._wrong = f"a batch was answered by {type(reply).__name__}"
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
