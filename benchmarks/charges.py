"""`turnout bench charges`: the whole stack, from HTTP to the card networks and back.

The run starts a stack of its own in a fresh data directory, creates the intents, seals and signs
every charge beforehand, and then drives the charges through real connections. It ends by comparing
what the merchants were told, what the ledger holds and what the networks recorded; any difference
is a wrong result, whatever the speed.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs
import msgspec
import trio

from benchmarks.agreement import Agreement, agree
from benchmarks.driving import LoadResult, drive
from benchmarks.latency import percentiles
from benchmarks.prepared import Signer, charge_requests, create_requests
from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.witnesses import attempts_held, network_decisions, told
from benchmarks.workplace import address, cpu_by_group, durability, reader_dsn, resident_bytes
from stack.temporary import TemporaryStack, temporary_stack

BUDGET_US = {  # design 3: each process's share at 10,000 charges/s on two cores
    "hsm": 47.0,
    "api": 45.0,
    "switch": 30.0,
    "postgres": 52.0,
    "networks": 7.0,
}
WARM_UP_CHARGES = 2_000  # plans compiled, statements prepared, pages touched; not counted
ASSUMED_PER_S = 9_000  # how many charges to prepare for each second of a closed loop
CREATE_CONNECTIONS = 64
SEED = 8_583
ACCEPTED = frozenset({200, 202})
SHED = frozenset({429, 503})


@attrs.frozen(kw_only=True)
class Prepared:
    """Charges ready to be sent, and how fast their intents were created."""

    warm_up: list[bytes]
    charges: list[bytes]
    created_per_s: float


@attrs.frozen(kw_only=True)
class Drive:
    """One counted drive: what came back, what it cost, what is left resident."""

    result: LoadResult
    cpu_s: dict[str, float]
    resident_bytes: dict[str, int]


def run(
    *,
    seconds: float = 15.0,
    connections: int = 256,
    rate: float = 0.0,
    count: int = 0,
    keep: bool = False,
) -> Document:
    """Measure charges through the whole stack.

    Args:
        seconds: how long to send at most.
        connections: sockets of the load generator.
        rate: charges a second, open loop; 0 = closed loop.
        count: charges to send; 0 = as many as `seconds` allow.
        keep: leave the data directory behind.

    Raises:
        WrongResultsError: the three witnesses do not agree.
        UnrealStorageError: commits would not be durable where the data lies.
    """
    return trio.run(
        partial(_run, seconds=seconds, connections=connections, rate=rate, count=count, keep=keep)
    )


async def _run(
    *, seconds: float, connections: int, rate: float, count: int, keep: bool
) -> Document:
    async with temporary_stack({"log.level": "warning"}, keep=keep) as stack:
        facts = await trio.to_thread.run_sync(durability, reader_dsn(stack), stack.data_dir)
        total = count or int(seconds * (rate or ASSUMED_PER_S))
        prepared = await trio.to_thread.run_sync(prepare, stack, total)
        driven = await trio.to_thread.run_sync(
            _drive, stack, prepared, connections, seconds if not count else 3_600.0, rate
        )
        progress("comparing answers, ledger and networks ...")
        agreement = await _agreement(stack, driven.result, len(prepared.warm_up))
    parameters = {
        "connections": connections,
        "loop": "open" if rate else "closed",
        "rate_per_s": rate,
        "seconds": driven.result.seconds,
        "declined_share": 0.05,
        "networks": sorted(stack.endpoints.networks),
        "relay": "absent",
        "mac": "none",
        "codec": "compiled",
        **facts,
    }
    return _document(parameters, prepared, driven, agreement)


def prepare(stack: TemporaryStack, total: int) -> Prepared:
    """Create the intents through the API, then seal and sign one charge for each."""
    credentials = stack.credentials()
    host, port = address(stack)
    signer = Signer(f"{host}:{port}", credentials.publishable_key, credentials.secret_key)
    wanted = total + WARM_UP_CHARGES
    progress(f"creating {wanted:,} intents ...")
    creating = drive(
        host,
        port,
        create_requests(signer, wanted),
        connections=CREATE_CONNECTIONS,
        seconds=3_600.0,
    )
    bodies = [
        body
        for status, body in zip(creating.outcome.status, creating.outcome.body, strict=True)
        if status == 201
    ]
    if len(bodies) < wanted:
        raise WrongResultsError(f"{wanted - len(bodies)} of {wanted} intents were not created")
    intents = [msgspec.json.decode(body, type=dict[str, Any])["id"] for body in bodies]
    progress(f"sealing and signing {wanted:,} charges ...")
    (answer,) = drive(
        host, port, [signer.request("GET", "/keys")], connections=1, seconds=60.0
    ).outcome.body
    keys = msgspec.json.decode(answer, type=dict[str, Any])["keys"]
    requests = charge_requests(signer, keys, intents, SEED)
    return Prepared(
        warm_up=requests[:WARM_UP_CHARGES],
        charges=requests[WARM_UP_CHARGES:],
        created_per_s=creating.per_s,
    )


def _drive(
    stack: TemporaryStack, prepared: Prepared, connections: int, seconds: float, rate: float
) -> Drive:
    host, port = address(stack)
    processes = stack.endpoints.processes
    warm_up = drive(host, port, prepared.warm_up, connections=connections, seconds=60.0)
    if set(warm_up.outcome.status) - ACCEPTED:
        raise WrongResultsError(f"the warm-up was answered {sorted(set(warm_up.outcome.status))}")
    progress(f"charging over {connections} connections ...")
    before = cpu_by_group(processes)
    result = drive(
        host, port, prepared.charges, connections=connections, seconds=seconds, rate=rate
    )
    after = cpu_by_group(processes)
    return Drive(
        result=result,
        cpu_s={group: after[group] - before[group] for group in after},
        resident_bytes=resident_bytes(processes),
    )


async def _agreement(stack: TemporaryStack, result: LoadResult, warm_up: int) -> Agreement:
    """Compare the witnesses once every payment has come to rest."""
    held = await trio.to_thread.run_sync(attempts_held, reader_dsn(stack))
    decisions = network_decisions(stack.data_dir, sorted(stack.endpoints.networks))
    return agree(result.outcome.sent + warm_up, told(result.outcome), held, decisions)


def _document(
    parameters: dict[str, Any], prepared: Prepared, driven: Drive, agreement: Agreement
) -> Document:
    outcome = driven.result.outcome
    accepted = sum(1 for status in outcome.status if status in ACCEPTED)
    shed = sum(1 for status in outcome.status if status in SHED)
    other = sorted(set(outcome.status) - ACCEPTED - SHED)
    per_s = accepted / driven.result.seconds
    unanswered = agreement.held - agreement.answered - WARM_UP_CHARGES
    results = {
        "charges_per_s": per_s,
        **percentiles(outcome.latency_s),
        "lost": len(agreement.lost) + max(0, unanswered),
        "duplicated": len(agreement.duplicated),
        "disagree": len(agreement.disagree),
        "sent": outcome.sent,
        "accepted": accepted,
        "shed": shed,
        "with_create_per_s": 1.0 / (1.0 / per_s + 1.0 / prepared.created_per_s) if per_s else 0.0,
        "load_cpu_us": driven.result.load_cpu_us,
        "budget_us": BUDGET_US,
        "resident_bytes": driven.resident_bytes,
    }
    if not agreement.holds or other or unanswered > 0 or accepted + shed != outcome.sent:
        raise WrongResultsError(
            f"lost {agreement.lost[:5]}, duplicated {agreement.duplicated[:5]}, "
            f"disagree {agreement.disagree[:5]}, unexpected statuses {other}, "
            f"sent {outcome.sent}, accepted {accepted}, shed {shed}"
        )
    cpu_us = {
        group: seconds * 1_000_000 / max(1, accepted) for group, seconds in driven.cpu_s.items()
    }
    return bench_document("charges", parameters, results, cpu_us)
