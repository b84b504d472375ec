"""Captures, cancels and refunds, from the look at their intents to what the network says.

An order is looked at twice. First without a lock, to learn over which network its authorization
went: a window slot is reserved there and the card released before anything is recorded, as for a
charge (money.md 5). Then under the lock, where it is decided. Should the intent have been charged
again over another network in between, it is refused and may be repeated.

Every order that was admitted is answered: with what stands in the ledger once its message has been
answered or is unknown, or with what has been refused, nothing being recorded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from chassis.log import get_logger
from ledger.deciding.records import IntentView
from ledger.errors import LedgerError
from ledger.lifecycle import ADMITS
from ledger.records import Lost, Replay
from switch.carriers import Carrier
from switch.core.messages import Acceptor
from switch.core.messages_following import Card
from switch.core.numbers import NumbersExhaustedError
from switch.core.operations.reading import authorization_of
from switch.core.operations.records import (
    Admitted,
    Conclusion,
    Context,
    NetworkRules,
    OperationType,
)
from switch.core.operations.steps import Admit
from switch.operations.cards import Cards, Charge, Purpose, Unreleased
from switch.operations.desk import Desk
from switch.operations.drawing import Drawing, no_numbers
from switch.operations.errands import Errand, OperationCounts
from switch.operations.exchanges import Exchange, Exchanges
from switch.operations.intake import RETRY_AFTER_S, OrderIntake
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.lookup import FindReplays
from switch.pipeline.replying import state_of_row
from switch.wire import Done, Refused

log = get_logger(__name__)

PURPOSES: Final[Mapping[str, Purpose]] = {
    "capture": "capture",
    "cancel": "reversal",
    "refund": "refund",
}
_UNRELEASED: Final[Mapping[Unreleased, tuple[str, int]]] = {
    "unavailable": ("hsm_unavailable", RETRY_AFTER_S),
    "card_shredded": ("card_key_expired", 0),
    "card_undecryptable": ("internal_error", 0),
    "absent": ("internal_error", 0),
}

ReadViews = Callable[[Sequence[bytes]], Awaitable[dict[bytes, IntentView]]]
LoadAcceptors = Callable[[Sequence[bytes]], Awaitable[dict[bytes, Acceptor]]]


class Orders:
    """The look at the intents of orders, and what is done about them.

    Args:
        intake: answers them.
        desk: of this switch.
        exchanges: sends what is admitted.
        carriers: by network name.
        rules: for deciders, by network name.
        drawing: numbers of messages.
        cards: released by the HSM.
        find_replays: the ledger's look-up of keys.
        read_views: the ledger's look at intents.
        load_acceptors: merchants as networks are told of them.
        counts: all operations'.
        anomalies: the process's.
        now_us: the time of day, microseconds since 1970.
        steady_us: the clock of waits, likewise.
    """

    def __init__(
        self,
        *,
        intake: OrderIntake,
        desk: Desk,
        exchanges: Exchanges,
        carriers: Mapping[str, Carrier],
        rules: Mapping[str, NetworkRules],
        drawing: Drawing,
        cards: Cards,
        find_replays: FindReplays,
        read_views: ReadViews,
        load_acceptors: LoadAcceptors,
        counts: OperationCounts,
        anomalies: Anomalies,
        now_us: Callable[[], int],
        steady_us: Callable[[], int],
    ) -> None:
        self._desk = desk
        self._exchanges = exchanges
        self._carriers = carriers
        self._rules = rules
        self._drawing = drawing
        self._cards = cards
        self._intake = intake
        self._find_replays = find_replays
        self._read_views = read_views
        self._load_acceptors = load_acceptors
        self._counts = counts
        self._anomalies = anomalies
        self._now_us = now_us
        self._steady_us = steady_us

    # -------------------------------------------------------------------------------------- look

    async def handle(self, batch: list[Errand]) -> None:
        """Look at the intents of a batch, reserve what its messages need, have it decided."""
        try:
            errands = await self._unknown_keys(batch)
            views = await self._read_views([each.order.intent_id for each in errands])
            acceptors = await self._load_acceptors(sorted({e.order.merchant_id for e in errands}))
        except LedgerError as error:
            self._anomalies.tell(
                log.warning, "orders_not_looked_up", orders=len(batch), error=type(error).__name__
            )
            for errand in batch:
                self._refuse(errand, "ledger_unavailable", RETRY_AFTER_S)
            return
        ready: list[Errand] = []
        for errand in errands:
            errand.acceptor = acceptors.get(errand.order.merchant_id)
            refusal = self._reserve(errand, views.get(errand.order.intent_id))
            if refusal:
                self._refuse(errand, refusal, RETRY_AFTER_S if refusal != "not_found" else 0)
            else:
                ready.append(errand)
        for errand in await self._with_cards(ready):
            self._submit(errand)

    async def _unknown_keys(self, batch: list[Errand]) -> list[Errand]:
        """Answer the orders whose keys were used before; the rest."""
        asked = [each for each in batch if each.waiters]
        orders = [each.order for each in asked]
        found = await self._find_replays(
            [(order.merchant_id, order.key_digest, order.request_hash) for order in orders]
        )
        known = {id(each): answer for each, answer in zip(asked, found, strict=True)}
        fresh: list[Errand] = []
        for errand in batch:
            answer = known.get(id(errand))
            if isinstance(answer, Replay):
                self._counts.orders_replayed_total += 1
                self._intake.done(errand, Done(state_of_row(answer.transaction), replayed=True))
            elif isinstance(answer, Lost):
                self._refuse(errand, answer.code)
            else:
                fresh.append(errand)
        return fresh

    def _reserve(self, errand: Errand, view: IntentView | None) -> str:
        """Reserve a slot where a message will leave: "" or the error code."""
        order = errand.order
        if view is None or (view.merchant_id, view.live) != (order.merchant_id, order.live):
            return "not_found"
        if view.status not in ADMITS[order.type]:
            return ""  # refused, or decided without a message
        authorization = authorization_of(view)
        if authorization is None or errand.acceptor is None:
            return "not_found"
        charge, attempt = authorization
        carrier = self._carriers.get(attempt.network)
        slot = carrier.group.reserve() if carrier is not None else None
        if slot is None:
            return "network_unavailable"
        errand.network, errand.slot = attempt.network, slot
        errand.charge_id = charge.transaction_id
        return ""

    async def _with_cards(self, errands: list[Errand]) -> list[Errand]:
        """Have the cards released that messages need; refuse the orders that get none."""
        needing = [each for each in errands if each.slot is not None]
        wanted: list[tuple[Charge, Purpose]] = [
            ((each.order.intent_id, each.charge_id), PURPOSES[each.order.type]) for each in needing
        ]
        cards: Sequence[Card | Unreleased] = []
        if needing:
            try:
                cards = await self._cards.release(wanted)
            except LedgerError:
                cards = ["unavailable"] * len(needing)
        ready = [each for each in errands if each.slot is None]
        for errand, card in zip(needing, cards, strict=True):
            if isinstance(card, Card):
                errand.card = card
                ready.append(errand)
            else:
                self._refuse(errand, *_UNRELEASED[card])
        return ready

    # ------------------------------------------------------------------------------------ decide

    def _submit(self, errand: Errand) -> None:
        [attempt_id] = self._desk.take_ids(1)
        try:
            spare = (
                self._drawing.spare(errand.network, attempt_id)
                if errand.slot is not None
                else no_numbers(attempt_id)
            )
        except NumbersExhaustedError:
            self._refuse(errand, "overloaded", RETRY_AFTER_S)
            return
        rules = self._rules[errand.network or next(iter(self._rules))]
        actor = "api" if errand.waiters else "expiry"
        context = Context(self._now_us(), self._steady_us(), actor, rules, spare)
        step = Admit(errand.order, context)
        self._desk.submit(step, lambda answer: self._decided(errand, answer))

    def _decided(self, errand: Errand, answer: Any) -> None:
        if not isinstance(answer, Admitted):
            self._refuse(errand, answer.code)
            return
        if answer.letter is None:
            self._let_go(errand)
            self._count(errand.order.type, replayed=answer.replayed)
            self._intake.done(errand, Done(state_of_row(answer.transaction), answer.replayed))
            return
        self._count(errand.order.type)
        slot, card, acceptor = errand.slot, errand.card, errand.acceptor
        if slot is None or card is None or acceptor is None:
            raise RuntimeError("an order with a message has a slot, a card and an acceptor")
        errand.slot = errand.card = None
        exchange = Exchange(
            letter=answer.letter,
            intent_id=errand.order.intent_id,
            desk=self._desk,
            concluded=lambda conclusion: self._concluded(errand, conclusion),
        )
        self._exchanges.send(
            exchange, slot, card=card, acceptor=acceptor, accepted_at=errand.accepted_at
        )

    def _concluded(self, errand: Errand, answer: Conclusion | Lost) -> None:
        if isinstance(answer, Conclusion):
            self._intake.done(errand, Done(state_of_row(answer.transaction)))
        else:  # recorded, so never refused as if it were not: the repeat finds it in the ledger
            self._intake.done(errand, Refused("internal_error"))

    # ------------------------------------------------------------------------------------- reply

    def _count(self, type_: OperationType, *, replayed: bool = False) -> None:
        if replayed:
            self._counts.orders_replayed_total += 1
        elif type_ == "capture":
            self._counts.captures_total += 1
        elif type_ == "cancel":
            self._counts.cancels_total += 1
        else:
            self._counts.refunds_total += 1

    def _refuse(self, errand: Errand, code: str, retry_after_s: int = 0) -> None:
        self._let_go(errand)
        self._counts.orders_refused_total += 1
        self._intake.done(errand, Refused(code, retry_after_s))

    def _let_go(self, errand: Errand) -> None:
        """Give a slot back whose message does not leave."""
        errand.card = None
        if errand.slot is not None:
            self._carriers[errand.network].group.release(errand.slot)
            errand.slot = None
