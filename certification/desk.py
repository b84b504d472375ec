"""What a case works with: its network, a merchant, the ledger, and a place for what it saw.

A desk is one case's own. Its card numbers begin with a prefix that only its network carries, so
that cases may share a stack and run at the same time.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any, Final, TypeVar

import attrs
import trio

from certification.books import books_agree
from certification.evidence import CaseFailedError, Evidence
from certification.invariants import Told, Witnesses
from certification.network import PlayedNetwork
from certification.scrape import Metrics
from certification.witnesses import Attempt, Ledger, Movement, still_open
from stack.temporary import TemporaryStack
from turnout_client import (
    APIError,
    Card,
    PaymentIntent,
    Transaction,
    TurnoutError,
    UnavailableError,
)
from turnout_client.on_trio import TrioTurnout

T = TypeVar("T")
PAN_DIGITS: Final = 16
CLOCK_FILE: Final = "clock"
CRASH_FILE: Final = "crash"
HTTP_UNAVAILABLE: Final = 500
CVC: Final = "737"
RESTS_WITHIN_S: Final = 60.0
BOOKED_WITHIN_S: Final = 20.0  # behind the payments, after a restart of the database too
_POLL_S: Final = 0.05


def complete_pan(digits: str) -> str:
    """Digits with their Luhn check digit behind them (ISO/IEC 7812-1, annex B)."""
    total = 0
    for index, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if index % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return digits + str(-total % 10)


def _may_be_asked_again(error: TurnoutError) -> bool:
    """Whether nobody said no: the connection was lost, or there is no room at present."""
    return not isinstance(error, APIError) or error.status >= HTTP_UNAVAILABLE


@attrs.define(kw_only=True)
class Desk(Evidence):
    """One case at work.

    Attributes:
        case_id: which.
        network: its own.
        shop: a merchant that asks once.
        ledger: the reader.
        stack: what runs.
        random: seeded by run and case.
        factor: what the profile's timers are multiplied by.
        prefix: of its card numbers.
        told: every answer to the merchant.
        nursery: for what runs beside the case; canceled at its end.
    """

    case_id: str
    network: PlayedNetwork
    shop: TrioTurnout
    ledger: Ledger
    stack: TemporaryStack
    random: Random
    factor: float
    prefix: str
    nursery: trio.Nursery
    told: list[Told] = attrs.field(factory=list)
    _pans: list[str] = attrs.field(factory=list)

    # ---------------------------------------------------------------------------------- merchant

    def pan(self, digits: int = PAN_DIGITS) -> str:
        """A new card number of this network, unlike any other of the run."""
        body = digits - len(self.prefix) - 1
        number = complete_pan(self.prefix + f"{len(self._pans) + 1:0{body}d}"[-body:])
        self._pans.append(number)
        return number

    async def intent(
        self, amount: int = 1000, currency: str = "usd", **options: Any
    ) -> PaymentIntent:
        """A new intent."""
        return await self.shop.create_payment_intent(amount, currency, **options)

    async def charge(
        self, intent: PaymentIntent | str, pan: str = "", *, key: str | None = None
    ) -> Transaction:
        """Charge an intent, once."""
        key = key or os.urandom(12).hex()
        card = Card(number=pan or self.pan(), exp_month=12, exp_year=2030, cvc=CVC)
        ciphertext = await self.shop.seal(intent, card)
        return await self._ask(key, self.shop.charge(intent, ciphertext, idempotency_key=key))

    async def insist(self, intent: PaymentIntent, *, within_s: float = 60.0) -> Transaction:
        """Charge under one key, again and again, until there is an answer, as a server would."""
        key = os.urandom(12).hex()
        card = Card(number=self.pan(), exp_month=12, exp_year=2030, cvc=CVC)
        ciphertext = await self.shop.seal(intent, card)
        with trio.fail_after(within_s):
            while True:
                try:
                    return await self._ask(
                        key, self.shop.charge(intent, ciphertext, idempotency_key=key)
                    )
                except TurnoutError as error:
                    if not _may_be_asked_again(error):
                        raise
                await trio.sleep(_POLL_S)

    async def pay(
        self, amount: int = 1000, currency: str = "usd", pan: str = "", **options: Any
    ) -> Transaction:
        """Create an intent and charge it."""
        intent = await self.intent(amount, currency, **options)
        return await self.charge(intent, pan)

    async def authorize(self, amount: int = 1000, **options: Any) -> Transaction:
        """Hold an amount."""
        return await self.pay(amount, capture_method="manual", **options)

    async def verify(self, intent: PaymentIntent) -> Transaction:
        """Ask whether a card is good."""
        key = os.urandom(12).hex()
        card = Card(number=self.pan(), exp_month=12, exp_year=2030, cvc=CVC)
        ciphertext = await self.shop.seal(intent, card)
        return await self._ask(key, self.shop.verify(intent, ciphertext, idempotency_key=key))

    async def capture(
        self, intent: str, amount: int | None = None, *, final: bool = True
    ) -> Transaction:
        """Collect what is held."""
        key = os.urandom(12).hex()
        return await self._ask(
            key, self.shop.capture(intent, amount, final=final, idempotency_key=key)
        )

    async def cancel(self, intent: str, *, key: str | None = None) -> Transaction:
        """Release what is held."""
        key = key or os.urandom(12).hex()
        return await self._ask(key, self.shop.cancel(intent, idempotency_key=key))

    async def refund(self, intent: str, amount: int | None = None) -> Transaction:
        """Give money back."""
        key = os.urandom(12).hex()
        return await self._ask(key, self.shop.refund(intent, amount, idempotency_key=key))

    async def _ask(self, key: str, question: Awaitable[Transaction]) -> Transaction:
        answer = await question
        self.told.append(
            Told(
                intent=answer.payment_intent,
                transaction=answer.id,
                type=answer.type,
                status=answer.status,
                key=key,
            )
        )
        return answer

    async def recovers(self) -> None:
        """The network is connected again, and a sale succeeds."""
        await self.network.signed_on()

        async def pays() -> bool:
            try:
                return (await self.pay()).status == "succeeded"
            except UnavailableError:
                return False

        await self.until("a sale succeeds again", pays)

    async def refused(self, question: Awaitable[Transaction], code: str) -> None:
        """Fail unless the merchant is refused with this code."""
        try:
            answer = await question
        except APIError as error:
            self.equal("the merchant is refused with", error.code, code)
        else:
            raise CaseFailedError(f"expected a refusal {code}, was answered {answer.status}")

    async def many(self, count: int, **options: Any) -> list[Transaction]:
        """So many payments at once."""
        answers: list[Transaction] = []

        async def one() -> None:
            answers.append(await self.pay(**options))

        async with trio.open_nursery() as nursery:
            for _ in range(count):
                nursery.start_soon(one)
        return answers

    # ---------------------------------------------------------------------------------- watching

    async def until(
        self, what: str, condition: Callable[[], Awaitable[bool]], *, within_s: float = 30.0
    ) -> None:
        """Wait for something; fail where it does not come about."""
        with trio.move_on_after(within_s):
            while not await condition():
                await trio.sleep(_POLL_S)
            self.saw(what)
            return
        raise CaseFailedError(f"did not happen within {within_s:g} s: {what}")

    async def movement(self, transaction: str) -> Movement:
        """A transaction as the ledger has it."""
        for movement in await self.ledger.movements(self.network.name):
            if movement.transaction == transaction:
                return movement
        raise CaseFailedError(f"{transaction} is not in the ledger")

    async def ends(
        self, transaction: Transaction, status: str, *, intent: str = "", within_s: float = 60.0
    ) -> Movement:
        """Wait until a transaction has a status, and its intent another."""
        with trio.move_on_after(within_s):
            while True:
                movement = await self.movement(transaction.id)
                if movement.status == status and intent in {"", movement.intent_status}:
                    self.saw(f"the transaction ends {status}, its intent {movement.intent_status}")
                    return movement
                await trio.sleep(_POLL_S)
        movement = await self.movement(transaction.id)
        raise CaseFailedError(
            f"the transaction was to end {status} ({intent or 'any'}), it is"
            f" {movement.status} ({movement.intent_status}) after {within_s:g} s"
        )

    async def attempts(self, kind: str = "") -> list[Attempt]:
        """The attempts on this network, of one kind or all."""
        found = await self.ledger.attempts(self.network.name)
        return [attempt for attempt in found if kind in {"", attempt.kind}]

    async def metrics(self) -> Metrics:
        """The switch's metrics now."""
        return await Metrics.of(self.stack.endpoints.metrics)

    @property
    def clock_file(self) -> Path:
        """What the stack's clock follows, in a case that says `clock`."""
        return self.stack.data_dir.parent / CLOCK_FILE

    @property
    def crash_file(self) -> Path:
        """What arms a crash point, in a case that says `crashes`."""
        return self.stack.data_dir.parent / CRASH_FILE

    def log(self) -> str:
        """What the stack has logged so far."""
        return Path(self.stack.log_file).read_text(errors="replace")

    async def logged(self, *texts: str, within_s: float = 15.0) -> None:
        """Wait for a line of the log that holds all of these."""

        async def found() -> bool:
            lines = await trio.to_thread.run_sync(self.log)
            return any(all(text in line for text in texts) for line in lines.splitlines())

        await self.until(f"the log says {' … '.join(texts)}", found, within_s=within_s)

    async def rest(self) -> Witnesses:
        """Wait until nothing of this network is under way; then ask every witness."""
        with trio.move_on_after(RESTS_WITHIN_S * max(1.0, self.factor)):
            while still_open(await self.attempts()):
                await trio.sleep(4 * _POLL_S)
        movements = await self.ledger.movements(self.network.name)
        postings = await self.ledger.postings(self.network.name)
        with trio.move_on_after(BOOKED_WITHIN_S):
            while any(books_agree(movements, postings)):  # they follow the payments
                await trio.sleep(4 * _POLL_S)
                postings = await self.ledger.postings(self.network.name)
        return Witnesses(
            told=self.told,
            attempts=await self.attempts(),
            movements=movements,
            postings=postings,
            exceptions=await self.ledger.exceptions(self.network.name),
            wire=self.network.trace,
            entries=self.network.entries,
            leaks=await self._leaks(),
        )

    async def _leaks(self) -> list[str]:
        log = await trio.to_thread.run_sync(self.log)
        leaks = ["a card number stands in the log" for pan in self._pans if pan in log]
        tables = await self.ledger.texts_with(self._pans[:64])
        return leaks + [f"a card number stands in {table}" for table in tables]
