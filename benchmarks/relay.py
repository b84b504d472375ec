"""`turnout bench relay`: what the event stream costs, and how far it is behind, at full rate.

An op is one change. Charges go through both commits as in `turnout bench ledger`, on a Postgres of
its own, in pairs of rounds: one while nothing else runs, one beside a relay and an audit process as
the supervisor starts them. Between the two they start and catch up with what the first round left
behind.

`cpu_us_per_op` has the `relay`, reading WAL and writing segments, syncs included; the `audit`,
reading segments, growing and signing the Merkle tree; both together, which the budget is for; and
the `walsender`, the server's process that decodes. The latency is that of a consumer: from a
transaction's commit, by the database's clock, until a reader of the stream has the record. Of the
records that a reader gets at once only the oldest counts, so the percentiles err on the far side.

With a rate, charges come as they would from merchants, and commits are as small as they come: the
latency is then that of an ordinary day, and the figures for CPU are those of processes with little
to do at each step.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import msgspec
import trio

from benchmarks.child import service_process
from benchmarks.latency import percentiles
from benchmarks.ledger import Workplace, prepared, through_both, workplace
from benchmarks.report import (
    Document,
    WrongResultsError,
    bench_document,
    process_cpu_s,
    progress,
)
from benchmarks.workplace import durability
from chassis.settings import Settings
from ledger.audit.folders import log_folder
from ledger.audit.log import CHECKPOINT
from ledger.audit.notes import Checkpoint, Note
from ledger.pgtypes import text_
from ledger.queries import Query
from ledger.records import ChargeToRecord, OutcomeToRecord
from ledger.stream.backend import Cursor, Reader
from ledger.stream.open import stream_reader
from ledger.stream.record import parse_record

CHANGES_A_CHARGE: Final = 5  # transaction, attempt, outcome; the intent twice
CAUGHT_UP_WITHIN_S: Final = 120.0
PAGE_RECORDS: Final = 4_096
PAGE_BYTES: Final = 4_194_304
BUDGET_US: Final = {"relay_and_audit": 4.0}

_WALSENDER: Final = Query(
    "walsender",
    "SELECT s.active_pid FROM pg_replication_slots AS s JOIN relays AS r ON r.slot = s.slot_name"
    " WHERE s.slot_name = $1::text AND s.active AND r.state = 'streaming'",
)
Load = Callable[[Sequence[tuple[ChargeToRecord, OutcomeToRecord]]], Awaitable[None]]
_SETTINGS: Final = Settings(log=msgspec.structs.replace(Settings().log, level="warning"))


@attrs.frozen
class Pair:
    """A round without the stream, its catching up, and a round with it."""

    charges_per_s_without: float
    charges_per_s: float
    catch_up_changes_per_s: float
    catch_up_relay_us: float
    relay_us: float
    audit_us: float
    walsender_us: float
    latencies_s: list[float]


@attrs.define
class Watch:
    """A consumer that only looks: how many records there are, and how old they were when seen."""

    reader: Reader
    cursor: Cursor = attrs.field(factory=dict)
    seen: int = 0
    latencies_s: list[float] = attrs.field(factory=list)

    async def until(self, count: int) -> None:
        """Read until so many records were seen in all."""
        with trio.move_on_after(CAUGHT_UP_WITHIN_S):
            while self.seen < count:
                page = await self.reader.read(self.cursor, PAGE_RECORDS, PAGE_BYTES)
                now_us = time.time_ns() // 1_000
                self.seen += len(page.records)
                self.cursor = page.cursor
                # One of a page is enough: its records became visible together.
                for _, _, data in page.records[:1]:
                    age_us = now_us - parse_record(data).committed_at_us
                    self.latencies_s.append(age_us / 1e6)
            return
        raise WrongResultsError(f"{self.seen} changes reached the stream, {count} were committed")


def run(*, charges: int = 20_000, rounds: int = 3, batch: int = 128, rate: float = 0.0) -> Document:
    """Measure and return the benchmark's document; figures are medians of the rounds.

    Args:
        charges: a round.
        rounds: pairs of them.
        batch: charges a commit, at most.
        rate: charges a second in all rounds; 0 is as many as there can be.

    Raises:
        WrongResultsError: a change did not reach the stream, or more than were made.
        UnrealStorageError: fsync is off, or the data lies in memory.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name:
        folder = Path(name)
        folder.chmod(0o711)
        facts, pairs = trio.run(partial(_measure, folder, charges, rounds, batch, rate))

    def median(figure: str) -> float:
        return float(statistics.median(getattr(pair, figure) for pair in pairs))

    with_relay, without = median("charges_per_s"), median("charges_per_s_without")
    lag = percentiles(latency for pair in pairs for latency in pair.latencies_s)
    return bench_document(
        "relay",
        parameters={
            **facts,
            "charges": charges,
            "rounds": rounds,
            "batch": batch,
            "rate_per_s": rate,
            "changes_per_charge": CHANGES_A_CHARGE,
            "stream": _SETTINGS.stream.backend,
            "batch_interval_ms": _SETTINGS.relay.batch_interval_ms,
        },
        results={
            "changes_per_s": with_relay * CHANGES_A_CHARGE,
            "charges_per_s": with_relay,
            "charges_per_s_without": without,
            "throughput_taken_ratio": statistics.median(
                1.0 - pair.charges_per_s / pair.charges_per_s_without for pair in pairs
            ),
            "lag_p99_ms": lag["p99_ms"],
            "commit_to_visible": lag,
            "catch_up_changes_per_s": median("catch_up_changes_per_s"),
            "catch_up_relay_us": median("catch_up_relay_us"),
            "load_cpu_us": 0.0,
            "budget_us": BUDGET_US,
        },
        cpu_us_per_op={
            "relay": median("relay_us"),
            "audit": median("audit_us"),
            "relay_and_audit": statistics.median(pair.relay_us + pair.audit_us for pair in pairs),
            "walsender": median("walsender_us"),
        },
    )


