"""The merchant: plays stories through the real API and writes down every answer.

What does not come to an end at once is asked for again under its idempotency key, which has no
second effect and answers with the transaction as it stands now: so every repeat is a test, too. An
answer that is to be lost is lost by hanging up; what the stack did then is known to nobody until
the same request is made again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count
from typing import Final

import attrs
import trio

from chaos.records import Merchant, Seen, Told
from chaos.stories import CURRENCY, Operation, Story, Way, story
from turnout_client import (
    APIError,
    Card,
    PaymentIntent,
    RetryPolicy,
    ServerError,
    Transaction,
    TurnoutError,
)
from turnout_client.on_trio import TrioTurnout

PATIENT: Final = RetryPolicy(tries_max=1_000, backoff_s=0.2, backoff_max_s=0.8)
CONNECTIONS_MAX: Final = 4_096
ASK_AGAIN_FIRST_S: Final = 0.2
ASK_AGAIN_MAX_S: Final = 2.0
READERS: Final = 16  # of intents in the end, side by side

Ask = Callable[[], Awaitable[Transaction]]


@attrs.define
class Counts:
    """What was asked and what came of it, for the report's reader.

    Attributes:
        begun: payments.
        ended: payments whose story is over.
        charges: charges that were answered with a transaction.
        answers: by type and status.
        refused: refusals by code; nothing was recorded for them.
        hung_up: answers that were not waited for.
        faults: answers 500: a fault of the stack's, asked again.
    """

    begun: int = 0
    ended: int = 0
    charges: int = 0
    hung_up: int = 0
    faults: int = 0
    answers: Counter[str] = attrs.field(factory=Counter)
    refused: Counter[str] = attrs.field(factory=Counter)


class Shop:
    """A merchant at work.

    Args:
        client: never gives up.
        seed: of the stories.

    Attributes:
        counts: so far.
        under_way: requests for transactions that wait for their answers now.
        answered: set anew whenever a charge of a marked story is answered, by number.
    """

    def __init__(self, client: TrioTurnout, seed: int) -> None:
        self._client = client
        self._seed = seed
        self._told: list[Told] = []
        self._intents: list[str] = []
        self._asked: Counter[tuple[str, str]] = Counter()
        self._playing: dict[int, str] = {}
        self.counts = Counts()
        self.under_way = 0

    # ------------------------------------------------------------------------------------- load

    async def trade(self, rate_per_s: float, stories: trio.Nursery) -> None:
        """Begin so many payments a second until canceled, whatever becomes of them."""
        began = trio.current_time()
        for number in count():
            await trio.sleep_until(began + number / rate_per_s)
            stories.start_soon(self.play, story(self._seed, number))

    async def play(self, story: Story) -> bool:
        """Play one payment to its end; whether its charge was taken."""
        self.counts.begun += 1
        self._playing[story.number] = f"payment {story.number}"
        intent = await self._create(story)
        self._playing[story.number] = intent.id
        taken = False
        for number, stage in enumerate(story.stages):
            outcomes: list[Transaction | None] = []
            async with trio.open_nursery() as together:
                for place, operation in enumerate(stage):
                    key = self._key(story, f"{number}.{place}")
                    together.start_soon(self._operate, story, intent, operation, key, outcomes)
            taken = taken or outcomes[0] is not None
            if not all(each is not None and each.status == "succeeded" for each in outcomes):
                break
        self.counts.ended += 1
        del self._playing[story.number]
        return taken

    async def _create(self, story: Story) -> PaymentIntent:
        intent = await self._client.create_payment_intent(
            story.amount,
            CURRENCY,
            capture_method=story.method,
            idempotency_key=self._key(story, "create"),
        )
        self._intents.append(intent.id)
        return intent

    def _key(self, story: Story, what: str) -> str:
        return f"chaos-{self._seed}-{story.number}-{what}"

    async def _operate(
        self,
        story: Story,
        intent: PaymentIntent,
        operation: Operation,
        key: str,
        outcomes: list[Transaction | None],
    ) -> None:
        """Ask for one thing until its end is known; None where it was refused."""
        ask = await self._request(story, intent, operation, key)
        self._asked[intent.id, operation.type] += 1
        answer = await self._first(ask, intent, operation, key)
        if operation.type == "charge" and answer is not None:
            self.counts.charges += 1
            if story.impatient and not answer.is_final:
                await self._give_up(story, intent)
        pause_s = ASK_AGAIN_FIRST_S
        while answer is not None and not answer.is_final:
            await trio.sleep(pause_s)
            pause_s = min(2 * pause_s, ASK_AGAIN_MAX_S)
            answer = await self._ask(ask, intent, key)
        if answer is not None:
            self.counts.answers[f"{answer.type} {answer.status}"] += 1
        outcomes.append(answer)

    async def _give_up(self, story: Story, intent: PaymentIntent) -> None:
        """Cancel a payment that is in doubt."""
        key = self._key(story, "give-up")
        self._asked[intent.id, "cancel"] += 1
        await self._ask(lambda: self._client.cancel(intent, idempotency_key=key), intent, key)

    async def _request(
        self, story: Story, intent: PaymentIntent, operation: Operation, key: str
    ) -> Ask:
        client, amount = self._client, operation.amount or None
        match operation.type:
            case "charge":
                card = Card(number=story.pan, exp_month=12, exp_year=2030, cvc="123")
                sealed = await client.seal(intent, card)
                return lambda: client.charge(intent, sealed, idempotency_key=key)
            case "capture":
                return lambda: client.capture(
                    intent, amount, final=operation.final, idempotency_key=key
                )
            case "refund":
                return lambda: client.refund(intent, amount, idempotency_key=key)
            case "cancel":
                return lambda: client.cancel(intent, idempotency_key=key)

    # ---------------------------------------------------------------------------------- requests

    async def _first(
        self, ask: Ask, intent: PaymentIntent, operation: Operation, key: str
    ) -> Transaction | None:
        """Ask for the first time, in the operation's own way."""
        if operation.way is Way.LOST:
            with trio.move_on_after(operation.cut_s):
                return await self._ask(ask, intent, key)
            self.counts.hung_up += 1
        elif operation.way is Way.TWICE:
            async with trio.open_nursery() as both:
                both.start_soon(self._ask, ask, intent, key)
                return await self._ask(ask, intent, key)
        return await self._ask(ask, intent, key)

    async def _ask(self, ask: Ask, intent: PaymentIntent, key: str) -> Transaction | None:
        """Ask until there is an answer; None where it is a refusal."""
        while True:
            try:
                with self._counted():
                    answer = await ask()
            except ServerError:
                self.counts.faults += 1
                await trio.sleep(ASK_AGAIN_FIRST_S)
                continue
            except APIError as refusal:
                self.counts.refused[refusal.code] += 1
                return None
            self._told.append(
                Told(
                    intent=intent.id,
                    key=key,
                    transaction=answer.id,
                    type=answer.type,
                    status=answer.status,
                    amount=answer.amount_in_cents,
                )
            )
            return answer

    @contextmanager
    def _counted(self) -> Iterator[None]:
        self.under_way += 1
        try:
            yield
        finally:
            self.under_way -= 1

    # ------------------------------------------------------------------------------------ witness

    async def testify(self) -> Merchant:
        """Read every intent as it stands, and say what was heard."""
        seen: list[Seen] = []
        names = iter(self._intents)
        async with trio.open_nursery() as readers:
            for _ in range(READERS):
                readers.start_soon(self._read, names, seen)
        return Merchant(
            told=self._told,
            seen=seen,
            asked=dict(self._asked),
            unanswered=list(self._playing.values()),
        )

    async def _read(self, names: Iterator[str], seen: list[Seen]) -> None:
        for name in names:
            try:
                intent = await self._client.retrieve(name)
            except TurnoutError:
                continue
            seen.append(
                Seen(
                    intent=intent.id,
                    status=intent.status,
                    captured=intent.amount_captured,
                    refunded=intent.amount_refunded,
                    capturable=intent.amount_capturable,
                )
            )
