"""`turnout bench charges`: the whole stack, from HTTP to the card networks and back.

The run starts a stack of its own in a fresh data directory, creates the intents, seals and signs
every charge beforehand, and then drives the charges through real connections. It ends by comparing
what the merchants were told, what the ledger holds and what the networks recorded; any difference
is a wrong result, whatever the speed.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import attrs
import msgspec
import trio

from benchmarks.agreement import Agreement
from benchmarks.driving import LoadResult, drive
from benchmarks.latency import percentiles
from benchmarks.prepared import (
    DECLINED_SHARE,
    Signer,
    card_numbers,
    charge_requests,
    create_requests,
)
from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.shards import agreement_of_shards, interleaved, merchants_on_each
from benchmarks.sweep import charges_needed, draw, sweep
from benchmarks.witnesses import told
from benchmarks.workplace import address, cpu_by_group, durability, reader_dsn, resident_bytes
from chassis.settings import Settings
from network_sim.authenticated import write_authenticated_dialect
from stack.credentials import Credentials
from stack.temporary import TemporaryStack, temporary_stack

BUDGET_US = {  # design 3: each process's share at 10,000 charges/s on two cores
    "hsm": 47.0,
    "api": 45.0,
    "switch": 30.0,
    "postgres": 52.0,
    "networks": 7.0,
    "relay": 18.0,  # and the audit log, which is a process of its own
}
WARM_UP_CHARGES = 2_000  # plans compiled, statements prepared, pages touched; not counted
ASSUMED_PER_S = 9_000  # how many charges to prepare for each second of a closed loop
CREATE_CONNECTIONS = 64
EARLY_CHARGES = 50_000  # a run of four times as many shows whether memory grows
SEED = 8_583
ACCEPTED = frozenset({200, 202})
SHED = frozenset({429, 503})
REST_S = 120.0  # until the last advice is acknowledged, a network's outage included
WHOLE_S = 3_600.0  # as long as it takes: the requests are what ends the drive
NETWORKS = ("vsim", "msim")
Relaying = Literal["on", "alone", "off"]
STREAM_ITSELF = ("relay", "audit")
SETTINGS = Settings()  # the stack runs on the defaults


@attrs.frozen(kw_only=True)
class Plan:
    """What to send, and how."""

    seconds: float
    connections: int
    rate: float
    count: int
    png: str
    dual: bool
    mac: Literal["none", "cmac"]
    relay: Relaying
    shards: int = 1

    @property
    def messages(self) -> dict[str, str]:
        """How many messages a charge takes, by network."""
        return {"msim": "dual" if self.dual else "single", "vsim": "single"}

    @property
    def counted(self) -> int:
        """Charges of the counted drive at most."""
        return self.count or int(self.seconds * (self.rate or ASSUMED_PER_S))

    @property
    def charges_needed(self) -> int:
        """Charges to prepare."""
        return self.counted + (charges_needed(ASSUMED_PER_S) if self.png else 0)


@attrs.frozen(kw_only=True)
class Prepared:
    """Charges ready to be sent, and how fast their intents were created."""

    warm_up: list[bytes]
    charges: list[bytes]
    intents: list[str]  # of both, in their order
    created_per_s: float


@attrs.frozen(kw_only=True)
class Drive:
    """The counted drive: what came back, what it cost, what is resident afterwards."""

    result: LoadResult
    swept: list[LoadResult]  # of the open-loop runs for the picture
    cpu_s: dict[str, float]
    resident_bytes: dict[str, int]
    resident_early_bytes: dict[str, int]  # after EARLY_CHARGES of a long run; empty otherwise


def run(
    *,
    seconds: float = 15.0,
    connections: int = 256,
    rate: float = 0.0,
    count: int = 0,
    png: str = "",
    dual: bool = False,
    mac: Literal["none", "cmac"] = "none",
    relay: Relaying = "off",
    shards: int = 1,
    keep: bool = False,
) -> Document:
    """Measure charges through the whole stack.

    Args:
        seconds: how long to send at most.
        connections: sockets of the load generator.
        rate: charges a second, open loop; 0 = closed loop.
        count: charges to send; 0 = as many as `seconds` allow. From 200,000 on, memory after the
            first 50,000 is reported too.
        png: where to draw latency against rate, from open-loop runs of their own.
        dual: have msim take each charge in two messages, 0100 and 0220, as it does otherwise;
            without it both networks take one, 0200.
        mac: `cmac` = every message between switch and networks is authenticated.
        relay: `on` = the event stream and its consumers run beside the payments, as they do in a
            stack of yours; `alone` = the stream and the audit log over it run, and what books from
            it does not, so that the one's cost is told from the other's. With neither the figure
            is that of the payments' own path, and comparable over the years.
        shards: ledgers; a merchant on each of them charges in turn.
        keep: leave the data directory behind.

    Raises:
        WrongResultsError: the three witnesses do not agree.
        UnrealStorageError: commits would not be durable where the data lies.
    """
    plan = Plan(
        seconds=seconds,
        connections=connections,
        rate=rate,
        count=count,
        png=png,
        dual=dual,
        mac=mac,
        relay=relay,
        shards=shards,
    )
    with networks_with(mac) as dialect:
        overrides = {
            "networks.msim.messages": plan.messages["msim"],
            **relaying(relay),
            "shards.count": str(shards),
            **dialect,
        }
        return trio.run(partial(_run, plan, overrides, keep=keep))


def relaying(relay: Relaying) -> dict[str, str]:
    """The settings of a stack that runs all of the event stream, the stream itself, or nothing."""
    settings = {"relay.enabled": "false" if relay == "off" else "true"}
    if relay == "alone":  # whatever else can be switched off reads the stream
        settings |= {
            f"{name}.enabled": "false"
            for name, section in msgspec.structs.asdict(SETTINGS).items()
            if getattr(section, "enabled", False) and name not in STREAM_ITSELF
        }
    return settings


@contextmanager
def networks_with(mac: Literal["none", "cmac"]) -> Iterator[dict[str, str]]:
    """The settings of a stack whose networks want MACs, or none; valid until the block ends."""
    with tempfile.TemporaryDirectory(prefix="turnout-dialect-") as folder:
        Path(folder).chmod(0o711)  # every process of the stack reads the dialect
        dialect = str(write_authenticated_dialect(Path(folder)))
        yield {f"networks.{name}.dialect": dialect for name in NETWORKS} if mac == "cmac" else {}


async def _run(plan: Plan, overrides: Mapping[str, str], *, keep: bool) -> Document:
    async with temporary_stack({"log.level": "warning", **overrides}, keep=keep) as stack:
        facts = await trio.to_thread.run_sync(durability, reader_dsn(stack), stack.data_dir)
        merchants = await merchants_on_each(stack, plan.shards)
        prepared = await trio.to_thread.run_sync(
            partial(prepare, stack, plan.charges_needed, merchants=merchants)
        )
        driven = await trio.to_thread.run_sync(_drive, stack, prepared, plan)
        progress("comparing answers, ledger and networks ...")
        results = [driven.result, *driven.swept]
        agreement = await agreement_of_shards(
            stack,
            plan.shards,
            sum(result.outcome.sent for result in results) + len(prepared.warm_up),
            (answer for result in results for answer in told(result.outcome)),
            rest_s=REST_S,
        )
    parameters = {
        "connections": plan.connections,
        "loop": "open" if plan.rate else "closed",
        "rate_per_s": plan.rate,
        "seconds": driven.result.seconds,
        "declined_share": DECLINED_SHARE,
        "networks": sorted(stack.endpoints.networks),
        "messages": plan.messages,
        "relay": plan.relay,
        "shards": plan.shards,
        "mac": plan.mac,
        "codec": "compiled",
        "batch_sizes": {
            "commit_1": SETTINGS.switch.commit_batch_max,
            "commit_2": SETTINGS.switch.settle_batch_max,
            "hsm": SETTINGS.hsm.batch_cards_max,
        },
        **facts,
    }
    return _document(parameters, prepared, driven, agreement)


def prepare(
    stack: TemporaryStack,
    total: int,
    numbers: Callable[[int, int], list[str]] = card_numbers,
    merchants: Sequence[Credentials] = (),
) -> Prepared:
    """Create the intents through the API, then seal and sign one charge for each.

    Args:
        stack: where.
        total: charges, beside those of the warm-up, which come first.
        numbers: makes PANs, given how many and a seed.
        merchants: whose they are, in turn; none = the demo shop's.

    Raises:
        WrongResultsError: an intent was not created.
    """
    host, port = address(stack)
    shops = merchants or [stack.credentials()]
    signers = [Signer(f"{host}:{port}", one.publishable_key, one.secret_key) for one in shops]
    wanted, turns = total + WARM_UP_CHARGES, len(signers)
    progress(f"creating {wanted:,} intents ...")
    shares = [len(range(turn, wanted, turns)) for turn in range(turns)]
    created = [_create(host, port, *each) for each in zip(signers, shares, strict=True)]
    progress(f"sealing and signing {wanted:,} charges ...")
    (answer,) = drive(
        host, port, [signers[0].request("GET", "/keys")], connections=1, seconds=60.0
    ).outcome.body
    keys = msgspec.json.decode(answer, type=dict[str, Any])["keys"]
    cards = numbers(wanted, SEED)
    requests = interleaved(
        [
            charge_requests(one, keys, created[turn][0], cards[turn::turns])
            for turn, one in enumerate(signers)
        ]
    )
    return Prepared(
        warm_up=requests[:WARM_UP_CHARGES],
        charges=requests[WARM_UP_CHARGES:],
        intents=interleaved([intents for intents, _ in created]),
        created_per_s=wanted / sum(seconds for _, seconds in created),
    )


def _create(host: str, port: int, signer: Signer, wanted: int) -> tuple[list[str], float]:
    """Create a merchant's intents; their ids, in the order of the answers, and how long it took."""
    requests = create_requests(signer, wanted)
    creating = drive(host, port, requests, connections=CREATE_CONNECTIONS, seconds=WHOLE_S)
    bodies = [
        body
        for status, body in zip(creating.outcome.status, creating.outcome.body, strict=True)
        if status == 201
    ]
    if len(bodies) < wanted:
        raise WrongResultsError(f"{wanted - len(bodies)} of {wanted} intents were not created")
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    return [decode(body)["id"] for body in bodies], creating.seconds