async def _measure(
    folder: Path, charges: int, rounds: int, batch: int, rate: float
) -> tuple[dict[str, str], list[Pair]]:
    async with workplace(folder) as place:
        facts = durability(place.postgres.superuser_dsn(), folder)
        with _relay(place, folder):  # makes slot and stream
            await _walsender(place)
        async with stream_reader(_SETTINGS, folder) as reader:
            watch = Watch(reader)
            await through_both(place, await prepared(place, batch), batch)
            expected = batch * (CHANGES_A_CHARGE + 1)
            pairs = []
            for number in range(1, rounds + 1):
                load = partial(through_both, place, batch=batch, rate_per_s=rate)
                pairs.append(await _pair(place, folder, watch, charges, load, expected))
                expected += 2 * charges * (CHANGES_A_CHARGE + 1)  # its creation, too
                progress(
                    f"bench relay: pair {number} of {rounds}: "
                    f"{pairs[-1].relay_us:.2f} + {pairs[-1].audit_us:.2f} us a change"
                )
            if await reader.high_water() != watch.cursor:
                raise WrongResultsError("the stream holds more changes than were made")
    return facts, pairs


async def _pair(
    place: Workplace, folder: Path, watch: Watch, charges: int, load: Load, expected: int
) -> Pair:
    first, second = await prepared(place, charges), await prepared(place, charges)
    started = time.perf_counter()
    await load(first)
    without_s = time.perf_counter() - started
    backlog = expected + charges * (CHANGES_A_CHARGE + 2) - watch.seen  # both rounds' intents
    with _relay(place, folder) as relay_pid, _audit(folder) as audit_pid:
        started = time.perf_counter()
        before_s = process_cpu_s(relay_pid)
        await watch.until(watch.seen + backlog)
        catch_up_s = time.perf_counter() - started
        catch_up_cpu_s = process_cpu_s(relay_pid) - before_s
        await _signed(folder, watch.seen)
        measured = relay_pid, audit_pid, await _walsender(place)
        watch.latencies_s = []
        before = [process_cpu_s(process_id) for process_id in measured]
        started = time.perf_counter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.until, watch.seen + charges * CHANGES_A_CHARGE)
            await load(second)
            with_s = time.perf_counter() - started
        await _signed(folder, watch.seen)
        after = [process_cpu_s(process_id) for process_id in measured]
    changes = charges * CHANGES_A_CHARGE
    spent_s = (late - early for early, late in zip(before, after, strict=True))
    relay_us, audit_us, walsender_us = (one_s / changes * 1e6 for one_s in spent_s)
    return Pair(
        charges_per_s_without=charges / without_s,
        charges_per_s=charges / with_s,
        catch_up_changes_per_s=backlog / catch_up_s,
        catch_up_relay_us=catch_up_cpu_s / backlog * 1e6,
        relay_us=relay_us,
        audit_us=audit_us,
        walsender_us=walsender_us,
        latencies_s=[*watch.latencies_s],  # the next pair's catching up goes into that list
    )


@contextmanager
def _relay(place: Workplace, folder: Path) -> Iterator[int]:
    """Run the relay's process; yields its process id. The end drains it."""
    with service_process(
        "relay",
        settings=_SETTINGS,
        data_dir=folder,
        listeners={},
        allowed_uids={},
        secrets={"database_dsn": place.postgres.superuser_dsn()},
    ) as process:
        yield process.pid


@contextmanager
def _audit(folder: Path) -> Iterator[int]:
    """Run the audit log's process; yields its process id. The end drains it."""
    log_folder(folder).mkdir(parents=True, exist_ok=True)
    with service_process(
        "audit", settings=_SETTINGS, data_dir=folder, listeners={}, allowed_uids={}
    ) as process:
        yield process.pid


async def _signed(folder: Path, count: int) -> None:
    """Wait until so many records are signed for."""
    path = log_folder(folder) / CHECKPOINT
    size = 0
    with trio.move_on_after(CAUGHT_UP_WITHIN_S):
        while size < count:
            await trio.sleep(0.02)
            if path.exists():
                size = Checkpoint.parse(Note.parse(path.read_bytes()).text).size
        return
    raise WrongResultsError(f"{size} changes are signed for, {count} were committed")


async def _walsender(place: Workplace) -> int:
    """The process id of the walsender, once the relay streams."""
    with trio.move_on_after(CAUGHT_UP_WITHIN_S):
        while True:
            rows = (await place.superuser.run(_WALSENDER, [text_(_SETTINGS.relay.slot)])).rows()
            if rows:
                process_id: int = rows[0][0]
                return process_id
            await trio.sleep(0.02)
    raise WrongResultsError("the relay does not stream")
