"""What the routes of payment intents do. The api creates and reads them; it changes none."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from attrs import define

from api import client_secrets, views
from api.errors import FieldProblem, Problem, ProblemError
from api.gate import Call, delivery, intent_id_of, merchant_of
from api.http.answer import JSON, REPLAYED, Answer, prepare_head
from api.idempotency import key_digest, request_hash
from api.intent_list import ListQuery, parse_list_query
from api.json_body import read_object
from api.placing import Creating
from api.posting import posting_key
from api.query import refuse_parameters
from api.requests import CreateIntent, read_create_intent
from api.resources import PaymentIntentList, Timeline
from api.routing import Routing
from ledger.ids import UUID7Source, public_id
from ledger.records import (
    CreationVerdict,
    IntentPage,
    IntentReplay,
    IntentRow,
    IntentToCreate,
    Lost,
    Moved,
    TimelineEvent,
)

OK: Final = prepare_head(200, JSON)
CREATED: Final = prepare_head(201, JSON)

_encode = msgspec.json.Encoder().encode


@define
class PaymentIntents:
    """The endpoints of payment intents.

    Args:
        routing: the shards that intents are read from.
        creating: creates them, each on the shard of its merchant.
        now_us: microseconds since 1970.
        expiry_us: after which an intent that was not paid is canceled.
    """

    routing: Routing
    creating: Creating
    now_us: Callable[[], int]
    expiry_us: int

    def create_intent(self, call: Call) -> None:
        """`POST /payment-intents`."""
        refuse_parameters(call.query)
        key = posting_key(call.exchange.request)
        body = read_create_intent(read_object(call.exchange.request.body))
        new = _NewIntent(call, body, key, self.now_us() + self.expiry_us)
        deliver = delivery(call, partial(_created, new))
        self.creating.create(merchant_of(call).merchant_id, new.draw, deliver)

    def get_intent(self, call: Call) -> None:
        """`GET /payment-intents/{id}`."""
        refuse_parameters(call.query)
        if call.intent is not None:
            body = _encode(views.reduced_payment_intent(call.intent, call.parameter))
            call.exchange.answer(Answer(OK, body))
            return
        question = (merchant_of(call).merchant_id, intent_id_of(call))
        self.routing.read_intent(question, delivery(call, self._read))

    def _read(self, call: Call, intent: IntentRow | None) -> None:
        if intent is None or intent.live is not merchant_of(call).live:
            raise ProblemError(Problem("not_found"))
        call.exchange.answer(Answer(OK, _encode(views.payment_intent(intent, call.parameter))))

    def list_intents(self, call: Call) -> None:
        """`GET /payment-intents`."""
        merchant = merchant_of(call)
        query = parse_list_query(call.query)
        question = (merchant.merchant_id, merchant.live, query)
        self.routing.list_intents(question, delivery(call, partial(self._listed, query)))

    def _listed(self, query: ListQuery, call: Call, page: IntentPage) -> None:
        document = PaymentIntentList(
            data=[
                views.payment_intent(intent, public_id("pi", intent.intent_id))
                for intent in page.intents
                if query.covers(intent.created_at_us)
            ],
            next_cursor=None if page.after is None else public_id("pi", page.after),
        )
        call.exchange.answer(Answer(OK, _encode(document)))

    def read_timeline(self, call: Call) -> None:
        """`GET /payment-intents/{id}/events`."""
        refuse_parameters(call.query)
        merchant = merchant_of(call)
        question = (merchant.merchant_id, intent_id_of(call), merchant.live)
        self.routing.read_timeline(question, delivery(call, self._told))

    def _told(self, call: Call, events: list[TimelineEvent] | None) -> None:
        if events is None:
            raise ProblemError(Problem("not_found"))
        document = Timeline(data=[views.timeline_event(event) for event in events])
        call.exchange.answer(Answer(OK, _encode(document)))


class _NewIntent:
    """A request to create an intent: the row for whichever shard it goes to.

    Attributes:
        public: the id that was drawn last, as the merchant sees it.
        client_secret: of that id.
    """

    __slots__ = ("_body", "_call", "_expires_at_us", "_key", "client_secret", "public")

    def __init__(self, call: Call, body: CreateIntent, key: bytes, expires_at_us: int) -> None:
        self._call = call
        self._body = body
        self._key = key
        self._expires_at_us = expires_at_us
        self.public = ""
        self.client_secret = ""

    def draw(self, ids: UUID7Source, epoch: int) -> IntentToCreate:
        """The row with an id of this source, for a shard that owns the bucket in this epoch."""
        call, body = self._call, self._body
        request, merchant = call.exchange.request, merchant_of(call)
        intent_id = ids.next()
        self.public = public_id("pi", intent_id)
        self.client_secret = client_secrets.derive(merchant.secrets[0], intent_id, self.public)
        return IntentToCreate(
            intent_id=intent_id,
            merchant_id=merchant.merchant_id,
            live=merchant.live,
            amount_minor=body.amount_in_cents,
            currency=body.currency,
            capture_method=body.capture_method,
            allow_partial=body.allow_partial_authorization,
            request_id=call.exchange.request_id,
            client_secret_hash=client_secrets.digest(self.client_secret),
            description=body.description or "",
            metadata=_encode(body.metadata) if body.metadata else b"",
            merchant_reference=body.merchant_reference or "",
            key_digest=key_digest(merchant.merchant_id, live=merchant.live, key=self._key),
            request_hash=request_hash(request),
            expires_at_us=self._expires_at_us,
            epoch=epoch,
        )


def _created(new: _NewIntent, call: Call, verdict: CreationVerdict) -> None:
    if isinstance(verdict, Lost):
        raise ProblemError(_lost(verdict))
    assert not isinstance(verdict, Moved)  # `api.placing` goes after it
    intent, public, replayed = verdict.intent, new.public, b""
    client_secret: str | None = new.client_secret
    if isinstance(verdict, IntentReplay):
        replayed = REPLAYED
        public = public_id("pi", intent.intent_id)
        client_secret = client_secrets.recover(
            merchant_of(call).secrets,
            intent.intent_id,
            public,
            intent.client_secret_hash,
        )
    extra = b"Location: /payment-intents/%b\r\n%b" % (public.encode(), replayed)
    body = _encode(views.payment_intent(intent, public, client_secret))
    call.exchange.answer(Answer(CREATED, body, extra))


def _lost(verdict: Lost) -> Problem:
    if not verdict.holder:
        return Problem(verdict.code)
    holder = public_id("pi", verdict.holder)
    # The id alone stands in `errors`, for programs.
    fault = FieldProblem("/merchantReference", verdict.code, holder)
    return Problem(verdict.code, f"the reference belongs to {holder}", (fault,))
