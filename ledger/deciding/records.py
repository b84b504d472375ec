"""What a locked decision sees of an intent, and what it says shall become of it.

A *view* is an intent with its whole history, read under its row lock. A pure function of the
switch (`Step.decide`) looks at it and answers with a *plan*: rows to insert and columns to change.
`ledger.deciding.committer` runs both ends in one database transaction.

Ids and digests are 16 raw bytes, instants end `_us` (microseconds since 1970), statuses are those
of `ledger.lifecycle`. What the ledger knows better (the owner and the epoch of what is inserted,
the intent's version and status after the plan) is filled in by the committer.
"""

from __future__ import annotations

from typing import Any, Protocol

from msgspec import Struct, field

from ledger.records import Lost
from ledger.verdicts import KeyFinding


class TransactionView(Struct, frozen=True):
    """A transaction and where it stands."""

    transaction_id: bytes
    type: str  # lifecycle.TRANSACTION_TYPES
    status: str  # money.md 1: `reversing` while a reversal of it is open
    amount_minor: int  # as asked for; what a partial approval gave is `approved_minor`
    currency: str
    final_capture: bool | None  # captures only
    request_id: bytes
    created_at_us: int
    updated_at_us: int
    card_brand: str
    card_last4: str
    card_exp_month: int
    card_exp_year: int
    response_code: str  # DE 39 of the outcome that moved it last, or empty; so the next three
    approval_code: str
    decline_code: str
    advice: str
    approved_minor: int  # 0 = the whole amount, or nothing yet
    fingerprint: bytes | None  # of the card; charges and verifications only
    intent_version: int  # of the intent after the commit that inserted it


class AttemptView(Struct, frozen=True):
    """A message exchange with a network and what became of it."""

    attempt_id: bytes
    transaction_id: bytes
    kind: str  # lifecycle.ATTEMPT_KINDS
    network: str
    acquirer_id: str
    mti: str
    stan: str
    rrn: str
    de7: str
    amount_minor: int
    currency: str
    owner: str
    epoch: int
    deadline_at_us: int
    created_at_us: int
    result: str  # phase 1, or empty: none yet
    resolution: str  # phase 2, or empty: none
    response_code: str  # of the resolution, where there is one; so the next two
    approval_code: str
    approved_minor: int


class SafRow(Struct, frozen=True):
    """An advice that is repeated until it is acknowledged.

    A plan gives ids, `kind`, `network`, `due_at_us` and `repeats`; the rest is the ledger's.
    """

    attempt_id: bytes
    transaction_id: bytes
    kind: str  # of the attempt: request | completion | reversal | release
    network: str
    due_at_us: int
    repeats: int = 0  # raised and committed before each send
    manual: bool = False  # waits for an operator; never due
    resolution: str = ""  # what an operator found: lifecycle.SAF_RESOLUTIONS
    resolved_by: str = ""  # that operator's name
    intent_id: bytes = b""
    created_at_us: int = 0
    owner: str = ""
    epoch: int = 0


class VerificationRow(Struct, frozen=True):
    """An attempt in doubt whose window of inquiries is open.

    A plan gives ids, `network`, the two instants and `inquiries`; the rest is the ledger's.
    """

    attempt_id: bytes
    transaction_id: bytes
    network: str
    due_at_us: int
    window_ends_at_us: int
    inquiries: int = 0
    intent_id: bytes = b""
    owner: str = ""
    epoch: int = 0


class IntentView(Struct, frozen=True):
    """An intent as its locked row has it, with everything that hangs on it, oldest first.

    `key` is what stands under the step's idempotency key: of this intent or of any other.
    """

    intent_id: bytes
    merchant_id: bytes
    live_transaction_id: bytes | None
    amount_minor: int
    capturable_minor: int
    captured_minor: int
    refund_pending_minor: int
    refunded_minor: int
    disputed_minor: int
    created_at_us: int
    updated_at_us: int
    capture_before_us: int | None
    version: int
    charge_count: int
    live: bool
    allow_partial: bool
    reversing: bool
    cancel_requested: bool
    currency: str
    status: str
    capture_method: str
    canceled_by: str | None
    transactions: list[TransactionView] = field(default_factory=list)
    attempts: list[AttemptView] = field(default_factory=list)
    saf: list[SafRow] = field(default_factory=list)
    verification: list[VerificationRow] = field(default_factory=list)
    key: KeyFinding | None = None


