"""The months of the payment tables: made ahead of time, dropped when archived; strays watched."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final, Self
from uuid import UUID

from attrs import frozen

from ledger.connection import Connection
from ledger.ids import lowest_id_at
from ledger.pgtypes import int4_, text_, timestamptz_, uuid_
from ledger.statements import QUERIES, Runner

PARTITIONED: Final = (
    "payment_intents",
    "payment_intent_details",
    "transactions",
    "attempts",
    "outcomes",
    "postings",
)
# Those whose rows the event stream has, and so the archive: a month of them may be dropped.
ARCHIVED: Final = ("payment_intents", "transactions", "attempts", "outcomes", "postings")

_LABEL: Final = re.compile(r"([0-9]{4})_(0[1-9]|1[0-2])")
_ENSURE: Final = QUERIES["ensure_partitions"]
_STRAY: Final = QUERIES["stray_rows"]
_ATTACHED: Final = QUERIES["months_attached"]
_DETACHED: Final = QUERIES["months_detached"]
_DROPPED: Final = QUERIES["months_dropped"]
_NOTE_DETACHED: Final = QUERIES["month_note_detached"]
_NOTE_DROPPED: Final = QUERIES["month_note_dropped"]
_FORGET: Final = QUERIES["month_forget"]
_WAITING: Final = QUERIES["month_waiting"]


async def ensure_partitions(runner: Runner, *, now_us: int, months_ahead: int) -> int:
    """Make this month's partitions and those of `months_ahead` more; gives how many were missing.

    Role: turnout_switch or the owner. Safe to repeat and to run from several switches at once.

    Raises:
        RowError: a DEFAULT partition holds rows of a missing month (see `stray_rows`).
        RetryableError: a table is busy for longer than `lock_timeout`; try again later.
    """
    result = await runner.run(_ENSURE, [timestamptz_(now_us), int4_(months_ahead + 1)])
    made: int = result.column(0)[0]
    return made


async def stray_rows(runner: Runner) -> list[str]:
    """The tables whose DEFAULT partition holds rows: none, or something has to be repaired."""
    [found] = (await runner.run(_STRAY)).rows()
    return [table for table, stray in zip(PARTITIONED, found, strict=True) if stray]


@frozen
class Month:
    """One month of the payment tables.

    Attributes:
        label: as its partitions are named, `2026_01`.
        end_us: when it ends, Unix microseconds.
        first_id: the lowest id of the month.
        end_id: the lowest behind it.
    """

    label: str
    end_us: int
    first_id: bytes
    end_id: bytes

    @classmethod
    def of(cls, label: str) -> Self:
        """The month of a label.

        Raises:
            ValueError: it is none.
        """
        if not _LABEL.fullmatch(label):
            raise ValueError(f"{label!r} is no month")
        year, month = map(int, label.split("_"))
        begin, end = _instant_us(year, month), _instant_us(year + month // 12, month % 12 + 1)
        return cls(label, end, lowest_id_at(begin), lowest_id_at(end))

    def leaf(self, table: str) -> str:
        """The partition of a table."""
        return f"{table}_{self.label}"

    def holds(self, intent_id: bytes) -> bool:
        """Whether a payment was created in it."""
        return self.first_id <= intent_id < self.end_id


async def attached_months(runner: Runner) -> list[Month]:
    """The months that the tables have, oldest first."""
    return [Month.of(label) for label in (await runner.run(_ATTACHED)).column(0)]


async def detached_months(runner: Runner) -> list[Month]:
    """Those that are no part of the tables any more, and not dropped yet."""
    return [Month.of(label) for label in (await runner.run(_DETACHED)).column(0)]


async def dropped_months(runner: Runner) -> list[Month]:
    """Those that are gone. Role: turnout_reader."""
    return [Month.of(label) for label in (await runner.run(_DROPPED)).column(0)]


async def waiting(runner: Runner, month: Month, *, keys_since_us: int) -> dict[str, int]:
    """What still waits for a month's payments, by kind; nothing where nothing does."""
    params = [uuid_(month.first_id), uuid_(month.end_id), timestamptz_(keys_since_us)]
    return {kind: count for kind, count in (await runner.run(_WAITING, params)).rows() if count}


async def detach(session: Connection, month: Month, *, operator: str) -> None:
    """Take a month out of the tables, and carry what its postings come to. In a transaction.

    Raises:
        RetryableError: a table is busy for longer than `lock_timeout`.
    """
    for table in ARCHIVED:
        await session.script(f'ALTER TABLE {table} DETACH PARTITION "{month.leaf(table)}"')
    postings = month.leaf("postings")
    await session.script(
        "INSERT INTO carried_sums (month, account, debits_minor, credits_minor) "  # noqa: S608
        f"SELECT '{month.label}', m.account, sum(m.debit), sum(m.credit) FROM \"{postings}\" AS p "
        "CROSS JOIN LATERAL (VALUES (p.debit_account, p.amount_minor, 0::bigint), "
        "(p.credit_account, 0, p.amount_minor)) AS m (account, debit, credit) GROUP BY m.account"
    )
    ids = [uuid_(month.first_id), uuid_(month.end_id)]
    await session.run(_NOTE_DETACHED, [text_(month.label), *ids, text_(operator)])


async def attach_again(session: Connection, month: Month) -> None:
    """Make a month that was detached a part of the tables again. In a transaction."""
    low, high = (str(UUID(bytes=one)) for one in (month.first_id, month.end_id))
    for table in ARCHIVED:
        await session.script(
            f'ALTER TABLE {table} ATTACH PARTITION "{month.leaf(table)}" '
            f"FOR VALUES FROM ('{low}') TO ('{high}')"
        )
    await session.run(_FORGET, [text_(month.label)])


async def drop(session: Connection, month: Month) -> None:
    """Drop a month that was detached. In a transaction."""
    for table in ARCHIVED:
        await session.script(f'DROP TABLE "{month.leaf(table)}"')
    await session.run(_NOTE_DROPPED, [text_(month.label)])


def _instant_us(year: int, month: int) -> int:
    return round(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1_000_000)
