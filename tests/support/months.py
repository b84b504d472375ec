"""A past month of payments in a real Postgres, carried into a stream and archived whole."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import msgspec
import trio
from attrs import define, field

from ledger.archive.archiver import Archiver
from ledger.archive.catalog import archived, make_work_folder, old_end, read_catalog
from ledger.archive.entries import ArchivedRecords
from ledger.archive.expiring import Expirer
from ledger.archive.holds import Line, Register
from ledger.archive.months import Dropped, MonthDropper
from ledger.archive.store import FolderStore
from ledger.archive.trimming import Trimmer
from ledger.audit.findings import Findings
from ledger.audit.folders import LOG_KEY_STEM, log_folder
from ledger.audit.keys import KeyPair, load_or_make
from ledger.audit.log import AuditLog
from ledger.audit.notes import ED25519
from ledger.audit.segment_entries import read_entries
from ledger.connection import Connection
from ledger.partitions import Month
from ledger.roles import OWNER
from ledger.stream.backend import Batch
from ledger.stream.open import stream_writer
from ledger.stream.segments.files import shard_folder
from tests.support.postgres import LedgerDSN
from tests.support.relay import LIMITS, RelayHarness

MONTH: Final = Month.of("2024_02")
MERCHANT: Final = b"\x07" * 16
ORIGIN: Final = "turnout.example/0"
PAYMENTS: Final = 12
_US: Final = 1_000_000

# Payments of February 2024 that were charged and captured then, with their bookings.
SQL: Final = """
SELECT ensure_partitions('2024-02-01Z', 1);
INSERT INTO payment_intents (
    id, merchant_id, amount_minor, captured_minor, refunded_minor, live, currency, status,
    created_at, updated_at
)
SELECT one, '{merchant}', 100, 100, 0, false, 'usd', 'succeeded', '2024-02-03Z', '2024-02-04Z'
FROM unnest('{{{ids}}}'::uuid[]) AS one;
INSERT INTO payment_intent_details (intent_id, request_id, client_secret_hash)
SELECT id, gen_random_uuid(), sha256('s') FROM payment_intents WHERE created_at < '2024-03-01';
INSERT INTO transactions (
    intent_id, id, request_id, amount_minor, intent_version, type, currency, card_digest,
    sealed_card, card_last4
)
SELECT id, gen_random_uuid(), gen_random_uuid(), 100, 1, 'charge', 'usd', gen_random_uuid(),
    'sealed', '4242'
FROM payment_intents WHERE created_at < '2024-03-01';
INSERT INTO attempts (
    intent_id, id, transaction_id, amount_minor, deadline_at, epoch, owner, network, acquirer_id,
    mti, stan, rrn, de7, currency
)
SELECT intent_id, id, id, 100, '2024-02-04Z', 1, 'switch-0', 'vsim', '4', '0200', '000001',
    '0ABCDEFGHIJK', '0204030405', 'usd'
FROM transactions;
INSERT INTO outcomes (
    intent_id, attempt_id, transaction_id, request_id, at, intent_version, epoch, phase, owner,
    actor, result, from_status, to_status, intent_status
)
SELECT intent_id, id, transaction_id, gen_random_uuid(), '2024-02-04Z', 2, 1, 1, 'switch-0',
    'network:vsim', 'approved', 'pending', 'succeeded', 'succeeded'
FROM attempts;
INSERT INTO accounts (id, merchant_id, live, purpose, currency, debits_minor, credits_minor)
VALUES ('{debit}', '{merchant}', false, 'fees', 'usd', {sum}, 0),
    ('{credit}', '{merchant}', false, 'suspense', 'usd', 0, {sum});
INSERT INTO postings (
    intent_id, source_event, leg, pending, live, transaction_id, debit_account, credit_account,
    amount_minor, occurred_at, currency, kind
)
SELECT intent_id, attempt_id, 0, false, false, transaction_id, '{debit}', '{credit}', 100,
    '2024-02-04Z', 'usd', 'capture'
FROM outcomes;
"""

TODAY: Final = """
INSERT INTO payment_intents (id, merchant_id, amount_minor, currency, live)
VALUES ((lpad(to_hex(floor(extract(epoch FROM now()) * 1000)::bigint), 12, '0')
    || '7000' || '8000000000000001')::uuid, '{merchant}', 100, 'usd', false)
