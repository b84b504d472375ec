"""What pipeline tests share: charges, and the pipeline's neighbors under the test's control.

Each neighbor keeps what it was told and checks what the real one would: slots are given back once,
requests are answered once, a batch holds no intent twice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Protocol

import attrs
import trio

from chassis.mux import MuxClosedError
from hsm_sim.wire import OpenCards, OpenedCard
from ledger.completions import Acknowledgment
from ledger.records import (
    ChargeToRecord,
    Lost,
    OutcomeToRecord,
    Replay,
    Settled,
    TransactionRow,
    Verdict,
    Won,
)
from ledger.recovery import AnswerNumbers, OpenAttempt
from switch.core.findings import Finding
from switch.core.messages import Acceptor
from switch.core.numbers import NumbersExhaustedError
from switch.core.operations.records import Spare
from switch.link.correlation import Slot, Window
from switch.link.events import CorrelationKey
from switch.pipeline.payment import Payment
from switch.wire import Charge
from tests.support.operations import RULES

PAN = "4242424242424242"
NOW_US = 1_800_000_000_000_000
ACCEPTOR = Acceptor(
    terminal_id="TERM0001",
    card_acceptor_id="DEMOSHOP0000001",
    name_location=f"{'Demo shop Springfield US':40}",
    mcc="5999",
    country="840",
)


class Peer:
    """An api connection that remembers what it was told."""

    def __init__(self) -> None:
        self.replies: dict[int, Any] = {}

    def reply(self, request_id: int, body: Any) -> None:
        """Keep one reply; a second to the same request is a fault."""
        assert request_id not in self.replies, "a request is answered once"
        self.replies[request_id] = body


class Worker:
    """An HSM worker that answers when the test says so."""

    def __init__(self) -> None:
        self.connected = True
        self.asked: list[tuple[OpenCards, Callable[[Any], None]]] = []
        self.forgotten: list[int] = []

    def submit(self, request: OpenCards, deliver: Callable[[Any], None]) -> int:
        """Queue a request."""
        if not self.connected:
            raise MuxClosedError("not connected")
        self.asked.append((request, deliver))
        return len(self.asked)

    def forget(self, request_id: int) -> None:
        """Note that nobody waits for this request any more."""
        self.forgotten.append(request_id)


class Group:
    """A network's links: what was sent on them, and real window slots."""

    def __init__(self, *, slots: int = 8) -> None:
        self.window = Window(0, slots)
        self.sent: list[tuple[CorrelationKey, bytes, Any]] = []
        self.repeats: list[bool] = []  # of what was sent, whether it was a repeat
        self.accepted_at: list[float] = []  # and since when it has been under way
        self.doubted: list[tuple[dict[int, str], Any]] = []
        self.kept_waiting: list[tuple[dict[int, str], Any]] = []
        self.up_count = 1
        self._slots: list[Slot] = []

    @property
    def capacity(self) -> int:
        """Slots of all links."""
        return self.window.size

    def reserve(self) -> Slot | None:
        """Take a slot, if there is one."""
        if self.window.in_flight >= self.window.size:
            return None
        self.window.in_flight += 1
        return Slot(self.window)

    def release(self, slot: Slot) -> None:
        """Give a slot back; twice is an error, as with the real one."""
        slot.free()

    def send(
        self,
        slot: Slot,
        key: CorrelationKey,
        frame: bytes,
        token: Any,
        accepted_at: float,
        *,
        repeat: bool = False,
    ) -> None:
        """Keep the message; its slot is free once the test calls `settle`."""
        assert slot.window is self.window, "a message needs a slot of its own"
        if isinstance(token, Payment):
            assert accepted_at == token.accepted_at
        slot.key, slot.token = key, token
        self.sent.append((key, frame, token))
        self.repeats.append(repeat)
        self.accepted_at.append(accepted_at)
        self._slots.append(slot)

    def settle(self, payment: Any) -> None:
        """Free the slot of a message, as the group does before it tells of an outcome."""
        slot = next(slot for slot in self._slots if slot.token is payment)
        self._slots.remove(slot)
        assert slot.free() is payment

    def doubt(self, answer: dict[int, str], token: Any) -> None:
        """Listen for a better answer."""
        self.doubted.append((answer, token))

    def keep_waiting(self, answer: dict[int, str], token: Any) -> None:
        """Start the time over."""
        self.kept_waiting.append((answer, token))


