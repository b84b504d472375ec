"""Commit 1: a batch of charges becomes durable before a byte of any leaves.

Two lanes run the same SQL text with one switched lock clause and share one table of verdicts. The
fast lane skips intents that somebody has locked and leaves their charges undecided (None); the
slow lane waits for them and always ends in a verdict. Rows go from one lane to the other with the
ids they were given first: that is what makes repeating a commit of unknown fate safe.

Each lane has a session of its own and is used by one task at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Literal

from msgspec.structs import astuple

from chassis.settings.tree import Ledger
from ledger.committing import Committer, HotSession
from ledger.connection import Connection
from ledger.errors import ConnectionLostError, RetryableError
from ledger.leases import LeaseLostError
from ledger.pgtypes import (
    bool_array,
    bytea_array,
    int2_array,
    int4_,
    text_,
    text_array,
    timestamptz_array,
    uuid_,
    uuid_array,
)
from ledger.queries import Query
from ledger.records import ChargeToRecord, Lost, TransactionRow, Verdict, Won
from ledger.statements import QUERIES, without_skipping
from ledger.verdicts import SINGLE_MESSAGE_MTI, IntentFinding, KeyFinding, charge_verdict

Lane = Literal["fast", "slow"]

VERIFICATION: Final = "verification"

_RECORD: Final = QUERIES["record_charges"]
_RECORD_WAITING: Final = without_skipping(_RECORD)
_FINDINGS: Final = QUERIES["read_charge_findings"]

_INTENT_FIELDS: Final = len(IntentFinding.__struct_fields__)
# One packer per field of ChargeToRecord but the last, in the order of its fields and of $6 to $27.
_PACKERS: Final[tuple[Callable[[Sequence], bytes], ...]] = (  # type: ignore[type-arg]
    *[uuid_array] * 8,  # intent … card digest
    bytea_array,
    uuid_array,
    *[text_array] * 2,
    *[int2_array] * 2,
    *[text_array] * 6,  # network … DE 7
    timestamptz_array,
    bool_array,
)


class ChargeCommitter:
    """Records batches of charges under one switch's lease.

    Args:
        connect: opens a session of role turnout_switch with `ledger.dsn.hot_settings`.
        owner: the switch's name, as its lease has it.
        epoch: of the lease this process holds.
        limits: waiting and repeating.
        charges_per_intent_max: an intent with as many charges admits no other.
    """

    def __init__(
        self,
        connect: Callable[[], Awaitable[Connection]],
        owner: str,
        epoch: int,
        *,
        limits: Ledger,
        charges_per_intent_max: int,
    ) -> None:
        in_doubt: set[bytes] = set()
        head = (text_(owner), int4_(epoch))
        self.lanes = {
            "fast": _ChargeLane(
                HotSession(connect),
                _RECORD,
                head,
                in_doubt,
                limits,
                charges_per_intent_max=charges_per_intent_max,
                patient=False,
            ),
            "slow": _ChargeLane(
                HotSession(connect),
                _RECORD_WAITING,
                head,
                in_doubt,
                limits,
                charges_per_intent_max=charges_per_intent_max,
                patient=True,
            ),
        }

    async def record(self, batch: Sequence[ChargeToRecord], *, lane: Lane) -> list[Verdict | None]:
        """Commit a batch; the verdicts stand in its order.

        None, in the fast lane only, is undecided: hand that charge, with its ids, to the slow lane.

        Raises:
            ValueError: two charges of one intent, or of one key, in one batch.
            LeaseLostError: another process has taken the switch over; nothing was recorded.
            DatabaseError: a fault of ours, such as a missing privilege.
        """
        _check_distinct(batch)
        return await self.lanes[lane].record(batch)

    async def aclose(self) -> None:
        """Close both sessions."""
        for lane in self.lanes.values():
            await lane.session.aclose()


class _ChargeLane(Committer[ChargeToRecord, Verdict]):
    def __init__(
        self,
        session: HotSession,
        query: Query,
        head: tuple[bytes, bytes],
        in_doubt: set[bytes],
        limits: Ledger,
        *,
        charges_per_intent_max: int,
        patient: bool,
    ) -> None:
        super().__init__(limits, patient=patient)
        self.session = session
        self._query = query
        self._head = head
        self._in_doubt = in_doubt
        self._charges_per_intent_max = charges_per_intent_max

    async def record(self, batch: Sequence[ChargeToRecord]) -> list[Verdict | None]:
        verdicts = await self._decide(batch)
        if self._in_doubt:
            self._in_doubt.difference_update(
                charge.transaction_id
                for charge, verdict in zip(batch, verdicts, strict=True)
                if verdict is not None
            )
        return verdicts

    async def _once(self, rows: Sequence[ChargeToRecord]) -> list[Verdict | None]:
        ordered = sorted(rows, key=_intent_id)
        *columns, types = zip(*map(astuple, ordered), strict=True)
        verified = []
        if VERIFICATION in types:
            verified = [row.intent_id for row in ordered if row.type == VERIFICATION]
        params = [
            *self._head,
            uuid_(ordered[0].intent_id),
            uuid_(ordered[-1].intent_id),
            int4_(self._charges_per_intent_max),
            *[pack(column) for pack, column in zip(_PACKERS, columns, strict=True)],
            uuid_array(verified),
            uuid_array([row.intent_id for row in ordered if row.mti == SINGLE_MESSAGE_MTI]),
        ]
        result = await self.session.run(self._query, params)
        verdicts: dict[bytes, Verdict | None] = {
            intent_id: Won(*won) for intent_id, *won in result.rows()
        }
        if len(verdicts) < len(rows):
            missing = [row for row in ordered if row.intent_id not in verdicts]
            verdicts.update(await self._verdicts(missing))
        return [verdicts[row.intent_id] for row in rows]

    async def _verdicts(self, rows: Sequence[ChargeToRecord]) -> dict[bytes, Verdict | None]:
        params = [
            *self._head,
            uuid_array([row.intent_id for row in rows]),
            uuid_array([row.merchant_id for row in rows]),
            uuid_array([row.key_digest for row in rows]),
        ]
        try:
            findings = (await self.session.run(_FINDINGS, params)).rows()
        except (RetryableError, ConnectionLostError):
            # The commit before stands and its winners must be heard of; these stay undecided.
            return dict.fromkeys(map(_intent_id, rows))
        if not findings[0][0]:
            raise LeaseLostError
        return {
            row.intent_id: charge_verdict(
                row, *_finding(found), charges_per_intent_max=self._charges_per_intent_max
            )
            for row, found in zip(rows, findings, strict=True)
        }

    def _refuse(self, row: ChargeToRecord) -> Verdict:  # noqa: ARG002  the code says it all
        return Lost("internal_error")

    def _give_up(self, row: ChargeToRecord) -> Verdict | None:
        """Somebody sits on the intent; known to hold nothing of ours, it is in use."""
        return None if row.transaction_id in self._in_doubt else Lost("operation_in_progress")

    def _note_unknown_fate(self, rows: Sequence[ChargeToRecord]) -> None:
        self._in_doubt.update(row.transaction_id for row in rows)


def _finding(found: tuple) -> tuple[IntentFinding | None, KeyFinding | None]:  # type: ignore[type-arg]
    """Unpack one row of read_charge_findings."""
    _, *known = found
    request_hash, key_transaction_id, intent_version, *state = known[_INTENT_FIELDS:]
    intent = IntentFinding(*known[:_INTENT_FIELDS]) if known[0] is not None else None
    key = None
    if request_hash is not None:
        transaction = TransactionRow(*state) if state[0] is not None else None
        key = KeyFinding(request_hash, key_transaction_id, transaction, intent_version)
    return intent, key


def _intent_id(row: ChargeToRecord) -> bytes:
    return row.intent_id


def _check_distinct(batch: Sequence[ChargeToRecord]) -> None:
    if len({row.intent_id for row in batch}) < len(batch):
        raise ValueError("a batch holds at most one charge of an intent")
    if len({(row.merchant_id, row.key_digest) for row in batch}) < len(batch):
        raise ValueError("a batch holds at most one charge of an idempotency key")
