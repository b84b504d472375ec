"""`turnout bench api`: signed requests answered by one api process, creates and reads.

The run starts a stack of its own. Creates are signed beforehand and driven over real connections;
then every intent that was created is read, by GETs that are signed beforehand too. An op is one
request; `cpu_us_per_op` is that of the reads, and the creates' stands in the results. With a
replica, the results say of how many batches of reads it answered (`replica_ratio`).
"""

from __future__ import annotations

import random
from functools import partial
from typing import Any, Final
from urllib.request import urlopen

import attrs
import msgspec
import trio

from benchmarks.driving import LoadResult, drive
from benchmarks.latency import percentiles
from benchmarks.prepared import Signer, create_requests
from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.workplace import address, cpu_by_group, durability, reader_dsn
from chassis.settings.replica import Replica
from stack.temporary import TemporaryStack, temporary_stack

WARM_UP: Final = 2_000  # plans compiled, statements prepared, pages touched; not counted
ASSUMED_PER_S: Final = 15_000  # how many requests to prepare for each second
SEED: Final = 8_583
REPLICA_WITHIN_S: Final = 60.0
_COUNTED: Final = "turnout_api_replica_"


@attrs.frozen
class Measured:
    """One drive and what it cost."""

    result: LoadResult
    cpu_us_per_op: dict[str, float]


def run(
    *, seconds: float = 6.0, connections: int = 128, replica: bool = False, keep: bool = False
) -> Document:
    """Measure creates and reads through a whole stack.

    Args:
        seconds: how long to send each kind.
        connections: sockets of the load generator.
        replica: read on a replica of the stack's own.
        keep: leave the data directory behind.

    Raises:
        WrongResultsError: a request was answered otherwise than it must be.
        UnrealStorageError: commits would not be durable where the data lies.
    """
    return trio.run(
        partial(_run, seconds=seconds, connections=connections, replica=replica, keep=keep)
    )


async def _run(*, seconds: float, connections: int, replica: bool, keep: bool) -> Document:
    overrides = {"log.level": "warning", "replica.enabled": str(replica).lower()}
    answered: dict[str, float] = {}
    async with temporary_stack(overrides, keep=keep) as stack:
        facts = await trio.to_thread.run_sync(durability, reader_dsn(stack), stack.data_dir)
        if replica:
            await _until_read(stack)
        creates, reads = await trio.to_thread.run_sync(_measure, stack, seconds, connections)
        if replica:
            counts = await _replica_counts(stack)
            batches = sum(counts[name] for name in ("reads", "away", "behind", "lost", "refused"))
            answered["replica_ratio"] = counts["reads"] / batches
            answered["replica_waits_ratio"] = counts["waits"] / batches
    return bench_document(
        "api",
        parameters={
            "seconds": seconds,
            "connections": connections,
            "replica": replica,
            "api_processes": 1,
            **facts,
        },
        results={
            "get_per_s": reads.result.per_s,
            "create_per_s": creates.result.per_s,
            **{f"get_{name}": value for name, value in _latency(reads).items()},
            **{f"create_{name}": value for name, value in _latency(creates).items()},
            "create_cpu_us": creates.cpu_us_per_op,
            "load_cpu_us": reads.result.load_cpu_us,
            **answered,
        },
        cpu_us_per_op=reads.cpu_us_per_op,
    )


async def _until_read(stack: TemporaryStack) -> None:
    """Wait until the API has its sessions on the replica."""
    with trio.fail_after(REPLICA_WITHIN_S):
        while (await _replica_counts(stack))["sessions"] < Replica().sessions:  # noqa: ASYNC110  another process
            await trio.sleep(0.1)


async def _replica_counts(stack: TemporaryStack) -> dict[str, float]:
    """What the API says of its replica: `reads`, `waits`, `sessions` and so on."""
    url = stack.refresh().metrics["api"]
    text = await trio.to_thread.run_sync(lambda: urlopen(url).read().decode())  # noqa: S310  ours
    lines = [line for line in text.splitlines() if line.startswith(_COUNTED)]
    pairs = (line.removeprefix(_COUNTED).split(" ") for line in lines)
    return {name.partition("_total")[0]: float(value) for name, value in pairs}


def _measure(stack: TemporaryStack, seconds: float, connections: int) -> tuple[Measured, Measured]:
    host, port = address(stack)
    credentials = stack.credentials()
    signer = Signer(f"{host}:{port}", credentials.publishable_key, credentials.secret_key)
    count = int(seconds * ASSUMED_PER_S)
    progress(f"signing {count:,} creates ...")
    creating = _drive(stack, create_requests(signer, WARM_UP), create_requests(signer, count),
                      seconds, connections, 201)  # fmt: skip
    intents = [
        msgspec.json.decode(body, type=dict[str, Any])["id"]
        for body in creating.result.outcome.body
    ]
    progress(f"signing {count:,} reads ...")
    chosen = random.Random(SEED).choices(intents, k=WARM_UP + count)
    requests = [signer.request("GET", f"/payment-intents/{intent}") for intent in chosen]
    reading = _drive(stack, requests[:WARM_UP], requests[WARM_UP:], seconds, connections, 200)
    return creating, reading


def _drive(
    stack: TemporaryStack,
    warm_up: list[bytes],
    requests: list[bytes],
    seconds: float,
    connections: int,
    status: int,
) -> Measured:
    host, port = address(stack)
    drive(host, port, warm_up, connections=connections, seconds=60.0)
    progress(f"sending over {connections} connections ...")
    before = cpu_by_group(stack.endpoints.processes)
    result = drive(host, port, requests, connections=connections, seconds=seconds)
    after = cpu_by_group(stack.endpoints.processes)
    others = sorted(set(result.outcome.status) - {status})
    if others:
        raise WrongResultsError(f"expected every answer to be {status}, found {others}")
    sent = max(1, result.outcome.sent)
    return Measured(
        result, {group: (after[group] - before[group]) * 1_000_000 / sent for group in after}
    )


def _latency(measured: Measured) -> dict[str, float]:
    return percentiles(measured.result.outcome.latency_s)