class Charges:
    """Commit 1 as the test decides it; wins by default."""

    def __init__(self) -> None:
        self.batches: list[tuple[str, list[ChargeToRecord]]] = []
        self.verdicts: dict[int, Verdict | None] = {}  # by intent number, used up by one commit
        self.error: Exception | None = None
        self.hung: trio.Event | None = None  # commits wait for it
        self.while_running: Callable[[], None] = lambda: None  # called before a commit returns

    async def record(self, batch: Sequence[ChargeToRecord], *, lane: str) -> list[Verdict | None]:
        """Keep the batch and answer it."""
        await trio.lowlevel.checkpoint()
        if self.hung is not None:
            await self.hung.wait()
        if self.error is not None:
            raise self.error
        assert len({row.intent_id for row in batch}) == len(batch)
        assert len({(row.merchant_id, row.key_digest) for row in batch}) == len(batch)
        self.batches.append((lane, list(batch)))
        self.while_running()
        return [
            self.verdicts.pop(int.from_bytes(row.intent_id), Won(2499, "usd", NOW_US, 2))
            for row in batch
        ]

    @property
    def lanes(self) -> list[tuple[str, list[int]]]:
        """Lane and intent numbers of every commit so far."""
        return [
            (lane, [int.from_bytes(row.intent_id) for row in rows]) for lane, rows in self.batches
        ]


class Outcomes:
    """Commit 2 as the test decides it; advances by default."""

    def __init__(self) -> None:
        self.batches: list[list[OutcomeToRecord]] = []
        self.moved_on: set[int] = set()  # intents that somebody else has decided
        self.held: set[int] = set()  # intents that somebody sits on
        self.error: Exception | None = None

    async def settle_free(self, batch: Sequence[OutcomeToRecord]) -> list[Settled | None]:
        """Keep those of the batch whose intents are free, and answer them."""
        free = [row for row in batch if int.from_bytes(row.intent_id) not in self.held]
        settled = dict(zip(map(id, free), await self.settle(free), strict=True))
        return [settled.get(id(row)) for row in batch]

    async def settle(self, batch: Sequence[OutcomeToRecord]) -> list[Settled]:
        """Keep the batch and answer it."""
        await trio.lowlevel.checkpoint()
        if self.error is not None:
            raise self.error
        assert len({row.intent_id for row in batch}) == len(batch)
        self.batches.append(list(batch))
        return [
            Settled(
                advanced=int.from_bytes(row.intent_id) not in self.moved_on,
                version=3,
                intent_status=row.intent_to,
            )
            for row in batch
        ]

    @property
    def rows(self) -> list[OutcomeToRecord]:
        """Every row so far, in order."""
        return [row for batch in self.batches for row in batch]


class Replays:
    """Keys that the ledger knows, by digest; `errors` are raised first, one a look-up."""

    def __init__(self) -> None:
        self.known: dict[bytes, Replay | Lost] = {}
        self.errors: list[Exception] = []
        self.asked = 0

    async def find(self, batch: Sequence[tuple[bytes, bytes, bytes]]) -> list[Replay | Lost | None]:
        """Look a batch up."""
        await trio.lowlevel.checkpoint()
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return [self.known.get(digest) for _, digest, _ in batch]


class Attempts:
    """Attempts that the ledger knows; `errors` are raised first, one a look-up."""

    def __init__(self) -> None:
        self.known: list[OpenAttempt] = []
        self.errors: list[Exception] = []
        self.asked: list[list[AnswerNumbers]] = []

    async def find(self, answers: Sequence[AnswerNumbers]) -> list[OpenAttempt | None]:
        """Look a batch up by all four numbers."""
        await trio.lowlevel.checkpoint()
        self.asked.append(list(answers))
        if self.errors:
            raise self.errors.pop(0)
        known = {(a.network, a.rrn, a.stan, a.de7): a for a in self.known}
        return [known.get((a.network, a.rrn, a.stan, a.de7)) for a in answers]


@attrs.frozen
class Told:
    """A finding that was handed over, and who waits for what it comes to."""

    intent_id: bytes
    attempt_id: bytes
    network: str
    finding: Finding
    actor: str
    concluded: Callable[[Any], None]
    second: bool


@attrs.frozen
class Tried:
    """A second attempt that was asked for."""

    attempt_id: bytes
    mti: str
    finding: Finding
    spare: Spare
    decided: Callable[[Any], None]