"""


@asynccontextmanager
async def archived_month(dsn: LedgerDSN, folder: Path) -> AsyncIterator[ArchivedMonth]:
    """A month of twelve captured payments in a database and folder, all of it archived."""
    limits = msgspec.structs.replace(LIMITS, slot=f"turnout_relay_{secrets.token_hex(4)}")
    superuser = await Connection.open(dsn.superuser, connect_timeout_s=10)
    relaying = RelayHarness(dsn, folder, limits.slot, limits, superuser)
    owner = await Connection.open(dsn(OWNER), connect_timeout_s=10)
    try:
        yield await ArchivedMonth.make(relaying, owner)
    finally:
        with trio.CancelScope(shield=True):
            await relaying.drop_slot()
            await owner.aclose()
            await superuser.aclose()


@define
class ArchivedMonth:
    """One month in the tables, and an archive that has all of it.

    Attributes:
        relaying: database and stream.
        owner: a session of the owner's.
        ids: of the payments.
        now_us: of those who look at it.
    """

    relaying: RelayHarness
    owner: Connection
    ids: list[bytes]
    now_us: int = field(factory=lambda: time.time_ns() // 1_000)

    @classmethod
    async def make(cls, relaying: RelayHarness, owner: Connection) -> ArchivedMonth:
        """Fill a month, carry it, sign it, seal it, archive it."""
        begin = round(datetime(2024, 2, 3, tzinfo=UTC).timestamp() * 1_000)
        ids = [
            (begin + n).to_bytes(6) + b"\x70\x00" + b"\x80" + os.urandom(7) for n in range(PAYMENTS)
        ]
        made = cls(relaying, owner, ids)
        accounts = {name: UUID(bytes=name[0].encode() * 16) for name in ("debit", "credit")}
        sql = SQL.format(
            merchant=UUID(bytes=MERCHANT),
            ids=",".join(str(UUID(bytes=one)) for one in ids),
            sum=100 * PAYMENTS,
            **accounts,
        )
        await relaying.sql(sql)
        async with relaying.running() as relay:
            await relaying.caught_up(relay)
        await made.archive()
        return made

    async def archive(self) -> None:
        """Seal and sign what is in the stream, and archive it."""
        settings = self.relaying.settings()
        stream = msgspec.structs.replace(settings.stream, segment_age_s=0.0)
        writer = stream_writer(msgspec.structs.replace(settings, stream=stream), self.data_dir)
        mark = await writer.open()
        assert mark is not None
        for more in (1, 2):
            await writer.append(
                Batch([], [], msgspec.structs.replace(mark, end_lsn=mark.end_lsn + more))
            )
        await writer.aclose()
        folder = log_folder(self.data_dir)
        folder.parent.mkdir(exist_ok=True)
        pair = self._log_pair
        log = AuditLog.open(folder, ORIGIN, pair.public, pair)
        findings = Findings()
        for entries in read_entries(shard_folder(self.data_dir, 0), 0, findings):
            log.append([*entries.records][max(0, log.size - entries.first_offset) :])
        log.checkpoint(datetime.now(UTC))
        log.close()
        Archiver(
            stream=shard_folder(self.data_dir, 0),
            log=folder,
            log_key=pair.public,
            pair=self.pair,
            store=self.store,
            work=self.work,
            now_us=lambda: 1,
        ).run(lambda _done, _of: None)

    async def add_today(self) -> None:
        """Archive a payment of today, in a segment of its own."""
        await self.relaying.sql(TODAY.format(merchant=MERCHANT.hex()))
        async with self.relaying.running() as relay:
            await self.relaying.caught_up(relay)
        await self.archive()
        await self.relaying.sql("SELECT pg_logical_emit_message(false, 'past', 'the stream', true)")

    async def forget(self) -> int:
        """Drop the month, archive a payment of today; have stream and archive forget the others.

        Gives the offset from which on the archive has records then.
        """
        await self.drop()
        await self.add_today()
        fields: dict[str, Any] = {
            "stream": shard_folder(self.data_dir, 0),
            "work": self.work,
            "store": self.store,
            "pair": self.pair,
            "log_key": self._log_pair.public,
            "holds": self.holds,
            "owners_of": lambda _intents: {},
            "days": 0.0,
            "now_us": lambda: self.now_us,
        }
        Trimmer(url="here", **fields).run({}, lambda _done, _of: None, dry=False)
        expired = Expirer(**fields).run(MONTH.holds, lambda _done, _of: None, dry=False)
        return expired.end_offset

    @property
    def records(self) -> ArchivedRecords:
        """What the archive has."""
        return ArchivedRecords(self.store, 0, self.pair.public, self._log_pair.public)

    @property
    def end(self) -> int:
        """Up to which record the archive has everything."""
        return old_end(archived(read_catalog(self.work)), self.now_us)

    @property
    def data_dir(self) -> Path:
        """Where stream, log and archive are."""
        return self.relaying.folder

    @property
    def work(self) -> Path:
        """Where the catalog is."""
        return make_work_folder(self.data_dir, 0)

    @property
    def store(self) -> FolderStore:
        """The archive."""
        return FolderStore(self.data_dir / "archive", make=True)

    @property
    def pair(self) -> KeyPair:
        """The archive's key."""
        return load_or_make(self.work.parent / "archive", f"{ORIGIN}/archive", ED25519)

    @property
    def _log_pair(self) -> KeyPair:
        return load_or_make(self.data_dir / "audit" / LOG_KEY_STEM, ORIGIN, ED25519)

    @property
    def holds(self) -> Register:
        """The legal holds."""
        return Register(self.work.parent, self.pair.public)

    def hold(self, **what: Any) -> int:
        """Add a legal hold."""
        line = Line(number=0, action="add", at_us=1, operator="ada", reason="case 1", **what)
        return self.holds.add(self.pair, line).number

    def dropper(self, **changes: Any) -> MonthDropper:
        """What drops months: nothing changed for 90 days, no refunds after 540."""
        fields: dict[str, Any] = {
            "session": self.owner,
            "work": self.work,
            "store": self.store,
            "pair": self.pair,
            "read": partial(self.records.read, self.end),
            "behind": "",
            "holds": self.holds,
            "days": 90.0,
            "refund_days": 540.0,
            "keys_max": 1_000,
            "operator": "ada",
            "now_us": lambda: self.now_us,
        }
        return MonthDropper(**(fields | changes))

    async def drop(self, *, dry: bool = False, **changes: Any) -> Dropped:
        """Drop what may go."""
        return await self.dropper(**changes).run(lambda _done, _of: None, dry=dry)

    async def counts(self) -> dict[str, int]:
        """How many rows each table has of the month, and how many of its partitions are there."""
        found = {}
        for table in ("payment_intents", "payment_intent_details", "outcomes", "postings"):
            found[table] = await self.relaying.value(f"SELECT count(*) FROM {table}")
        leaves = "SELECT count(*) FROM pg_class WHERE relname LIKE '%2024_02' AND relkind = 'r'"
        return found | {"leaves": await self.relaying.value(leaves)}
