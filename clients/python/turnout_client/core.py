"""Every call of the client as a generator of steps; see `turnout_client.protocol`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypedDict
from urllib.parse import quote, urlencode

from turnout_client.card import Card
from turnout_client.errors import APIError, WaitTimeoutError
from turnout_client.exchange import Exchanger
from turnout_client.models import (
    Balance,
    PaymentIntent,
    PaymentIntentPage,
    TimelineEvent,
    Transaction,
)
from turnout_client.protocol import Sleep, Steps, read_object
from turnout_client.seal import seal_card
from turnout_client.sign import timestamp_of

KEYS_CACHED_S: Final = 300.0  # as long as the server allows
POLL_FIRST_S: Final = 0.1
POLL_MAX_S: Final = 2.0


class IntentOptions(TypedDict, total=False):
    """What an intent may have besides amount and currency."""

    description: str
    capture_method: Literal["automatic", "manual"]
    allow_partial_authorization: bool
    merchant_reference: str  # one non-canceled intent per reference
    metadata: Mapping[str, str]


class ListFilters(TypedDict, total=False):
    """Which intents to list."""

    limit: int  # 1 to 100
    after: str  # `next_cursor` of the page before
    status: str | Sequence[str]
    created_after: datetime
    created_before: datetime
    amount_in_cents: int
    amount_min: int
    amount_max: int
    merchant_reference: str
    metadata: Mapping[str, str]  # each of these pairs


@dataclass(kw_only=True)
class Core(Exchanger):
    """The client without I/O."""

    _keys: Mapping[str, Any] = field(default_factory=dict, init=False, repr=False)
    _keys_until_s: float = field(default=0.0, init=False, repr=False)

    def create_payment_intent(
        self,
        amount_in_cents: int,
        currency: str,
        options: IntentOptions,
        idempotency_key: str | None,
    ) -> Steps[PaymentIntent]:
        """`POST /payment-intents`."""
        body = {"amountInCents": amount_in_cents, "currency": currency, **camel_case(options)}
        key = self.key_for(idempotency_key)
        answer = yield from self.exchange("POST", "/payment-intents", body, key)
        return PaymentIntent.from_json(read_object(answer))

    def retrieve(self, intent_id: str) -> Steps[PaymentIntent]:
        """`GET /payment-intents/{id}`."""
        answer = yield from self.exchange("GET", _intent_path(intent_id))
        return PaymentIntent.from_json(read_object(answer))

    def list_payment_intents(self, filters: ListFilters) -> Steps[PaymentIntentPage]:
        """`GET /payment-intents`."""
        answer = yield from self.exchange("GET", with_query("/payment-intents", filters))
        return PaymentIntentPage.from_json(read_object(answer))

    def events(self, intent_id: str) -> Steps[tuple[TimelineEvent, ...]]:
        """`GET /payment-intents/{id}/events`."""
        answer = yield from self.exchange("GET", f"{_intent_path(intent_id)}/events")
        return TimelineEvent.list_from_json(read_object(answer))

    def balance(self) -> Steps[tuple[Balance, ...]]:
        """`GET /balance`."""
        answer = yield from self.exchange("GET", "/balance")
        return Balance.list_from_json(read_object(answer))

    def seal(self, intent_id: str, card: Card) -> Steps[str]:
        """Fetch the server's keys, unless they are at hand, and seal a card."""
        if self.monotonic_s() >= self._keys_until_s:
            answer = yield from self.exchange("GET", "/keys", signed=False)
            self._keys = read_object(answer)
            self._keys_until_s = self.monotonic_s() + KEYS_CACHED_S
        return seal_card(
            keys=self._keys,
            mode=self.mode,
            publishable_key=self.publishable_key,
            intent_id=intent_id,
            number=card.number,
            exp_month=card.exp_month,
            exp_year=card.exp_year,
            cvc=card.cvc,
            name=card.name,
        )

    def charge(
        self, intent_id: str, card: Card | str, idempotency_key: str | None
    ) -> Steps[Transaction]:
        """`{"type":"charge"}` with a card or an already sealed one."""
        return self._transact_with_card("charge", intent_id, card, idempotency_key)

    def verify(
        self, intent_id: str, card: Card | str, idempotency_key: str | None
    ) -> Steps[Transaction]:
        """`{"type":"verify"}` with a card or an already sealed one."""
        return self._transact_with_card("verify", intent_id, card, idempotency_key)

    def capture(
        self,
        intent_id: str,
        amount_in_cents: int | None,
        idempotency_key: str | None,
        *,
        final: bool,
    ) -> Steps[Transaction]:
        """`{"type":"capture"}`; no amount is all that remains."""
        body = {"type": "capture", "finalCapture": final} | _amount(amount_in_cents)
        return self._transact(intent_id, body, self.key_for(idempotency_key))

    def cancel(self, intent_id: str, idempotency_key: str | None) -> Steps[Transaction]:
        """`{"type":"cancel"}`."""
        return self._transact(intent_id, {"type": "cancel"}, self.key_for(idempotency_key))

    def refund(
        self, intent_id: str, amount_in_cents: int | None, idempotency_key: str | None
    ) -> Steps[Transaction]:
        """`{"type":"refund"}`; no amount is all that remains."""
        body = {"type": "refund"} | _amount(amount_in_cents)
        return self._transact(intent_id, body, self.key_for(idempotency_key))

    def wait(self, intent_id: str, timeout_s: float) -> Steps[PaymentIntent]:
        """Read an intent again and again until it is final.

        Raises:
            WaitTimeoutError: it is not, after `timeout_s`.
        """
        deadline_s = self.monotonic_s() + timeout_s
        pause_s = POLL_FIRST_S
        while True:
            intent = yield from self.retrieve(intent_id)
            if intent.is_final:
                return intent
            left_s = deadline_s - self.monotonic_s()
            if left_s <= 0:
                raise WaitTimeoutError(intent.id, intent.status)
            yield Sleep(min(pause_s, left_s))
            pause_s = min(pause_s * 1.5, POLL_MAX_S)

    def _transact_with_card(
        self, kind: str, intent_id: str, card: Card | str, idempotency_key: str | None
    ) -> Steps[Transaction]:
        """Send a card.

        If the server's key has expired between sealing and opening, a card is sealed once more;
        the refusal has not consumed the idempotency key.
        """
        key = self.key_for(idempotency_key)
        sealed = card if isinstance(card, str) else (yield from self.seal(intent_id, card))
        body = {"type": kind, "card": {"ciphertext": sealed}}
        try:
            return (yield from self._transact(intent_id, body, key))
        except APIError as error:
            if isinstance(card, str) or error.code != "card_key_expired":
                raise
        self._keys_until_s = 0.0
        body = {"type": kind, "card": {"ciphertext": (yield from self.seal(intent_id, card))}}
        return (yield from self._transact(intent_id, body, key))

    def _transact(
        self, intent_id: str, body: Mapping[str, Any], idempotency_key: str
    ) -> Steps[Transaction]:
        """`POST /payment-intents/{id}/transactions`."""
        path = f"{_intent_path(intent_id)}/transactions"
        answer = yield from self.exchange("POST", path, body, idempotency_key)
        return Transaction.from_json(read_object(answer))


def intent_id_of(intent: PaymentIntent | str) -> str:
    """Calls take an intent or its id."""
    return intent if isinstance(intent, str) else intent.id


def _intent_path(intent_id: str) -> str:
    return f"/payment-intents/{quote(intent_id, safe='')}"


def _amount(amount_in_cents: int | None) -> dict[str, Any]:
    return {} if amount_in_cents is None else {"amountInCents": amount_in_cents}


def with_query(path: str, filters: Mapping[str, Any]) -> str:
    """A path with filters as its query, or without any."""
    given: dict[str, str] = {}
    for name, value in camel_case(filters).items():
        if isinstance(value, Mapping):
            given |= {f"{name}[{key}]": _query_text(text) for key, text in value.items()}
        else:
            given[name] = _query_text(value)
    return path + (f"?{urlencode(given, quote_via=quote)}" if given else "")


def _query_text(value: Any) -> str:
    if isinstance(value, datetime):
        return timestamp_of(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)


def camel_case(options: Mapping[str, Any]) -> dict[str, Any]:
    """Members as they are called in JSON: created_after -> createdAfter."""
    members = {}
    for name, value in options.items():
        head, *rest = name.split("_")
        members[head + "".join(word.capitalize() for word in rest)] = value
    return members