class Handovers:
    """The cold path as the test plays it: keeps what it was given."""

    def __init__(self) -> None:
        self.rules = dict.fromkeys(("vsim", "msim", "backup"), RULES)
        self.told: list[Told] = []
        self.tried: list[Tried] = []
        self.events: list[Any] = []
        self.orders: list[tuple[Any, int, Any]] = []
        self.out_of_numbers = False
        self._numbers = count(500)

    def order(self, peer: Any, request_id: int, operate: Any) -> None:
        """Keep an order."""
        self.orders.append((peer, request_id, operate))

    def on_event(self, event: Any) -> None:
        """Keep an event about another message."""
        self.events.append(event)

    def spare(self, network: str) -> Spare:
        """Numbers of their own."""
        if self.out_of_numbers:
            raise NumbersExhaustedError("none at hand")
        number = next(self._numbers)
        return Spare(
            attempt_id=b"S" * 8 + number.to_bytes(8),
            network=network,
            acquirer_id="500001",
            stan=f"{number:06d}",
            de7="0115080001",
            rrn=f"0{number:011d}",
            deadline_at_us=NOW_US + 4_000_000,
        )

    def tell(
        self,
        intent_id: bytes,
        attempt_id: bytes,
        network: str,
        finding: Finding,
        actor: str,
        concluded: Callable[[Any], None],
        *,
        second: bool = False,
    ) -> None:
        """Keep a finding."""
        self.told.append(Told(intent_id, attempt_id, network, finding, actor, concluded, second))

    def try_again(
        self,
        intent_id: bytes,
        attempt_id: bytes,
        mti: str,
        finding: Finding,
        spare: Spare,
        decided: Callable[[Any], None],
    ) -> None:
        """Keep a request for a second attempt."""
        assert len(intent_id) == 16
        self.tried.append(Tried(attempt_id, mti, finding, spare, decided))


class Completions:
    """Acknowledgments as the ledger takes them."""

    def __init__(self) -> None:
        self.batches: list[list[Acknowledgment]] = []

    async def acknowledge(self, batch: Sequence[Acknowledgment]) -> list[bool]:
        """Keep a batch."""
        await trio.lowlevel.checkpoint()
        assert len({row.attempt_id for row in batch}) == len(batch)
        self.batches.append(list(batch))
        return [True] * len(batch)


class Admit(Protocol):
    """Admits a payment."""

    def __call__(self, number: int, *, age_s: float = 0.0) -> Payment:
        """Admit payment `number`, which came in `age_s` ago."""


def charge(number: int, *, key: int | None = None, request: int = 0) -> Charge:
    """A charge of intent `number` under idempotency key `key`."""
    return Charge(
        intent_id=number.to_bytes(16),
        merchant_id=b"m" * 16,
        publishable_key="pk_test_docs",
        live=False,
        ciphertext="v1.kid.text",
        key_digest=(number if key is None else key).to_bytes(16),
        request_hash=request.to_bytes(16),
        request_id=bytes(16),
    )


def opened_card(pan: str = PAN) -> OpenedCard:
    """A card in the clear."""
    return OpenedCard(pan, "3012", "123", "A CARDHOLDER", b"sealed", b"f" * 16)


def transaction_row(number: int, status: str = "succeeded") -> TransactionRow:
    """A charge of 24.99 as the ledger has it."""
    return TransactionRow(
        transaction_id=b"t" * 15 + bytes([number]),
        intent_id=number.to_bytes(16),
        type="charge",
        status=status,
        amount_minor=2499,
        currency="usd",
        response_code="00",
        approval_code="A1B2C3",
        decline_code="",
        advice="",
        card_brand="visa",
        card_last4="4242",
        card_exp_month=12,
        card_exp_year=2030,
        created_at_us=NOW_US,
        updated_at_us=NOW_US + 5,
    )


def recorded(payment: Payment, *, stan: int = 17, network: str = "vsim") -> Payment:
    """A payment after commit 1 has won, and before it is sent."""
    of = payment.charge
    payment.network = network
    payment.acceptor = ACCEPTOR
    payment.card = opened_card()
    payment.amount_minor, payment.currency, payment.created_at_us = 2499, "usd", NOW_US
    payment.record = ChargeToRecord(
        intent_id=of.intent_id,
        merchant_id=of.merchant_id,
        transaction_id=b"T" * 16,
        attempt_id=b"A" * 15 + of.intent_id[-1:],
        key_digest=of.key_digest,
        request_hash=of.request_hash,
        request_id=of.request_id,
        card_digest=b"d" * 16,
        sealed_card=b"sealed",
        fingerprint=b"f" * 16,
        card_brand="visa",
        card_last4="4242",
        card_exp_month=12,
        card_exp_year=2030,
        network=network,
        acquirer_id="400001",
        mti="0200",
        stan=f"{stan:06d}",
        rrn="0ABCDEFGHIJK",
        de7="0115080000",
        deadline_at_us=NOW_US + 4_000_000,
        live=False,
    )
    return payment
