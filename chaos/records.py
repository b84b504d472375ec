"""What the witnesses say, as plain records. Amounts are in minor units."""

from __future__ import annotations

from msgspec import Struct

from network_sim.journal import Entry


class Told(Struct, frozen=True):
    """One answer to the merchant that names a transaction."""

    intent: str
    key: str  # the idempotency key it was asked with
    transaction: str
    type: str  # charge | capture | cancel | refund
    status: str
    amount: int


class Seen(Struct, frozen=True):
    """An intent as the merchant reads it in the end."""

    intent: str
    status: str
    captured: int
    refunded: int
    capturable: int


class Intent(Struct, frozen=True):
    """An intent as the ledger holds it."""

    intent: str
    method: str  # automatic | manual
    status: str
    captured: int
    refunded: int
    refund_pending: int
    capturable: int


class Transaction(Struct, frozen=True):
    """A transaction as the ledger holds it."""

    transaction: str
    intent: str
    type: str
    status: str
    amount: int


class Attempt(Struct, frozen=True):
    """One message exchange as the ledger holds it."""

    intent: str
    transaction: str
    kind: str  # request | completion | reversal | release | inquiry
    network: str
    acquirer_id: str
    stan: str
    de7: str
    rrn: str
    result: str  # of phase 1, empty without an outcome
    resolution: str  # of phase 2
    response_code: str  # of the latest
    waits: bool  # in store-and-forward or among the verifications
    manual: bool  # there for a person

    @property
    def key(self) -> tuple[str, ...]:
        """What names its message on the wire."""
        return (self.network, self.acquirer_id, self.stan, self.de7, self.rrn)

    @property
    def open(self) -> bool:
        """Whether something is still to happen to it without a person's doing."""
        if self.manual:
            return False
        if self.waits or not self.result:
            return True
        return self.result == "unknown" and not self.resolution and self.kind != "inquiry"


class Ledger(Struct, frozen=True):
    """Everything that the ledger says."""

    intents: list[Intent]
    transactions: list[Transaction]
    attempts: list[Attempt]
    exceptions: dict[str, int] = {}  # how many were opened for a person, by kind


class Line(Struct, frozen=True):
    """One decision in a network's own books."""

    network: str
    entry: Entry

    @property
    def key(self) -> tuple[str, ...]:
        """What names its message on the wire."""
        entry = self.entry
        return (self.network, entry.acquirer_id, entry.stan, entry.de7, entry.rrn)

    @property
    def original_key(self) -> tuple[str, ...]:
        """The key of the message that this reversal names; of others meaningless."""
        entry = self.entry
        stan, de7 = entry.original[:6], entry.original[6:16]
        return (self.network, entry.acquirer_id, stan, de7, entry.rrn)


class Merchant(Struct, frozen=True):
    """Everything that the merchant says.

    Attributes:
        told: every answer with a transaction.
        seen: every intent in the end.
        asked: how many transactions of a type an intent may have: its idempotency keys.
        unanswered: payments with a request that was never answered: intents, or other names where
            it was the one that creates the intent.
    """

    told: list[Told]
    seen: list[Seen]
    asked: dict[tuple[str, str], int]
    unanswered: list[str]
