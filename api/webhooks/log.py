"""What the routes of events and deliveries do: each stands on the shard of its payment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from attrs import define
from msgspec import Struct

from api.errors import Problem, ProblemError
from api.gate import Call, delivery, merchant_of
from api.http.answer import JSON, REPLAYED, Answer, prepare_head
from api.idempotency import key_digest
from api.json_body import convert, read_object
from api.posting import posting_key
from api.query import refuse_parameters
from api.routing import Routing
from api.shard import Shard
from api.views import instant
from api.webhook_resources import (
    ReplayWebhookDelivery,
    WebhookDelivery,
    WebhookDeliveryList,
    WebhookTry,
)
from api.webhooks.errands import Errand, Errands
from api.webhooks.queries import EventQuery, event_cursor, parse_delivery_query, parse_event_query
from ledger.ids import IdError, parse_id, public_id, shard_of
from ledger.statements import Runner
from ledger.webhooks.deliveries import (
    DeliveryFilter,
    DeliveryRow,
    TryRow,
    get_delivery,
    list_deliveries,
    read_tries,
    replay,
)
from ledger.webhooks.events import EventRow, list_events

OK: Final = prepare_head(200, JSON)
DeliveryWithTries = tuple[DeliveryRow, Sequence[TryRow]]

_encode = msgspec.json.Encoder().encode


class RawEventList(Struct, rename="camel"):
    """A page of events whose bodies are as they were sent."""

    data: list[msgspec.Raw]
    next_cursor: str | None


@define
class WebhookLog:
    """The routes.

    Args:
        routing: asks every shard that a merchant may have anything on.
        errands: run their queries, by shard.
    """

    routing: Routing
    errands: Sequence[Errands]

    # ---------------------------------------------------------------------------------- events

    def list_events(self, call: Call) -> None:
        """`GET /events`."""
        query = parse_event_query(call.query)
        merchant = merchant_of(call)

        errand = partial(
            list_events,
            merchant_id=merchant.merchant_id,
            live=merchant.live,
            before=query.before,
            types=query.types,
            limit=query.limit + 1,
        )
        self._ask_all(call, errand, partial(_merge_events, query), _answer_events)

    # ------------------------------------------------------------------------------ deliveries

    def list_deliveries(self, call: Call) -> None:
        """`GET /webhook-deliveries`."""
        wanted = parse_delivery_query(call.query)
        merchant = merchant_of(call)
        more = msgspec.structs.replace(wanted, limit=wanted.limit + 1)

        errand = partial(
            _read_page, merchant_id=merchant.merchant_id, wanted=more, live=merchant.live
        )
        self._ask_all(call, errand, partial(_merge_deliveries, wanted), _answer_deliveries)

    def get_delivery(self, call: Call) -> None:
        """`GET /webhook-deliveries/{id}`."""
        refuse_parameters(call.query)
        id_ = _delivery_id_of(call)
        errand = partial(self._get, call, id_)
        self._home(id_).submit(errand, delivery(call, _answer_delivery))

    def replay(self, call: Call) -> None:
        """`POST /webhook-deliveries/{id}/replay`."""
        refuse_parameters(call.query)
        key = posting_key(call.exchange.request)
        convert(read_object(call.exchange.request.body), ReplayWebhookDelivery)
        id_ = _delivery_id_of(call)
        errand = partial(self._replay, call, id_, key)
        self._home(id_).submit(errand, delivery(call, _answer_replayed))

    def _home(self, delivery_id: bytes) -> Errands:
        number = shard_of(delivery_id) if len(self.errands) > 1 else 0
        if number >= len(self.errands):
            raise ProblemError(Problem("not_found"))
        return self.errands[number]

    async def _get(self, call: Call, id_: bytes, runner: Runner) -> DeliveryWithTries:
        merchant = merchant_of(call)
        row = await get_delivery(runner, merchant.merchant_id, id_, live=merchant.live)
        if row is None:
            raise ProblemError(Problem("not_found"))
        return row, (await read_tries(runner, [id_]))[id_]

    async def _replay(
        self, call: Call, id_: bytes, key: bytes, runner: Runner
    ) -> tuple[DeliveryWithTries, bool]:
        merchant = merchant_of(call)
        digest = key_digest(merchant.merchant_id, live=merchant.live, key=key)
        begun = await replay(runner, merchant.merchant_id, id_, live=merchant.live, key=digest)
        return await self._get(call, id_, runner), not begun

    def _ask_all(
        self,
        call: Call,
        errand: Errand,
        merge: Callable[[Sequence[Any]], Any],
        answer: Callable[[Call, Any], None],
    ) -> None:
        """Run an errand on every shard, and answer with what their answers make together."""
        if len(self.errands) == 1:
            self.errands[0].submit(errand, delivery(call, partial(_merge_one, merge, answer)))
            return
        merchant_id = merchant_of(call).merchant_id
        deliver = delivery(call, answer)
        self.routing.ask_all(merchant_id, self._errands_of, errand, merge, deliver)

    def _errands_of(self, shard: Shard) -> Errands:
        return self.errands[shard.number]


def _merge_one(
    merge: Callable[[Sequence[Any]], Any],
    answer: Callable[[Call, Any], None],
    call: Call,
    page: Any,
) -> None:
    answer(call, merge([page]))


async def _read_page(
    runner: Runner, merchant_id: bytes, wanted: DeliveryFilter, *, live: bool
) -> list[DeliveryWithTries]:
    rows = await list_deliveries(runner, merchant_id, wanted, live=live)
    tries = await read_tries(runner, [row.delivery_id for row in rows])
    return [(row, tries[row.delivery_id]) for row in rows]


def _merge_events(query: EventQuery, pages: Sequence[Sequence[EventRow]]) -> RawEventList:
    rows = sorted(
        (row for page in pages for row in page),
        key=lambda row: (row.occurred_at_us, row.event_id),
        reverse=True,
    )
    cursor = None
    if len(rows) > query.limit:
        last = rows[query.limit - 1]
        cursor = event_cursor(last.occurred_at_us, last.event_id)
    return RawEventList([msgspec.Raw(row.body) for row in rows[: query.limit]], cursor)


def _merge_deliveries(
    wanted: DeliveryFilter, pages: Sequence[Sequence[DeliveryWithTries]]
) -> WebhookDeliveryList:
    found = sorted(
        (one for page in pages for one in page), key=lambda one: one[0].delivery_id, reverse=True
    )
    cursor = None
    if len(found) > wanted.limit:
        cursor = public_id("whd", found[wanted.limit - 1][0].delivery_id)
    shown = [delivery_view(row, tries) for row, tries in found[: wanted.limit]]
    return WebhookDeliveryList(data=shown, next_cursor=cursor)


def delivery_view(row: DeliveryRow, tries: Sequence[TryRow]) -> WebhookDelivery:
    """A delivery as its merchant sees it."""
    return WebhookDelivery(
        id=public_id("whd", row.delivery_id),
        endpoint=public_id("we", row.endpoint_id),
        event=public_id("evt", row.event_id),
        event_type=row.event_type,
        status=row.status,
        try_count=row.tries,
        next_try_at=None if row.due_at_us is None else instant(row.due_at_us),
        created_at=instant(row.created_at_us),
        tries=[
            WebhookTry(
                number=one.number,
                started_at=instant(one.started_at_us),
                duration_ms=one.duration_ms,
                status_code=one.status_code,
                reason=one.reason or None,
            )
            for one in tries
        ],
    )


def _delivery_id_of(call: Call) -> bytes:
    try:
        return parse_id("whd", call.parameter)
    except IdError:
        raise ProblemError(Problem("not_found")) from None


def _answer_events(call: Call, document: RawEventList) -> None:
    call.exchange.answer(Answer(OK, _encode(document)))


def _answer_deliveries(call: Call, document: WebhookDeliveryList) -> None:
    call.exchange.answer(Answer(OK, _encode(document)))


def _answer_delivery(call: Call, found: DeliveryWithTries) -> None:
    call.exchange.answer(Answer(OK, _encode(delivery_view(*found))))


def _answer_replayed(call: Call, replayed: tuple[DeliveryWithTries, bool]) -> None:
    found, before = replayed
    body = _encode(delivery_view(*found))
    call.exchange.answer(Answer(OK, body, REPLAYED if before else b""))
