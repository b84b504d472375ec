"""`turnout bench sessions`: echoes and new MAC keys while charges go through one network.

Every message carries a MAC. The network asks whether the switch is there several times a second,
and hands out a new key every second, with messages under the old one in flight; the switch asks for
keys, too, when its own grow old. At a constant rate this shows that no message fails for its key;
in a closed loop, that an echo is answered in time by a switch that has no time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, Final
from urllib.request import urlopen

import attrs
import psycopg
import trio

from benchmarks.charges import ACCEPTED, ASSUMED_PER_S, Prepared, prepare
from benchmarks.driving import LoadResult, drive
from benchmarks.latency import percentiles
from benchmarks.merchant import intents_seen, merchant_of
from benchmarks.played import PLAYED, Scene, stack_with_played_network
from benchmarks.prepared import numbers_behind
from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.workplace import address, durability, reader_dsn
from chaos.agreement import Verdict, agree
from chaos.books import read_books
from chaos.ledger_rows import read_ledger
from chaos.rest import come_to_rest

APPROVED: Final = "424242000"  # of the simulator's load ranges
ECHO_EVERY_S: Final = 0.25
KEY_EVERY_S: Final = 1.0
OUR_KEY_AGE_S: Final = 5.0  # then the switch asks for another, at most once a minute
ECHO_WITHIN_S: Final = 1.0
ANSWERED_WITHIN_S: Final = 10.0  # an 0800; later is a wrong result in any case
REST_S: Final = 120.0
METRICS_TIMEOUT_S: Final = 5.0
# What counts as a failed authentication, of the switch's metrics.
FAILURES: Final = (
    "turnout_switch_link_unauthentic_total",
    "turnout_switch_macs_bad_total",
    "turnout_switch_macs_refused_total",
    "turnout_switch_macs_dropped_total",
)
REFUSED_SQL: Final = "SELECT count(*) FROM outcomes WHERE response_code = '63'"


@attrs.define
class Managed:
    """What the network has asked, and how the switch took it."""

    echoes_s: list[float] = attrs.field(factory=list)
    pushed: Counter[str] = attrs.field(factory=Counter)  # by DE 39 of the answer


@attrs.frozen(kw_only=True)
class Seen:
    """What came of it all.

    Attributes:
        driven: the charges.
        managed: echoes and keys.
        failures: of authentication: by metric, and of the switch's messages at the network.
        verdict: of the three witnesses.
        left: what has not come to rest.
    """

    driven: LoadResult
    managed: Managed
    failures: dict[str, int]
    verdict: Verdict
    left: dict[str, int]


def run(
    *, seconds: float = 20.0, rate: float = 0.0, connections: int = 256, keep: bool = False
) -> Document:
    """Measure echoes and key changes under load.

    Args:
        seconds: how long to send.
        rate: charges a second, open loop; 0 = closed loop, as many as there can be.
        connections: sockets of the load generator.
        keep: leave the data directory behind.

    Raises:
        WrongResultsError: an authentication failed, a key was refused, an echo took longer than a
            second, or the witnesses disagree.
        UnrealStorageError: commits would not be durable where the data lies.
    """
    parameters = {"seconds": seconds, "rate_per_s": rate, "connections": connections}
    return trio.run(partial(_run, parameters, keep=keep))


async def _run(parameters: dict[str, Any], *, keep: bool) -> Document:
    overrides = {f"networks.{PLAYED}.mac_key_age_s": f"{OUR_KEY_AGE_S}"}
    async with stack_with_played_network(overrides, mac="cmac", keep=keep) as scene:
        stack, dsn = scene.stack, reader_dsn(scene.stack)
        facts = await trio.to_thread.run_sync(durability, dsn, stack.data_dir)
        total = int(parameters["seconds"] * (parameters["rate_per_s"] or ASSUMED_PER_S / 2))
        numbers = partial(numbers_behind, APPROVED)
        prepared = await trio.to_thread.run_sync(prepare, stack, total, numbers)
        warm_up, driven, managed = await _driven(scene, prepared, parameters)
        left = await come_to_rest(dsn, REST_S)
        failures = await trio.to_thread.run_sync(_failures, scene)
        progress("comparing answers, ledger and network ...")
        seen = await trio.to_thread.run_sync(intents_seen, stack, prepared.intents)
        ledger = await trio.to_thread.run_sync(read_ledger, dsn)
        books = await trio.to_thread.run_sync(read_books, stack.data_dir, [PLAYED])
    verdict = agree(merchant_of([warm_up, driven], seen), ledger, books)
    found = Seen(driven=driven, managed=managed, failures=failures, verdict=verdict, left=left)
    return _document({**parameters, "mac": "cmac", **facts}, found)


async def _driven(
    scene: Scene, prepared: Prepared, parameters: dict[str, Any]
) -> tuple[LoadResult, LoadResult, Managed]:
    host, port = address(scene.stack)
    managed = Managed()
    send = partial(drive, host, port, connections=parameters["connections"])
    warm_up = await trio.to_thread.run_sync(partial(send, prepared.warm_up, seconds=60.0))
    progress(f"charging for {parameters['seconds']:g} s, with echoes and new keys ...")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_ask_echoes, scene, managed)
        nursery.start_soon(_push_keys, scene, managed)
        driven = await trio.to_thread.run_sync(
            partial(
                send,
                prepared.charges,
                seconds=parameters["seconds"],
                rate=parameters["rate_per_s"],
            )
        )
        nursery.cancel_scope.cancel()
    return warm_up, driven, managed


async def _ask_echoes(scene: Scene, managed: Managed) -> None:
    """Ask on one connection after the other whether the switch is there."""
    turn = 0
    while True:
        await trio.sleep(ECHO_EVERY_S)
        peers = scene.playing.host.initiative.peers()
        turn += 1
        began = trio.current_time()
        with trio.fail_after(ANSWERED_WITHIN_S):
            await scene.playing.host.initiative.ask(
                "echo", connection=peers[turn % len(peers)].number
            )
        managed.echoes_s.append(trio.current_time() - began)


async def _push_keys(scene: Scene, managed: Managed) -> None:
    """Hand out a new key, again and again."""
    while True:
        await trio.sleep(KEY_EVERY_S)
        with trio.fail_after(ANSWERED_WITHIN_S):
            answer = await scene.playing.host.initiative.push_key()
        managed.pushed[answer.get(39, "")] += 1


def _failures(scene: Scene) -> dict[str, int]:
    """Failed authentications that either side has counted."""
    pages = []
    for name, url in scene.stack.refresh().metrics.items():
        if name.startswith("switch"):
            with urlopen(url, timeout=METRICS_TIMEOUT_S) as answer:  # noqa: S310  our own address
                pages.append(answer.read().decode())
    with psycopg.connect(reader_dsn(scene.stack)) as session:
        row = session.execute(REFUSED_SQL).fetchone()
    assert row is not None
    return {**failures_counted(pages), "refused_by_the_network": row[0]}


def failures_counted(pages: Sequence[str]) -> dict[str, int]:
    """What the switches' metrics say of failed authentications, summed over networks.

    Raises:
        WrongResultsError: a metric is not there: nothing would be known.
    """
    counted: Counter[str] = Counter()
    for line in (line for page in pages for line in page.splitlines()):
        metric = line.partition("{")[0]
        if metric in FAILURES:
            counted[metric] += round(float(line.rpartition(" ")[2]))
    if missing := [metric for metric in FAILURES if metric not in counted]:
        raise WrongResultsError(f"the switch has no metrics {missing}")
    return dict(counted)


def _document(parameters: dict[str, Any], found: Seen) -> Document:
    outcome, managed, verdict = found.driven.outcome, found.managed, found.verdict
    slowest_s = max(managed.echoes_s, default=float("inf"))
    accepted = sum(status in ACCEPTED for status in outcome.status)
    results = {
        "charges": accepted,
        "charges_per_s": accepted / found.driven.seconds,
        **percentiles(outcome.latency_s),
        "echoes": len(managed.echoes_s),
        "echo_median_ms": sorted(managed.echoes_s)[len(managed.echoes_s) // 2] * 1e3,
        "echo_max_ms": slowest_s * 1e3,
        "keys_taken": managed.pushed["00"],
        "keys_refused": managed.pushed.total() - managed.pushed["00"],
        "mac_failures": sum(found.failures.values()),
        "payments_compared": verdict.payments,
        "unresolved": len(verdict.unresolved),
        "lost": len(verdict.lost),
        "duplicated": len(verdict.duplicated),
        "disagree": len(verdict.disagree),
    }
    wrong = results["mac_failures"] or results["keys_refused"] or not results["keys_taken"]
    if wrong or slowest_s >= ECHO_WITHIN_S or found.left or not verdict.holds:
        raise WrongResultsError(
            f"{results}; {found.failures}; left {found.left}; {list(verdict.reasons.items())[:5]}"
        )
    return bench_document("sessions", parameters, results, {})
