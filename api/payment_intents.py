"""What the routes of payment intents do. Only the switch changes an intent; the api creates it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import msgspec
from attrs import define

from api import client_secrets, views
from api.auth.verify import Merchant
from api.charging import Charging, refusal
from api.coalescing import Coalescer
from api.errors import FieldProblem, Problem, ProblemError
from api.gate import Call, IntentLookup, delivery
from api.http.answer import JSON, Answer, prepare_head
from api.idempotency import key_digest, request_hash
from api.json_body import read_object
from api.posting import posting_key
from api.query import ListQuery, parse_list_query, refuse_parameters
from api.requests import read_charge, read_create_intent
from api.resources import PaymentIntentList, Timeline
from chassis.mux import MuxError
from ledger.ids import IdError, UUID7Source, parse_id, public_id
from ledger.lifecycle import TRANSACTION_TERMINAL
from ledger.records import (
    CreationVerdict,
    IntentPage,
    IntentReplay,
    IntentRow,
    IntentToCreate,
    Lost,
    TimelineEvent,
)
from switch.wire import Charge, Done, SwitchReply

OK: Final = prepare_head(200, JSON)
CREATED: Final = prepare_head(201, JSON)
ACCEPTED: Final = prepare_head(202, JSON, ("Retry-After", "1"))
STORAGE_RETRY_AFTER_S: Final = 5  # somebody has to make room first
REPLAYED: Final = b"Idempotent-Replayed: true\r\n"
CARD_REFUSALS: Final = frozenset({"card_undecryptable", "card_key_expired"})

_encode = msgspec.json.Encoder().encode

Creations = Coalescer[IntentToCreate, CreationVerdict]
Lists = Coalescer[tuple[bytes, bool, ListQuery], IntentPage]
Timelines = Coalescer[tuple[bytes, bytes, bool], list[TimelineEvent] | None]


@define
class PaymentIntents:
    """The endpoints of payment intents.

    Args:
        intents: reads intents by merchant and id.
        creations: creates them.
        lists: reads pages of them.
        timelines: reads what happened to one.
        charging: the switch.
        ids: new intents' ids.
        now_us: microseconds since 1970.
        expiry_us: after which an intent that was not paid is canceled.
        storage_is_full: whether nothing new may be recorded.
    """

    intents: IntentLookup
    creations: Creations
    lists: Lists
    timelines: Timelines
    charging: Charging
    ids: UUID7Source
    now_us: Callable[[], int]
    expiry_us: int
    storage_is_full: bool = False

    def create_intent(self, call: Call) -> None:
        """`POST /payment-intents`."""
        refuse_parameters(call.query)
        if self.storage_is_full:
            raise ProblemError(Problem("insufficient_storage", retry_after_s=STORAGE_RETRY_AFTER_S))
        request, merchant = call.exchange.request, _merchant(call)
        key = posting_key(request)
        body = read_create_intent(read_object(request.body))
        intent_id = self.ids.next()
        public = public_id("pi", intent_id)
        client_secret = client_secrets.derive(merchant.secrets[0], intent_id, public)
        row = IntentToCreate(
            intent_id=intent_id,
            merchant_id=merchant.merchant_id,
            live=merchant.live,
            amount_minor=body.amount_in_cents,
            currency=body.currency,
            capture_method=body.capture_method,
            allow_partial=body.allow_partial_authorization,
            request_id=call.exchange.request_id,
            client_secret_hash=client_secrets.digest(client_secret),
            description=body.description or "",
            metadata=_encode(body.metadata) if body.metadata else b"",
            merchant_reference=body.merchant_reference or "",
            key_digest=key_digest(merchant.merchant_id, live=merchant.live, key=key),
            request_hash=request_hash(request),
            expires_at_us=self.now_us() + self.expiry_us,
        )
        go_on = partial(self._created, public, client_secret)
        self.creations.submit(row, delivery(call, go_on))

    def _created(
        self, public: str, client_secret: str | None, call: Call, verdict: CreationVerdict
    ) -> None:
        if isinstance(verdict, Lost):
            raise ProblemError(_lost(verdict))
        intent, replayed = verdict.intent, b""
        if isinstance(verdict, IntentReplay):
            replayed = REPLAYED
            public = public_id("pi", intent.intent_id)
            client_secret = client_secrets.recover(
                _merchant(call).secrets,
                intent.intent_id,
                public,
                intent.client_secret_hash,
            )
        extra = b"Location: /payment-intents/%b\r\n%b" % (public.encode(), replayed)
        body = _encode(views.payment_intent(intent, public, client_secret))
        call.exchange.answer(Answer(CREATED, body, extra))

    def get_intent(self, call: Call) -> None:
        """`GET /payment-intents/{id}`."""
        refuse_parameters(call.query)
        if call.intent is not None:
            body = _encode(views.reduced_payment_intent(call.intent, call.parameter))
            call.exchange.answer(Answer(OK, body))
            return
        question = (_merchant(call).merchant_id, _intent_id(call))
        self.intents.submit(question, delivery(call, self._read))

    def _read(self, call: Call, intent: IntentRow | None) -> None:
        if intent is None or intent.live is not _merchant(call).live:
            raise ProblemError(Problem("not_found"))
        call.exchange.answer(Answer(OK, _encode(views.payment_intent(intent, call.parameter))))

    def list_intents(self, call: Call) -> None:
        """`GET /payment-intents`."""
        merchant = _merchant(call)
        query = parse_list_query(call.query)
        question = (merchant.merchant_id, merchant.live, query)
        self.lists.submit(question, delivery(call, partial(self._listed, query)))

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
        merchant = _merchant(call)
        question = (merchant.merchant_id, _intent_id(call), merchant.live)
        self.timelines.submit(question, delivery(call, self._told))

    def _told(self, call: Call, events: list[TimelineEvent] | None) -> None:
        if events is None:
            raise ProblemError(Problem("not_found"))
        document = Timeline(data=[views.timeline_event(event) for event in events])
        call.exchange.answer(Answer(OK, _encode(document)))

    def create_transaction(self, call: Call) -> None:
        """`POST /payment-intents/{id}/transactions`."""
        refuse_parameters(call.query)
        request, merchant = call.exchange.request, _merchant(call)
        intent_id = _intent_id(call)
        key = posting_key(request)
        charge = Charge(
            intent_id=intent_id,
            merchant_id=merchant.merchant_id,
            publishable_key=merchant.publishable_key.decode("ascii"),
            live=merchant.live,
            ciphertext=read_charge(request.body),
            key_digest=key_digest(
                merchant.merchant_id,
                live=merchant.live,
                intent_id=b"" if call.intent is None else intent_id,
                key=key,
            ),
            request_hash=request_hash(request),
            request_id=call.exchange.request_id,
        )
        deliver = delivery(call, self._charged)
        self.charging.submit(charge, deliver)

    def _charged(self, call: Call, reply: SwitchReply | MuxError) -> None:
        if not isinstance(reply, Done):
            self._refuse_charge(call, refusal(reply))
            return
        state = reply.transaction
        extra = REPLAYED if reply.replayed else b""
        head = OK
        if state.status not in TRANSACTION_TERMINAL:
            head = ACCEPTED
            extra += b"Location: /payment-intents/%b\r\n" % call.parameter.encode("ascii")
        body = _encode(views.transaction(state, call.parameter))
        call.exchange.answer(Answer(head, body, extra))

    def _refuse_charge(self, call: Call, problem: Problem) -> None:
        """Answer why; where a card did not open, that there is no such intent comes first.

        Cards are opened before intents are read, so the switch cannot tell; only here, where a
        charge is refused anyway, is another query worth it.
        """
        if problem.code not in CARD_REFUSALS:
            raise ProblemError(problem)
        question = (_merchant(call).merchant_id, _intent_id(call))
        self.intents.submit(question, delivery(call, partial(self._refuse_card, problem)))

    def _refuse_card(self, problem: Problem, call: Call, intent: IntentRow | None) -> None:
        is_there = intent is not None and intent.live is _merchant(call).live
        call.exchange.problem(problem if is_there else Problem("not_found"))


def _merchant(call: Call) -> Merchant:
    assert call.merchant is not None  # the gate lets nobody else in
    return call.merchant


def _intent_id(call: Call) -> bytes:
    try:
        return parse_id("pi", call.parameter)
    except IdError:
        raise ProblemError(Problem("not_found")) from None


def _lost(verdict: Lost) -> Problem:
    if not verdict.holder:
        return Problem(verdict.code)
    holder = public_id("pi", verdict.holder)
    # The id alone stands in `errors`, for programs.
    fault = FieldProblem("/merchantReference", verdict.code, holder)
    return Problem(verdict.code, f"the reference belongs to {holder}", (fault,))
