"""`turnout bench audit`: what it costs to take a record into the audit log, and to verify it.

An op is one record, of the size and kinds that a charge makes, from segment files. `sign` is what
the audit process does behind the reading: hash, extend the tree, and every so many records make it
durable and sign it. `verify` is `turnout audit verify all` on one core: read, hold each frame to
its CRC, compute the tree anew, compare all levels, check every signature. `compare` is the part of
`verify db` that is not Postgres': a record and its row, digested and compared.

Before a figure is reported everything must be found well, and a byte that is then changed be found.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from benchmarks.report import Document, WrongResultsError, bench_document, progress
from benchmarks.stream import DESCRIPTOR, attempt_record
from chassis.clock import now_us
from chassis.settings.tree import Audit, Stream
from ledger.audit.comparison import Compared, Comparison
from ledger.audit.findings import Findings
from ledger.audit.keys import KeyPair, make_pair
from ledger.audit.log import AuditLog
from ledger.audit.notes import ED25519
from ledger.audit.segment_entries import read_entries
from ledger.audit.tables import Column, TableRows
from ledger.audit.verify_log import Verified, verify_log
from ledger.pgoutput import TUPLE_AT, read_relation, read_tuple
from ledger.stream.backend import Batch
from ledger.stream.record import HEAD_BYTES, Mark
from ledger.stream.segments.files import list_segments, segment_path, shard_folder
from ledger.stream.segments.writer import SegmentWriter

EVENTS_PER_S_PER_CORE: Final = 200_000  # what `verify` must reach
BUDGET_US: Final = {"verify": 1e6 / EVENTS_PER_S_PER_CORE}
COMPARED: Final = 20_000  # records that are compared with their rows
_BATCH: Final = 400
_KEY: Final = bytes(range(32))


@attrs.frozen
class Round:
    """CPU microseconds a record."""

    sign_us: float
    verify_us: float
    compare_us: float


def run(*, records: int = 200_000, checkpoint: int = 10_000, rounds: int = 3) -> Document:
    """Measure and return the benchmark's document; figures are medians of the rounds.

    Args:
        records: a round.
        checkpoint: records a signature.
        rounds: each in a log of its own.

    Raises:
        WrongResultsError: something is found where nothing is wrong, or nothing where something is.
    """
    made = [attempt_record(number) for number in range(records)]
    measured = []
    for number in range(1, rounds + 1):
        with tempfile.TemporaryDirectory(prefix="turnout-bench-") as name:
            measured.append(_measure(Path(name), made, checkpoint))
        one = measured[-1]
        progress(
            f"bench audit: round {number} of {rounds}: sign {one.sign_us:.2f}, "
            f"verify {one.verify_us:.2f}, compare {one.compare_us:.2f} us a record"
        )

    def median(figure: str) -> float:
        return float(statistics.median(getattr(one, figure) for one in measured))

    return bench_document(
        "audit",
        parameters={
            "records": records,
            "checkpoint": checkpoint,
            "rounds": rounds,
            "record_bytes": len(made[0]),
        },
        results={
            "verified_per_s_per_core": 1e6 / median("verify_us"),
            "budget_us": BUDGET_US,
            "load_cpu_us": 0.0,
        },
        cpu_us_per_op={
            "sign": median("sign_us"),
            "verify": median("verify_us"),
            "compare": median("compare_us"),
        },
    )


def _measure(folder: Path, made: list[bytes], checkpoint: int) -> Round:
    trio.run(partial(_write, folder, made))
    pair = make_pair("turnout.bench/0", ED25519, _KEY)
    log = AuditLog.open(folder / "log", pair.public.name, pair.public, pair)
    began = time.process_time()
    for first in range(0, len(made), Audit().batch_records_max):
        batch = made[first : first + Audit().batch_records_max]
        for at in range(0, len(batch), checkpoint):
            log.append(batch[at : at + checkpoint])
            log.checkpoint(datetime.now(UTC))
    sign_s = time.process_time() - began
    log.close()
    began = time.process_time()
    verified, findings = _verify(folder, pair)
    verify_s = time.process_time() - began
    if findings.count or verified.signed != len(made):
        raise WrongResultsError(f"{findings.count} findings where nothing is wrong")
    _change_a_byte(shard_folder(folder, 0))
    if not _verify(folder, pair)[1].count:
        raise WrongResultsError("a byte was changed, and nothing was found")
    return Round(
        sign_us=sign_s / len(made) * 1e6,
        verify_us=verify_s / len(made) * 1e6,
        compare_us=_compare_us(made[:COMPARED]),
    )


async def _write(folder: Path, made: list[bytes]) -> None:
    writer = SegmentWriter(folder, shard=0, settings=Stream(), now_us=now_us)
    await writer.open()
    for first in range(0, len(made), _BATCH):
        records = made[first : first + _BATCH]
        await writer.append(Batch(records, [DESCRIPTOR], Mark(1, 1, first + 1)))
    await writer.aclose()


def _verify(folder: Path, pair: KeyPair) -> tuple[Verified, Findings]:
    findings = Findings()
    entries = read_entries(shard_folder(folder, 0), 0, findings)
    return verify_log(folder / "log", pair.public, entries, findings), findings


def _change_a_byte(stream: Path) -> None:
    path = segment_path(stream, list_segments(stream)[-1])
    data = bytearray(path.read_bytes())
    data[len(data.rstrip(b"\0")) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def _compare_us(made: list[bytes]) -> float:
    _, shape = read_relation(DESCRIPTOR)
    columns = (Column(one.name, one.type_oid, one.is_key) for one in shape.columns)
    table = TableRows(shape.table, tuple(columns))
    rows = [read_tuple(one[HEAD_BYTES:], TUPLE_AT + 1, shape, "row")[0] for one in made]
    findings, compared = Findings(), Compared()
    comparison = Comparison([table], findings, compared, settled=len(made), secret=_KEY)
    began = time.process_time()
    comparison.take(0, made, [DESCRIPTOR])
    comparison.show(table, rows)
    comparison.finish()
    spent_s = time.process_time() - began
    if findings.count or compared.rows != len(made):
        raise WrongResultsError(f"{findings.count} rows differ from themselves")
    return spent_s / len(made) * 1e6
