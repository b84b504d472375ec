"""The months of the payment tables: made ahead of time, dropped when archived; strays watched."""

from __future__ import annotations

import functools
import re
from datetime import UTC, datetime
from typing import Final, Self
from uuid import UUID

from attrs import frozen

from ledger.connection import Connection
from ledger.ids import lowest_id_at
from ledger.pgtypes import int4_, text_, timestamptz_, uuid_
from ledger.queries import Query
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
_IDS: Final = "month_ids"  # a constraint, while a month is attached again
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


async def sum_postings(session: Connection, month: Month) -> None:
    """Find out what a month's postings come to; `detach` carries it on. In its transaction.

    Reads all of them, under no lock that a payment waits for.
    """
    await session.script(
        f"CREATE TEMP TABLE month_sums ON COMMIT DROP AS {_sums_sql(month)}"  # our own names
    )


async def hold_tables(session: Connection, month: Month, *, wait_ms: int, hold_ms: int) -> None:
    """Take all locks that `detach` and `attach_again` need, before either. In their transaction.

    Payments wait from the first of them on.

    Args:
        session: of the owner.
        month: attached or not.
        wait_ms: for all of them together.
        hold_ms: for each statement under them, and for the next one to come: if none does, the
            server ends the session, and with it the transaction.

    Raises:
        RetryableError: the tables are busy for longer than that.
    """
    await session.script(
        f"SET LOCAL statement_timeout = {wait_ms};"
        f"SET LOCAL idle_in_transaction_session_timeout = {hold_ms}"
    )
    tables = ", ".join(
        f'ONLY "{name}"'
        for table in ARCHIVED
        for name in (table, f"{table}_default", month.leaf(table))
    )
    await session.script(f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE")
    await session.script(f"SET LOCAL statement_timeout = {hold_ms}")


async def detach(session: Connection, month: Month, *, operator: str) -> None:
    """Take a month out of the tables, and carry what `sum_postings` found. In a transaction.

    Under the locks of `hold_tables`: every payment waits, so none of it reads rows.
    """
    for table in ARCHIVED:
        await session.script(f'ALTER TABLE {table} DETACH PARTITION "{month.leaf(table)}"')
    await session.script(
        "INSERT INTO carried_sums "  # noqa: S608  our own label
        "(month, account, debits_minor, credits_minor) "
        f"SELECT '{month.label}', s.account, s.debits_minor, s.credits_minor FROM month_sums AS s"
    )
    ids = [uuid_(month.first_id), uuid_(month.end_id)]
    await session.run(_NOTE_DETACHED, [text_(month.label), *ids, text_(operator)])


async def carried_differently(runner: Runner, month: Month) -> int:
    """Of how many accounts another sum is carried than a detached month's postings come to."""
    found: int = (await runner.run(_carried_query(month))).column(0)[0]
    return found


async def bound_ids(session: Connection, month: Month) -> None:
    """Have the ids of a detached month checked: before `hold_tables`, while nobody waits."""
    low, high = _bounds(month)
    for table in ARCHIVED:
        key = "id" if table == "payment_intents" else "intent_id"
        await session.script(
            f'ALTER TABLE "{month.leaf(table)}" DROP CONSTRAINT IF EXISTS {_IDS}, '
            f"ADD CONSTRAINT {_IDS} CHECK ({key} >= '{low}' AND {key} < '{high}')"
        )


async def attach_again(session: Connection, month: Month) -> None:
    """Make a month that was detached a part of the tables again. In a transaction.

    Under the locks of `hold_tables`. Postgres believes what `bound_ids` has checked, and reads no
    rows but the DEFAULT partitions'.
    """
    low, high = _bounds(month)
    for table in ARCHIVED:
        leaf = month.leaf(table)
        await session.script(
            f'ALTER TABLE {table} ATTACH PARTITION "{leaf}" '
            f"FOR VALUES FROM ('{low}') TO ('{high}')"
        )
        await session.script(f'ALTER TABLE "{leaf}" DROP CONSTRAINT {_IDS}')
    await session.run(_FORGET, [text_(month.label)])


async def drop(session: Connection, month: Month) -> None:
    """Drop a month that was detached. In a transaction."""
    for table in ARCHIVED:
        await session.script(f'DROP TABLE "{month.leaf(table)}"')
    await session.run(_NOTE_DROPPED, [text_(month.label)])


def _bounds(month: Month) -> tuple[str, str]:
    return str(UUID(bytes=month.first_id)), str(UUID(bytes=month.end_id))


def _sums_sql(month: Month) -> str:
    return (
        "SELECT m.account, sum(m.debit)::bigint AS debits_minor, "  # noqa: S608  our own names
        f'sum(m.credit)::bigint AS credits_minor FROM "{month.leaf("postings")}" AS p '
        "CROSS JOIN LATERAL (VALUES (p.debit_account, p.amount_minor, 0::bigint), "
        "(p.credit_account, 0, p.amount_minor)) AS m (account, debit, credit) GROUP BY m.account"
    )


@functools.cache
def _carried_query(month: Month) -> Query:
    """The same object each time: a session prepares a query once."""
    return Query(
        f"month_carried_{month.label}",
        f"SELECT count(*) FROM ({_sums_sql(month)}) AS s "  # noqa: S608  our own names
        f"FULL JOIN (SELECT * FROM carried_sums WHERE month = '{month.label}') AS c "
        "USING (account) "
        "WHERE (s.debits_minor, s.credits_minor) "
        "IS DISTINCT FROM (c.debits_minor, c.credits_minor)",
    )


def _instant_us(year: int, month: int) -> int:
    return round(datetime(year, month, 1, tzinfo=UTC).timestamp() * 1_000_000)
