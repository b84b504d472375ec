"""What is done with intents: charged, verified, captured, canceled, refunded.

The api hands each request to the switch, which alone changes an intent, and answers what became
of it: 200 where that is final, 202 where it is not yet.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Literal

import msgspec
from attrs import define
from msgspec import UNSET, UnsetType

from api import views
from api.charging import Charging, refusal
from api.errors import Problem, ProblemError
from api.gate import Call, delivery, intent_id_of, merchant_of
from api.http.answer import JSON, REPLAYED, Answer, prepare_head
from api.idempotency import key_digest, request_hash
from api.keys_elsewhere import KeysElsewhere
from api.limits.velocity import Velocity
from api.posting import posting_key
from api.query import refuse_parameters
from api.routing import Routing
from api.transaction_requests import (
    CancelIntent,
    CaptureIntent,
    CardBody,
    ChargeIntent,
    MoneyBody,
    RefundIntent,
    VerifyIntent,
    read_transaction,
)
from chassis.mux import MuxError
from ledger.lifecycle import TRANSACTION_TERMINAL
from ledger.records import IntentRow
from switch.wire import Charge, Done, Operate, SwitchReply, SwitchRequest

OK: Final = prepare_head(200, JSON)
ACCEPTED: Final = prepare_head(202, JSON, ("Retry-After", "1"))
# Found out about a card before the intent is looked at.
CARD_REFUSALS: Final = frozenset(
    {
        "card_declined_before",
        "card_key_expired",
        "card_refused",
        "card_undecryptable",
        "retry_limit_reached",
    }
)

_encode = msgspec.json.Encoder().encode


@define
class Transactions:
    """The endpoint of transactions.

    Args:
        routing: the shards, each with its switches.
        keys: finds keys that were used on another shard than an intent's.
        velocity: stops who tries cards from a browser.
    """

    routing: Routing
    keys: KeysElsewhere
    velocity: Velocity

    def create_transaction(self, call: Call) -> None:
        """`POST /payment-intents/{id}/transactions`."""
        refuse_parameters(call.query)
        request, merchant = call.exchange.request, merchant_of(call)
        intent_id = intent_id_of(call)
        charging = self.routing.home(intent_id).charging
        key = posting_key(request)
        body = read_transaction(request.body)
        by_browser = call.intent is not None
        if by_browser and type(body) is not ChargeIntent:
            raise ProblemError(Problem("scope_not_allowed", "a browser may charge, nothing else"))
        digest = key_digest(
            merchant.merchant_id,
            live=merchant.live,
            intent_id=intent_id if by_browser else b"",
            key=key,
        )
        deliver = delivery(call, self._done)
        if isinstance(body, CardBody):
            asked: SwitchRequest = _charge(call, intent_id, body, digest)
        else:
            asked = _operation(call, intent_id, body, digest)
        if by_browser:  # its keys are its intent's own
            self._charge_by_browser(call, charging, asked)
            return
        if self.keys.are_all_here:
            charging.submit(asked, deliver)
            return
        go_on = partial(_use_key, charging, asked, deliver)
        self.keys.find((merchant.merchant_id, digest), intent_id, delivery(call, go_on))

    def _charge_by_browser(self, call: Call, charging: Charging, asked: SwitchRequest) -> None:
        """Hand a charge over that counts against whoever tries cards."""
        velocity = self.velocity
        attempt = velocity.begin(call.exchange, asked.merchant_id, asked.intent_id)
        deliver = delivery(call, self._done)

        def count(reply: SwitchReply | MuxError) -> None:
            velocity.end(attempt, reply)
            deliver(reply)

        try:
            charging.submit(asked, count)
        except ProblemError:
            velocity.end(attempt, None)
            raise

    def _done(self, call: Call, reply: SwitchReply | MuxError) -> None:
        if not isinstance(reply, Done):
            self._refuse(call, refusal(reply))
            return
        state = reply.transaction
        extra = REPLAYED if reply.replayed else b""
        head = OK
        if state.status not in TRANSACTION_TERMINAL:
            head = ACCEPTED
            extra += b"Location: /payment-intents/%b\r\n" % call.parameter.encode("ascii")
        body = _encode(views.transaction(state, call.parameter))
        call.exchange.answer(Answer(head, body, extra))

    def _refuse(self, call: Call, problem: Problem) -> None:
        """Answer why; where a card was refused, that there is no such intent comes first.

        Cards are looked at before intents are read, so the switch cannot tell; only here, where a
        charge is refused anyway, is another query worth it.
        """
        if problem.code not in CARD_REFUSALS:
            raise ProblemError(problem)
        question = (merchant_of(call).merchant_id, intent_id_of(call))
        self.routing.read_intent(question, delivery(call, partial(self._refuse_card, problem)))

    def _refuse_card(self, problem: Problem, call: Call, intent: IntentRow | None) -> None:
        is_there = intent is not None and intent.live is merchant_of(call).live
        call.exchange.problem(problem if is_there else Problem("not_found"))


def _use_key(
    charging: Charging,
    asked: SwitchRequest,
    deliver: Callable[[SwitchReply | MuxError], None],
    _call: Call,
    used: bool,  # noqa: FBT001  as it is delivered
) -> None:
    """Hand a request over, unless its key was used on another shard, for something else then."""
    if used:
        raise ProblemError(Problem("idempotency_key_reused"))
    charging.submit(asked, deliver)


def _charge(call: Call, intent_id: bytes, body: CardBody, digest: bytes) -> Charge:
    """A charge or verification as the switch is asked for it."""
    merchant = merchant_of(call)
    return Charge(
        intent_id=intent_id,
        merchant_id=merchant.merchant_id,
        publishable_key=merchant.publishable_key.decode("ascii"),
        live=merchant.live,
        ciphertext=body.ciphertext,
        key_digest=digest,
        request_hash=request_hash(call.exchange.request),
        request_id=call.exchange.request_id,
        operation="verification" if type(body) is VerifyIntent else "charge",
    )


def _operation(call: Call, intent_id: bytes, body: MoneyBody, digest: bytes) -> Operate:
    """A capture, cancel or refund as the switch is asked for it."""
    merchant, request = merchant_of(call), call.exchange.request
    kind: Literal["capture", "cancel", "refund"]
    amount_minor: int | UnsetType = UNSET
    match body:
        case CaptureIntent():
            kind, amount_minor = "capture", body.amount_in_cents
        case RefundIntent():
            kind, amount_minor = "refund", body.amount_in_cents
        case CancelIntent():
            kind = "cancel"
    return Operate(
        intent_id=intent_id,
        merchant_id=merchant.merchant_id,
        live=merchant.live,
        type=kind,
        amount_minor=0 if amount_minor is UNSET else amount_minor,
        final_capture=isinstance(body, CaptureIntent) and body.final_capture,
        key_digest=digest,
        request_hash=request_hash(request),
        request_id=call.exchange.request_id,
    )
