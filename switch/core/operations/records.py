"""What deciders are given and what they give back."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from ledger.records import TransactionRow
from switch.core.doubt import DoubtPolicy
from switch.core.messages_following import Original

OperationType = Literal["capture", "cancel", "refund"]
EXPIRY_REQUEST_ID = bytes(16)  # of a cancel that no merchant asked for


class Spare(Struct, frozen=True):
    """An id and numbers drawn beforehand, for a message that a decision may call for.

    What is not called for is never used: STANs are plenty.
    """

    attempt_id: bytes
    network: str
    acquirer_id: str  # DE 32
    stan: str
    de7: str
    rrn: str  # for a payment of its own; what follows an original carries that one's
    deadline_at_us: int  # by when its answer is in, or its outcome unknown; on the steady clock


class NetworkRules(Struct, frozen=True):
    """What deciders need to know about one network."""

    reversal_mti: str  # of what is stored and forwarded
    doubt: DoubtPolicy
    authorization_us: int  # how long an authorization may be captured


class Context(Struct, frozen=True):
    """Who found something out, when, and what the decision may use.

    The time of day goes into records and calendars, and may step; waits count on the steady clock
    (`chassis.clock.SteadyClock`), by which queues come due.
    """

    now_us: int  # the time of day
    steady_us: int  # the same instant on the steady clock
    actor: str  # network:vsim, switch, recovery, operator:<name>
    rules: NetworkRules
    spare: Spare

    def is_past(self, instant_us: int) -> bool:
        """Whether a promised time of day is over, by both clocks: one set forward ends nothing."""
        return min(self.now_us, self.steady_us) >= instant_us


class Order(Struct, frozen=True):
    """What a merchant, or the sweeper, asks for."""

    type: OperationType
    intent_id: bytes
    merchant_id: bytes
    live: bool
    amount_minor: int  # 0 = all that remains
    final_capture: bool
    key_digest: bytes  # empty: nobody waits under a key
    request_hash: bytes
    request_id: bytes
    transaction_id: bytes  # of what it becomes


class Letter(Struct, frozen=True):
    """A message as the ledger knows it: everything but the card, the merchant and the dialect."""

    attempt_id: bytes
    charge_id: bytes  # whose sealed card it needs
    kind: str
    mti: str  # of the first sending
    network: str
    acquirer_id: str
    stan: str
    rrn: str
    de7: str
    amount_minor: int
    currency: str
    original: Original | None
    refunding: bool
    remaining_minor: int | None  # DE 95


class Admitted(Struct, frozen=True):
    """An operation that stands in the ledger; `letter` is None where no message leaves for it."""

    transaction: TransactionRow
    letter: Letter | None
    replayed: bool = False


class Conclusion(Struct, frozen=True):
    """What a decision found or made of a transaction.

    Attributes:
        transaction: as it stands after the decision.
        moved: whether this decision moved it.
        queued: whether an advice was put into store-and-forward, to be sent soon.
        exceptions: how many were opened for a person.
    """

    transaction: TransactionRow
    moved: bool
    queued: bool = False
    exceptions: int = 0