def _drive(stack: TemporaryStack, prepared: Prepared, plan: Plan) -> Drive:
    host, port = address(stack)
    processes = stack.endpoints.processes
    send = partial(drive, host, port, connections=plan.connections)
    warm_up = send(prepared.warm_up, seconds=60.0)
    if set(warm_up.outcome.status) - ACCEPTED:
        raise WrongResultsError(f"the warm-up was answered {sorted(set(warm_up.outcome.status))}")
    counted, spare = prepared.charges[: plan.counted], prepared.charges[plan.counted :]
    early: list[LoadResult] = []
    resident_early: dict[str, int] = {}
    if plan.count >= 4 * EARLY_CHARGES:
        progress(f"charging {EARLY_CHARGES:,} times, then looking at memory ...")
        early = [send(counted[:EARLY_CHARGES], seconds=WHOLE_S)]
        counted = counted[EARLY_CHARGES:]
        resident_early = resident_bytes(processes)
    progress(f"charging over {plan.connections} connections ...")
    before = cpu_by_group(processes)
    result = send(counted, seconds=WHOLE_S if plan.count else plan.seconds, rate=plan.rate)
    after = cpu_by_group(processes)
    swept: list[LoadResult] = []
    if plan.png:
        points, swept = sweep(
            spare, result.per_s, lambda piece, rate: send(piece, seconds=WHOLE_S, rate=rate)
        )
        draw(points, Path(plan.png))
    return Drive(
        result=result,
        swept=early + swept,
        cpu_s={group: after[group] - before[group] for group in after},
        resident_bytes=resident_bytes(processes),
        resident_early_bytes=resident_early,
    )


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
        "resident_early_bytes": driven.resident_early_bytes,
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
