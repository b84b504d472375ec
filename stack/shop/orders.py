"""What the shop's server does: it opens an order, and looks for itself how it ended.

    POST /orders {"good"}      an intent for the price of the good; gives its client secret
    GET  /orders/pi_…          what the API tells the merchant's server of it

The page never says what something costs, and a customer's browser never says that it was paid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import msgspec
import trio
from attrs import define, field

from api.errors import Problem
from api.http.answer import JSON, Answer, prepare_head
from api.http.exchange import Exchange
from chassis.log import get_logger
from stack.shop.goods import CURRENCY, GOODS
from turnout_client import APIError, NotFoundError, TurnoutError
from turnout_client.models import PaymentIntent
from turnout_client.on_trio import TrioTurnout

ORDERS: Final = b"/orders"
BODY_BYTES_MAX: Final = 1_024
RETRY_AFTER_S: Final = 1
_OK: Final = prepare_head(200, JSON)
_NOT_FOUND: Final = Problem("not_found", "there is no such page in this shop")

log = get_logger(__name__)


class _Order(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    good: str


_decode = msgspec.json.Decoder(_Order).decode


@define
class Shop:
    """Answers the shop's requests.

    Args:
        pages: what stands at fixed addresses.
        turnout: the merchant's client.
        nursery: where requests to the API run.
        in_flight_max: of these at once.
    """

    pages: dict[bytes, Answer]
    turnout: TrioTurnout
    nursery: trio.Nursery
    in_flight_max: int
    _in_flight: int = field(default=0, init=False)

    def handle(self, exchange: Exchange) -> None:
        """Answer an exchange, or see to it that it will be answered."""
        request = exchange.request
        path = request.target.partition(b"?")[0]
        page = self.pages.get(path)
        if page is not None:
            if request.method in {b"GET", b"HEAD"}:
                exchange.answer(page)
            else:
                exchange.problem(Problem("method_not_allowed", allow="GET, HEAD"))
        elif path == ORDERS:
            self._open(exchange)
        elif path.startswith(ORDERS + b"/") and request.method == b"GET":
            number = path.removeprefix(ORDERS + b"/").decode("latin-1")
            self._start(exchange, partial(self._look, number))
        else:
            exchange.problem(_NOT_FOUND)

    def _open(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method != b"POST":
            exchange.problem(Problem("method_not_allowed", allow="POST"))
        # A form of another site cannot send this type without asking first, and nobody allows it.
        elif request.headers.get(b"content-type") != JSON.encode():
            exchange.problem(Problem("unsupported_media_type"))
        elif (good := _good_of(request.body)) is None:
            exchange.problem(Problem("invalid_value", "there is no such thing in this shop"))
        else:
            self._start(exchange, partial(self._create, good))

    def _start(self, exchange: Exchange, ask: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        if self._in_flight >= self.in_flight_max:
            exchange.problem(Problem("overloaded", retry_after_s=RETRY_AFTER_S))
            return
        self._in_flight += 1
        self.nursery.start_soon(self._answer, exchange, ask)

    async def _answer(
        self, exchange: Exchange, ask: Callable[[], Awaitable[dict[str, Any]]]
    ) -> None:
        try:
            exchange.answer(Answer(_OK, msgspec.json.encode(await ask())))
        except NotFoundError:
            exchange.problem(_NOT_FOUND)
        except TurnoutError as error:
            code = error.code if isinstance(error, APIError) else ""
            log.warning("the API did not do it", kind=type(error).__name__, code=code)
            exchange.problem(Problem("overloaded", "try again", retry_after_s=RETRY_AFTER_S))
        finally:
            self._in_flight -= 1

    async def _create(self, good: str) -> dict[str, Any]:
        wanted = GOODS[good]
        intent = await self.turnout.create_payment_intent(
            wanted.price_minor, CURRENCY, description=wanted.name, metadata={"good": good}
        )
        return _order(intent) | {"clientSecret": intent.client_secret, "name": wanted.name}

    async def _look(self, number: str) -> dict[str, Any]:
        return _order(await self.turnout.retrieve(number))


def _good_of(body: bytes) -> str | None:
    """The thing that is asked for; None where the body is no order of something we have."""
    if len(body) > BODY_BYTES_MAX:
        return None
    try:
        good = _decode(body).good
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return good if good in GOODS else None


def _order(intent: PaymentIntent) -> dict[str, Any]:
    """What the page may know of an order."""
    latest = intent.latest_transaction
    card = None if latest is None else latest.card
    return {
        "order": intent.id,
        "status": intent.status,
        "amountInCents": intent.amount_in_cents,
        "currency": intent.currency,
        "card": None if card is None else f"{card.brand} {card.last4}",
    }