class NewTransaction(Struct, frozen=True):
    """A transaction to insert. Charges and verifications come with a card: commit 1 writes them."""

    transaction_id: bytes
    type: str  # capture | cancel | refund | adjustment | dispute
    amount_minor: int
    currency: str
    request_id: bytes
    final_capture: bool | None = None


class NewAttempt(Struct, frozen=True):
    """An attempt to insert, before its message leaves."""

    attempt_id: bytes
    transaction_id: bytes
    kind: str  # lifecycle.ATTEMPT_KINDS
    network: str
    acquirer_id: str
    mti: str
    stan: str
    rrn: str
    de7: str
    amount_minor: int
    currency: str
    deadline_at_us: int


class NewOutcome(Struct, frozen=True):
    """An outcome to insert.

    `attempt_id` is the transaction's own id where it never had an attempt. The intent's status and
    version that are stored with it are those after the plan.
    """

    attempt_id: bytes
    transaction_id: bytes
    phase: int  # 1 = first result, 2 = resolution of an unknown
    result: str  # lifecycle.ATTEMPT_RESULTS[phase]
    from_status: str  # of the transaction
    to_status: str
    actor: str  # network:vsim, switch, operator:<name>, …
    request_id: bytes
    at_us: int
    response_code: str = ""
    approval_code: str = ""
    decline_code: str = ""
    advice: str = ""
    approved_minor: int = 0  # of a partial approval; 0 = the whole amount
    settles_on: str = ""  # DE 15 with its year, YYYY-MM-DD


class NewKey(Struct, frozen=True):
    """An idempotency key to take for a transaction of this plan."""

    merchant_id: bytes
    key_digest: bytes
    request_hash: bytes
    transaction_id: bytes


class NewException(Struct, frozen=True):
    """Something a person has to look into; once per kind and attempt."""

    kind: str  # snake_case, such as second_answer_approved
    network: str = ""
    intent_id: bytes | None = None  # None in a plan: the step's own
    transaction_id: bytes | None = None
    attempt_id: bytes | None = None
    detail: dict[str, str | int] = field(default_factory=dict)  # never card data


class NewDecline(Struct, frozen=True):
    """A card that was declined for this merchant, for the rules on trying again."""

    attempt_id: bytes
    fingerprint: bytes
    network: str
    decline_class: str  # lifecycle.DECLINE_CLASSES
    at_us: int


class Plan(Struct):
    """What shall become of an intent; an empty plan changes nothing."""

    intent: dict[str, Any] = field(default_factory=dict)  # columns; not empty: version + 1
    transactions: list[NewTransaction] = field(default_factory=list)
    attempts: list[NewAttempt] = field(default_factory=list)
    outcomes: list[NewOutcome] = field(default_factory=list)
    saf_add: list[SafRow] = field(default_factory=list)
    saf_drop: list[bytes] = field(default_factory=list)  # attempt ids
    saf_update: list[SafRow] = field(default_factory=list)  # due_at, repeats, manual
    verify_add: list[VerificationRow] = field(default_factory=list)
    verify_drop: list[bytes] = field(default_factory=list)  # attempt ids
    verify_update: list[VerificationRow] = field(default_factory=list)  # due_at, inquiries
    key: NewKey | None = None
    free_reference: bool = False  # the merchant reference may be claimed again
    expire_at_us: int | None = None  # look at the intent again then
    exceptions: list[NewException] = field(default_factory=list)
    declines: list[NewDecline] = field(default_factory=list)
    value: Any = None  # handed back to the caller after the commit


class Step(Protocol):
    """One decision about one intent.

    `decide` is pure. It is called again, with a fresh view, whenever the transaction has to be
    repeated, also when an earlier run may have been committed: it must recognize its own ids in
    the view as done already and answer with an empty plan that carries the same value.
    """

    @property
    def intent_id(self) -> bytes:
        """The intent to lock."""

    @property
    def key(self) -> tuple[bytes, bytes] | None:
        """Merchant id and digest of the idempotency key, where a merchant asked for the step."""

    def decide(self, view: IntentView | None) -> Plan | Lost:
        """Say what shall become of the intent; None: there is no such intent."""


class SealedCardRow(Struct, frozen=True):
    """What the HSM needs to release the card of a charge; only ever in the switch's memory."""

    transaction_id: bytes
    intent_id: bytes
    merchant_id: bytes  # with the intent's id the AAD of `sealed_card`
    sealed_card: bytes
