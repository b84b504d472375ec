"""A ledger for tests: a migrated database, sessions by role, rows that differ where they must."""

from __future__ import annotations

import os
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from chassis.settings.tree import Ledger
from ledger.charges import ChargeCommitter
from ledger.connection import Connection
from ledger.deciding.committer import DecisionCommitter
from ledger.dsn import hot_settings
from ledger.ids import UUID7Source
from ledger.intents import Intents
from ledger.leases import Lease, begin_epoch
from ledger.lifecycle import CHARGE_SETTLEMENTS
from ledger.outcomes import OutcomeCommitter
from ledger.pgtypes import uuid_array
from ledger.queries import Query
from ledger.records import ChargeToRecord, Created, IntentToCreate, OutcomeToRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.support.postgres import LedgerDSN

LIMITS = Ledger(commit_retry_min_s=0.005, commit_retry_max_s=0.02, lock_timeout_ms=60)
CHARGES_PER_INTENT_MAX = 3
NOW_US = time.time_ns() // 1_000
IDS = UUID7Source(lambda: time.time_ns() // 1_000, os.urandom)


def intent(merchant_id: bytes, **changes: Any) -> IntentToCreate:
    """An intent of 24.99 USD under a key of its own."""
    fields: dict[str, Any] = {
        "intent_id": IDS.next(),
        "merchant_id": merchant_id,
        "live": False,
        "amount_minor": 2499,
        "currency": "usd",
        "capture_method": "automatic",
        "allow_partial": False,
        "request_id": os.urandom(16),
        "client_secret_hash": os.urandom(32),
        "description": "",
        "metadata": b"",
        "merchant_reference": "",
        "key_digest": os.urandom(16),
        "request_hash": os.urandom(16),
        "expires_at_us": NOW_US + 86_400_000_000,
    }
    return IntentToCreate(**fields | changes)


def charge(of: IntentToCreate, **changes: Any) -> ChargeToRecord:
    """A charge of an intent with a card, a key and numbers of its own.

    Only the dual-message 0100 authorizes without capturing: a manual intent is charged by it.
    """
    fields: dict[str, Any] = {
        "intent_id": of.intent_id,
        "merchant_id": of.merchant_id,
        "transaction_id": IDS.next(),
        "attempt_id": IDS.next(),
        "key_digest": os.urandom(16),
        "request_hash": os.urandom(16),
        "request_id": os.urandom(16),
        "card_digest": os.urandom(16),
        "sealed_card": os.urandom(72),
        "fingerprint": os.urandom(16),
        "card_brand": "visa",
        "card_last4": "4242",
        "card_exp_month": 12,
        "card_exp_year": 2030,
        "network": "vsim",
        "acquirer_id": "400001",
        "mti": "0100" if of.capture_method == "manual" else "0200",
        "stan": "000001",
        "rrn": "0ABCDEFGHIJK",
        "de7": "0102030405",
        "deadline_at_us": NOW_US + 2_000_000,
        "live": of.live,
    }
    return ChargeToRecord(**fields | changes)


def outcome(of: ChargeToRecord, result: str = "approved", **changes: Any) -> OutcomeToRecord:
    """The first result of a charge's attempt, or a resolution if `phase=2` is among the changes."""
    to_status, intent_to = CHARGE_SETTLEMENTS[result]
    fields: dict[str, Any] = {
        "attempt_id": of.attempt_id,
        "transaction_id": of.transaction_id,
        "intent_id": of.intent_id,
        "phase": 1,
        "result": result,
        "from_status": "pending" if changes.get("phase", 1) == 1 else "pending_verification",
        "to_status": to_status,
        "intent_to": intent_to,
        "response_code": {"approved": "00", "declined": "51"}.get(result, ""),
        "approval_code": "A1B2C3" if result == "approved" else "",
        "actor": "network:vsim",
        "request_id": of.request_id,
        "at_us": time.time_ns() // 1_000,
        "decline_code": "insufficient_funds" if result == "declined" else "",
        "advice": "retry_later" if result == "declined" else "",
    }
    return OutcomeToRecord(**fields | changes)


class LedgerHarness:
    """One database, one switch's lease, both committers, and sessions to look and to meddle with.

    Made by `open_ledger`. `superuser` reads and arranges; `api` has the api's rights.
    """

    def __init__(self, dsn: LedgerDSN, stack: AsyncExitStack) -> None:
        self.dsn = dsn
        self._stack = stack
        self.switch = f"switch-{os.urandom(4).hex()}"
        self.merchant_id = IDS.next()
        self._asked: dict[str, Query] = {}
        self.superuser: Connection
        self.api: Connection
        self.lease: Lease
        self.charges: ChargeCommitter
        self.outcomes: OutcomeCommitter
        self.decisions: DecisionCommitter
        self.intents: Intents

    async def start(self) -> None:
        """Open the sessions and begin an epoch."""
        self.superuser = await self.session("superuser")
        self.api = await self.session("turnout_api")
        self.lease = await begin_epoch(await self.session("turnout_switch"), self.switch, ttl_s=10)
        self.charges = self.charge_committer()
        self.outcomes = self.outcome_committer()
        self.decisions = self.decision_committer()
        self.intents = Intents(self.api, limits=LIMITS)

    async def connect(self) -> Connection:
        """A hot session of the switch, as its committers open it."""
        return await self.session("turnout_switch")

    async def connect_patiently(self) -> Connection:
        """As `connect`, but its locks wait for as long as a test lasts."""
        return await self.session("turnout_switch", lock_timeout="5s")

    async def session(self, role: str, **settings: str) -> Connection:
        """A session with the hot settings, closed at the end of the test."""
        address = self.dsn.superuser if role == "superuser" else self.dsn(role)
        connection = await Connection.open(
            address, role_settings=hot_settings(LIMITS) | settings, connect_timeout_s=10
        )
        self._stack.push_async_callback(connection.aclose)
        return connection

    def charge_committer(self, **changes: Any) -> ChargeCommitter:
        """Another committer of the same lease, unless changed."""
        arguments = {"connect": self.connect, "owner": self.switch, "epoch": self.lease.epoch}
        return ChargeCommitter(
            **arguments | changes, limits=LIMITS, charges_per_intent_max=CHARGES_PER_INTENT_MAX
        )

    def outcome_committer(self, **changes: Any) -> OutcomeCommitter:
        """Another committer of the same lease, unless changed."""
        arguments = {"connect": self.connect, "owner": self.switch, "epoch": self.lease.epoch}
        return OutcomeCommitter(**arguments | changes, limits=LIMITS)

    def decision_committer(self, **changes: Any) -> DecisionCommitter:
        """Another committer of the same lease, unless changed."""
        arguments = {"connect": self.connect, "owner": self.switch, "epoch": self.lease.epoch}
        return DecisionCommitter(**arguments | changes, limits=LIMITS)

    async def charged(
        self, count: int = 1, *, result: str = "approved", **changes: Any
    ) -> list[ChargeToRecord]:
        """Charges of new intents, settled so."""
        rows = [charge(of, **changes) for of in await self.created(count)]
        await self.charges.record(rows, lane="fast")
        await self.outcomes.settle([outcome(row, result) for row in rows])
        return rows

    async def created(self, count: int = 1, **changes: Any) -> list[IntentToCreate]:
        """Intents that stand in the ledger."""
        batch = [intent(self.merchant_id, **changes) for _ in range(count)]
        verdicts = await self.intents.create(batch)
        assert all(isinstance(verdict, Created) for verdict in verdicts)
        return batch

    async def rows(self, sql: str, *params: bytes) -> list[tuple[Any, ...]]:
        """Read, or arrange, as the superuser."""
        query = self._asked.get(sql)
        if query is None:
            query = self._asked[sql] = Query(f"asked_{len(self._asked)}", sql)
        return (await self.superuser.run(query, params)).rows()

    async def count(self, table: str, of: IntentToCreate | ChargeToRecord) -> int:
        """How many rows of a child table an intent has."""
        sql = f"SELECT count(*) FROM {table} WHERE intent_id = $1::uuid"
        return int((await self.rows(sql, of.intent_id))[0][0])

    @asynccontextmanager
    async def held(self, *intents: IntentToCreate) -> AsyncIterator[Connection]:
        """Somebody else's transaction that has locked these intents until the block ends."""
        session = await self.session("superuser")
        await session.script("BEGIN")
        lock = Query(
            "lock", "SELECT id FROM payment_intents WHERE id = ANY ($1::uuid[]) FOR UPDATE"
        )
        await session.run(lock, [uuid_array([of.intent_id for of in intents])])
        try:
            yield session
        finally:
            if not session.closed:
                await session.script("ROLLBACK")

    async def waiting_backends(self, count: int = 1, *, role: str = "turnout_switch") -> list[int]:
        """The server processes of a role's sessions once so many of them wait for a lock."""
        sql = (
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
            f" AND usename = '{role}' AND wait_event_type = 'Lock' ORDER BY pid"
        )
        with trio.fail_after(20):
            while len(found := await self.rows(sql)) < count:
                await trio.sleep(0.005)
        return [pid for (pid,) in found]

    async def status(self, of: IntentToCreate | ChargeToRecord) -> str:
        """What the intent's row says."""
        [(status,)] = await self.rows(
            "SELECT status FROM payment_intents WHERE id = $1::uuid", of.intent_id
        )
        return str(status)


@asynccontextmanager
async def open_ledger(dsn: LedgerDSN) -> AsyncIterator[LedgerHarness]:
    """A harness on a database, closed with all its sessions."""
    async with AsyncExitStack() as stack:
        harness = LedgerHarness(dsn, stack)
        await harness.start()
        yield harness


def kinds(verdicts: Sequence[object]) -> list[str]:
    """What sort each verdict is; for `Lost` its code."""
    return [getattr(verdict, "code", type(verdict).__name__) for verdict in verdicts]
