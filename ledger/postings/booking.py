"""The consumer that books: successes of a page in, the statements of its postings out.

What a posting is made of is read from the ledger, and only what never changes there; what was
booked before is read from the postings themselves. So a page that is planned again, after a death
or in halves, is planned the same. The runner (`ledger.stream.consumer`) puts the statements into
one transaction with the cursor's move, which is what makes each event's effect happen once.

Accounts' sums are raised once a batch, in the order of ids. Nobody else writes them, so a merchant
with a thousand payments in a batch costs one row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Final

from attrs import define, field
from msgspec import Struct

from chassis.log import get_logger
from ledger.connection import Step
from ledger.pgtypes import (
    bool_array,
    int2_array,
    int8_array,
    text_array,
    timestamptz_array,
    uuid_array,
)
from ledger.postings.accounts import KINDS, Account, Parties, Transfer, balance
from ledger.postings.outcomes import Fact, Success, SuccessReader, event_of
from ledger.postings.rules import Books, FeeSchedule, book
from ledger.statements import QUERIES, Runner
from ledger.stream.backend import Reader
from ledger.stream.consumer import Delivery, EventRefusedError, LedgerUnsettledError
from ledger.stream.cursors import ledger_is_settled, read_cursor, reset_cursor

GROUP: Final = "postings"
_FACTS: Final = QUERIES["posting_facts"]
_BOOKS: Final = QUERIES["posting_books"]
_SUMS: Final = QUERIES["read_account_sums"]
_INSERT: Final = QUERIES["insert_postings"]
_FOLD: Final = QUERIES["fold_accounts"]

_log = get_logger(__name__)


class Posting(Struct, frozen=True, gc=False):
    """A transfer with everything that its row says."""

    success: Success
    leg: int
    parties: Parties
    transfer: Transfer


@define
class Page:
    """What a page of successes is booked from, and what was booked for it so far."""

    books: dict[bytes, Books]
    booked: set[bytes]  # transactions
    available: dict[bytes, int]  # by account
    postings: list[Posting] = field(factory=list)

    def take(self, success: Success, fact: Fact, fees: FeeSchedule) -> None:
        """Book one success, unless its transaction is booked.

        Raises:
            EventRefusedError: no rule is for it.
            RuleError: the books do not admit it.
        """
        if success.transaction_id in self.booked:
            return
        parties = Parties(fact.merchant_id, fact.live, fact.network, fact.currency)
        account_id = parties.account("merchant_available").id if fact.type == "refund" else b""
        available_minor = self.available.get(account_id, 0)
        event = event_of(success, fact, available_minor=available_minor)
        books = self.books.get(success.intent_id, Books())
        transfers = [] if event is None else book(books, event, fees)
        if transfers and not fact.network:
            raise EventRefusedError("money moved, and over no network")
        self.books[success.intent_id] = books.after(transfers)
        self.booked.add(success.transaction_id)
        for leg, transfer in enumerate(transfers):
            self.postings.append(Posting(success, leg, parties, transfer))
            if transfer.kind == "refund_available":
                self.available[account_id] = available_minor - transfer.amount_minor


class PostingsConsumer:
    """Books what happened to money.

    Args:
        database: of role turnout_postings.
        fees: what the platform keeps.
        slot: of the relay whose stream it reads.

    Attributes:
        planned_total: postings planned so far, repeats included.
    """

    group = GROUP

    def __init__(self, database: Runner, fees: FeeSchedule, slot: str) -> None:
        self._database = database
        self._slot = slot
        self._fees = fees
        self._reader = SuccessReader()
        self.planned_total = 0

    async def plan(self, deliveries: Sequence[Delivery]) -> Sequence[Step]:
        """The statements that book these events.

        Raises:
            EventRefusedError, RuleError, RecordError: one of them cannot be booked.
            LedgerUnsettledError: stream and ledger are not of one history now. That the ledger has
                an event's transaction does not say that it has the event.
        """
        found = [self._reader.read(one.record, one.page.descriptors) for one in deliveries]
        successes = [success for success in found if success is not None]
        if not successes:
            return []
        newest = deliveries[-1]
        if not await ledger_is_settled(self._database, self._slot, newest.page, newest.record):
            raise LedgerUnsettledError("the ledger was set back; the relay waits for a repair")
        facts = await self._facts(successes)
        page = await self._page(successes, facts)
        for success, fact in zip(successes, facts, strict=True):
            page.take(success, fact, self._fees)
        self.planned_total += len(page.postings)
        return steps(page.postings)

    async def known(self, event_ids: Collection[bytes]) -> Collection[bytes]:
        """None by their ids: a transaction that is booked is not booked again, whoever tells it."""
        del event_ids
        return ()

    async def _facts(self, successes: Sequence[Success]) -> list[Fact]:
        params = [
            uuid_array([one.intent_id for one in successes]),
            uuid_array([one.transaction_id for one in successes]),
            uuid_array([one.attempt_id for one in successes]),
        ]
        rows = (await self._database.run(_FACTS, params)).rows()
        by_place = {place: Fact(*fields) for place, *fields in rows}
        if len(by_place) < len(successes):
            raise EventRefusedError("the ledger does not have its transaction")
        return [by_place[place] for place in range(1, len(successes) + 1)]

    async def _page(self, successes: Sequence[Success], facts: Sequence[Fact]) -> Page:
        intents = list({one.intent_id for one in successes})
        books: dict[bytes, Books] = {}
        booked: set[bytes] = set()
        rows = (await self._database.run(_BOOKS, [uuid_array(intents)])).rows()
        for intent_id, transaction_id, kind, amount_minor in rows:
            known = books.get(intent_id, Books())
            books[intent_id] = known.after([Transfer(kind, amount_minor)])
            booked.add(transaction_id)
        return Page(books, booked, await self._available(facts))

    async def _available(self, facts: Sequence[Fact]) -> dict[bytes, int]:
        """What merchants with refunds may have."""
        wanted = {
            Parties(fact.merchant_id, fact.live, "", fact.currency).account("merchant_available").id
            for fact in facts
            if fact.type == "refund"
        }
        if not wanted:
            return {}
        rows = (await self._database.run(_SUMS, [uuid_array(list(wanted))])).rows()
        return {id_: balance("merchant_available", *sums) for id_, *sums in rows}


async def begin_again_where_replaced(reader: Reader, database: Runner, group: str) -> None:
    """Read a stream from its beginning where it is shorter than its cursor: it is another one.

    What is booked is not booked again, so nothing is lost by it but time.
    """
    cursor = await read_cursor(database, group, 0)
    end = await reader.high_water()
    if any(offset > end.get(partition, 0) for partition, offset in cursor.items()):
        _log.error("stream is another one: begun again", group=group)
        await reset_cursor(database, group, 0, dict.fromkeys(cursor, 0))


def steps(postings: Sequence[Posting]) -> list[Step]:
    """The statements that insert postings and raise the sums of their accounts."""
    if not postings:
        return []
    sums = _Sums()
    sides = [sums.add(one) for one in postings]
    insert = [
        uuid_array([one.success.intent_id for one in postings]),
        uuid_array([one.success.source_event for one in postings]),
        int2_array([one.leg for one in postings]),
        bool_array([one.transfer.pending for one in postings]),
        bool_array([one.parties.live for one in postings]),
        uuid_array([one.success.transaction_id for one in postings]),
        uuid_array([debit for debit, _ in sides]),
        uuid_array([credit for _, credit in sides]),
        int8_array([one.transfer.amount_minor for one in postings]),
        timestamptz_array([one.success.occurred_at_us for one in postings]),
        text_array([one.parties.currency for one in postings]),
        text_array([one.transfer.kind for one in postings]),
    ]
    return [(_INSERT, insert), sums.step()]


class _Sums:
    """What a batch adds to each account; a batch has few of them, and each is named once."""

    def __init__(self) -> None:
        self._sides: dict[tuple[Parties, str], tuple[bytes, bytes]] = {}
        self._accounts: dict[bytes, Account] = {}
        self._debits: defaultdict[bytes, int] = defaultdict(int)
        self._credits: defaultdict[bytes, int] = defaultdict(int)

    def add(self, posting: Posting) -> tuple[bytes, bytes]:
        """Count a posting; the ids of the accounts that it debits and credits."""
        key = (posting.parties, posting.transfer.kind)
        if (sides := self._sides.get(key)) is None:
            debit, credit = map(posting.parties.account, KINDS[posting.transfer.kind])
            sides = self._sides[key] = (debit.id, credit.id)
            self._accounts |= {sides[0]: debit, sides[1]: credit}
        self._debits[sides[0]] += posting.transfer.amount_minor
        self._credits[sides[1]] += posting.transfer.amount_minor
        return sides

    def step(self) -> Step:
        """The statement that raises the sums, accounts in the order of their ids."""
        ids = sorted(self._accounts)
        accounts = [self._accounts[id_] for id_ in ids]
        return (
            _FOLD,
            [
                uuid_array(ids),
                uuid_array([account.merchant_id for account in accounts]),
                bool_array([account.live for account in accounts]),
                text_array([account.network for account in accounts]),
                text_array([account.purpose for account in accounts]),
                text_array([account.currency for account in accounts]),
                int8_array([self._debits[id_] for id_ in ids]),
                int8_array([self._credits[id_] for id_ in ids]),
            ],
        )
