"""What goes into the ledger's batches and what comes out: hot records.

msgspec Structs outside the garbage collector's sight (`gc=False`): they hold bytes, text and
numbers only, so they cannot form cycles. Ids and digests are 16 raw bytes. Instants end `_us`:
microseconds since 1970.
"""

from __future__ import annotations

from msgspec import Struct


class ChargeToRecord(Struct, gc=False, frozen=True):
    """One charge about to be sent: what commit 1 writes before a byte leaves.

    An account verification is recorded like a charge; its amount is 0 and its intent stays created.
    Amount and currency are not here: they come back from the locked intent row.
    """

    intent_id: bytes
    merchant_id: bytes
    transaction_id: bytes
    attempt_id: bytes
    key_digest: bytes  # merchant, mode, credential class (intent), idempotency key
    request_hash: bytes  # method, target, body
    request_id: bytes
    card_digest: bytes  # of the ciphertext as sent; unique per intent
    sealed_card: bytes  # PAN and expiry as the HSM sealed them
    fingerprint: bytes
    card_brand: str
    card_last4: str
    card_exp_month: int
    card_exp_year: int
    network: str
    acquirer_id: str  # DE 32
    mti: str
    stan: str  # DE 11
    rrn: str  # DE 37
    de7: str  # MMDDhhmmss
    deadline_at_us: int
    live: bool
    type: str = "charge"  # charge | verification


class TransactionRow(Struct, gc=False, frozen=True):
    """A transaction with the status its latest outcome gives it; fields as on the wire."""

    transaction_id: bytes
    intent_id: bytes
    type: str
    status: str
    amount_minor: int
    currency: str
    response_code: str  # DE 39, or empty
    approval_code: str  # DE 38, or empty
    decline_code: str  # or empty
    advice: str  # or empty
    card_brand: str
    card_last4: str
    card_exp_month: int
    card_exp_year: int
    created_at_us: int
    updated_at_us: int
    final_capture: bool | None = None  # captures only


class Won(Struct, gc=False, frozen=True):
    """The charge is recorded and may be sent."""

    amount_minor: int
    currency: str
    created_at_us: int
    version: int  # of the intent after this commit
    manual: bool = False  # what is approved is authorized, to be captured later
    allow_partial: bool = False  # an approval of less than was asked for is taken


class Replay(Struct, gc=False, frozen=True):
    """The same request under the same key stands already; this is what became of it."""

    transaction: TransactionRow


class Lost(Struct, gc=False, frozen=True):
    """Nothing was recorded for this request."""

    code: str  # an error code of contract 4
    holder: bytes = b""  # merchant_reference_in_use: the intent that holds the reference


Verdict = Won | Replay | Lost


class CompletionToRecord(Struct, gc=False, frozen=True):
    """The 0220 that follows an automatic charge on a dual-message network, from commit 2 on.

    Network, acquirer id, RRN and currency are those of the charge's own attempt, the amount is
    what was approved. Its first send counts as made, for it leaves with the commit.
    """

    attempt_id: bytes
    mti: str
    stan: str
    de7: str
    due_at_us: int  # when to repeat it, unless it was acknowledged


class OutcomeToRecord(Struct, gc=False, frozen=True):
    """One result of an attempt: what commit 2 writes before the merchant hears it.

    The fields from `settles_on` on are for what only some outcomes bring with them, in the same
    commit: an unknown opens a doubt, a manual charge may be captured for a time, a decline is
    remembered, an automatic charge on a dual-message network is completed.
    """

    attempt_id: bytes
    transaction_id: bytes
    intent_id: bytes
    phase: int  # 1 = first result, 2 = resolution of an unknown
    result: str  # lifecycle.ATTEMPT_RESULTS[phase]
    from_status: str  # of the transaction
    to_status: str
    intent_to: str
    response_code: str  # DE 39, or empty
    approval_code: str  # DE 38, or empty
    actor: str  # who found it out, such as network:vsim, switch, recovery
    request_id: bytes
    at_us: int
    decline_code: str = ""  # what the merchant is told, such as insufficient_funds
    advice: str = ""  # lifecycle.ADVICE_CODES, or empty
    approved_minor: int = 0  # of a partial approval; 0 = the whole amount
    settles_on: str = ""  # DE 15 with its year, YYYY-MM-DD
    verify_at_us: int = 0  # of an unknown: the first inquiry, or 0 = not verified
    verify_until_us: int = 0  # the end of its window; at `verify_at_us`: reverse at once
    capture_before_us: int = 0  # of an intent that becomes authorized
    decline_class: str = ""  # lifecycle.DECLINE_CLASSES, or empty: not remembered
    completion: CompletionToRecord | None = None


class Settled(Struct, gc=False, frozen=True):
    """What commit 2 found.

    Not advanced: the intent had moved on (a late or second answer) and nothing was written;
    `version` and `intent_status` then say where it stands (0 and empty if there is no such
    intent).
    """

    advanced: bool
    version: int
    intent_status: str


class IntentToCreate(Struct, gc=False, frozen=True):
    """One payment intent about to be created; an empty reference claims none."""

    intent_id: bytes
    merchant_id: bytes
    live: bool
    amount_minor: int
    currency: str
    capture_method: str  # automatic | manual
    allow_partial: bool
    request_id: bytes
    client_secret_hash: bytes  # 32 bytes, SHA-256
    description: str
    metadata: bytes  # a JSON object, or empty
    merchant_reference: str
    key_digest: bytes
    request_hash: bytes
    expires_at_us: int
    epoch: int = 1  # in which the shard owns the merchant's bucket; 1 where there is one shard


class IntentRow(Struct, gc=False, frozen=True):
    """A payment intent with its details and its latest transaction, if it has one."""

    intent_id: bytes
    merchant_id: bytes
    live: bool
    amount_minor: int
    currency: str
    status: str
    capture_method: str
    allow_partial: bool
    capturable_minor: int
    captured_minor: int
    refunded_minor: int
    disputed_minor: int
    cancel_requested: bool
    capture_before_us: int | None
    version: int
    created_at_us: int
    updated_at_us: int
    client_secret_hash: bytes
    description: str | None
    metadata: bytes | None  # a JSON object
    merchant_reference: str | None
    latest_transaction: TransactionRow | None


class Created(Struct, gc=False, frozen=True):
    """The intent is recorded."""

    intent: IntentRow


class IntentReplay(Struct, gc=False, frozen=True):
    """The same request under the same key created this intent before; it is shown as it is now."""

    intent: IntentRow


class Moved(Struct, gc=False, frozen=True):
    """Nothing was recorded: this shard does not own the merchant's bucket in the epoch named."""


CreationVerdict = Created | IntentReplay | Lost | Moved


class IntentPage(Struct, gc=False, frozen=True):
    """A page of a list, newest first; `after` continues it, None at its end."""

    intents: list[IntentRow]
    after: bytes | None


class TimelineEvent(Struct, frozen=True):
    """One change of an intent; `data` holds what is known of it, in ledger names."""

    id: bytes  # `ids.event_id`: the same for the same change, for ever
    sequence: int  # the intent's version after it
    type: str  # a webhook type of contract 6
    actor: str
    at_us: int
    transaction_id: bytes | None
    data: dict[str, str | int]
