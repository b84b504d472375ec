"""Every call of the client as a generator of steps; see `turnout_client.protocol`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, TypedDict
from urllib.parse import quote, urlencode

from turnout_client.card import Card
from turnout_client.errors import (
    APIError,
    ConnectionLostError,
    UnexpectedAnswerError,
    WaitTimeoutError,
)
from turnout_client.models import PaymentIntent, PaymentIntentPage, TimelineEvent, Transaction
from turnout_client.protocol import (
    Address,
    Answer,
    Lost,
    Request,
    RetryPolicy,
    Sleep,
    Steps,
    api_error,
    read_object,
)
from turnout_client.seal import seal_card
from turnout_client.sign import (
    NONCE_BYTES,
    canonical_string,
    nonce_of,
    signature,
    timestamp_of,
)

KEYS_CACHED_S: Final = 300.0  # as long as the server allows
IDEMPOTENCY_KEY_BYTES: Final = 16
WINDOW_S: Final = 300.0  # how far the server lets our clock be from its own
POLL_FIRST_S: Final = 0.1
POLL_MAX_S: Final = 2.0
_JSON: Final = "application/json"


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


@dataclass(kw_only=True)
class Core:
    """The client without I/O.

    Attributes:
        publishable_key: `pk_…`.
        secret_key: `sk_…`.
        address: of the server.
        policy: for retries.
        now: the wall clock, aware.
        monotonic_s: a clock that does not step.
        random: draws so many random bytes.
    """

    publishable_key: str
    secret_key: str = field(repr=False)
    address: Address
    policy: RetryPolicy
    now: Callable[[], datetime]
    monotonic_s: Callable[[], float]
    random: Callable[[int], bytes]
    _keys: Mapping[str, Any] = field(default_factory=dict, init=False, repr=False)
    _keys_until_s: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse keys in each other's place before they go anywhere."""
        if not self.publishable_key.startswith(("pk_test_", "pk_live_")):
            raise ValueError("publishable_key: must begin with pk_test_ or pk_live_")
        if not self.secret_key.startswith(("sk_test_", "sk_live_")):
            raise ValueError("secret_key: must begin with sk_test_ or sk_live_")
        if self.secret_key[3:7] != self.mode:
            raise ValueError("secret_key: is of another mode than publishable_key")

    @property
    def mode(self) -> str:
        """The mode of the keys: test or live."""
        return self.publishable_key[3:7]

    def create_payment_intent(
        self,
        amount_in_cents: int,
        currency: str,
        options: IntentOptions,
        idempotency_key: str | None,
    ) -> Steps[PaymentIntent]:
        """`POST /payment-intents`."""
        body = {"amountInCents": amount_in_cents, "currency": currency, **_camel_case(options)}
        key = self._idempotency_key(idempotency_key)
        answer = yield from self._exchange("POST", "/payment-intents", body, key)
        return PaymentIntent.from_json(read_object(answer))

    def retrieve(self, intent_id: str) -> Steps[PaymentIntent]:
        """`GET /payment-intents/{id}`."""
        answer = yield from self._exchange("GET", _intent_path(intent_id))
        return PaymentIntent.from_json(read_object(answer))

    def list_payment_intents(self, filters: ListFilters) -> Steps[PaymentIntentPage]:
        """`GET /payment-intents`."""
        given = {name: _query_text(value) for name, value in _camel_case(filters).items()}
        target = "/payment-intents" + (f"?{urlencode(given)}" if given else "")
        answer = yield from self._exchange("GET", target)
        return PaymentIntentPage.from_json(read_object(answer))

    def events(self, intent_id: str) -> Steps[tuple[TimelineEvent, ...]]:
        """`GET /payment-intents/{id}/events`."""
        answer = yield from self._exchange("GET", f"{_intent_path(intent_id)}/events")
        return TimelineEvent.list_from_json(read_object(answer))

    def seal(self, intent_id: str, card: Card) -> Steps[str]:
        """Fetch the server's keys, unless they are at hand, and seal a card."""
        if self.monotonic_s() >= self._keys_until_s:
            answer = yield from self._exchange("GET", "/keys", signed=False)
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
        """`POST /payment-intents/{id}/transactions`, with a card or an already sealed one.

        If the server's key has expired between sealing and opening, a card is sealed once more;
        the refusal has not consumed the idempotency key.
        """
        key = self._idempotency_key(idempotency_key)
        if isinstance(card, str):
            return (yield from self._charge(intent_id, card, key))
        try:
            return (
                yield from self._charge(intent_id, (yield from self.seal(intent_id, card)), key)
            )
        except APIError as error:
            if error.code != "card_key_expired":
                raise
        self._keys_until_s = 0.0
        return (yield from self._charge(intent_id, (yield from self.seal(intent_id, card)), key))

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

    def _charge(self, intent_id: str, ciphertext: str, idempotency_key: str) -> Steps[Transaction]:
        body = {"type": "charge", "card": {"ciphertext": ciphertext}}
        path = f"{_intent_path(intent_id)}/transactions"
        answer = yield from self._exchange("POST", path, body, idempotency_key)
        return Transaction.from_json(read_object(answer))

    def _exchange(
        self,
        method: str,
        target: str,
        members: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
        *,
        signed: bool = True,
    ) -> Steps[Answer]:
        """Send until there is an answer to act on; the body is the same each time.

        Raises:
            APIError: the answer is a refusal.
            ConnectionLostError: there was none.
        """
        body = b"" if members is None else json.dumps(members, ensure_ascii=False).encode()
        tries = 0
        while True:
            request = self._request(method, target, body, idempotency_key, signed=signed)
            answer = yield request
            if answer is None:
                raise AssertionError("a request was not sent")
            tries += 1
            jitter = int.from_bytes(self.random(4), "big") / 2**32
            outdated = not isinstance(answer, Lost) and self._is_outdated(answer)
            pause_s = self.policy.pause_s(tries, answer, jitter, outdated=outdated)
            if pause_s is None:
                break
            yield Sleep(pause_s)
        if isinstance(answer, Lost):
            raise ConnectionLostError(f"{answer.reason} (after {tries} tries)", idempotency_key)
        if answer.status >= 300:
            raise api_error(answer)
        return answer

    def _request(
        self, method: str, target: str, body: bytes, idempotency_key: str, *, signed: bool
    ) -> Request:
        """One try: new timestamp and nonce, everything else as before."""
        content_type = _JSON if body else ""
        optional = {
            "Content-Type": content_type,
            "Idempotency-Key": idempotency_key,
            "Content-Length": str(len(body)) if method == "POST" else "",
        }
        headers = {"Host": self.address.host_header, "Accept": f"{_JSON}, application/problem+json"}
        headers |= {name: value for name, value in optional.items() if value}
        if signed:
            timestamp, nonce = timestamp_of(self.now()), nonce_of(self.random(NONCE_BYTES))
            canonical = canonical_string(
                publishable_key=self.publishable_key,
                timestamp=timestamp,
                nonce=nonce,
                method=method,
                host=self.address.host_header,
                target=target,
                content_type=content_type,
                idempotency_key=idempotency_key,
                body=body,
            )
            headers |= {
                "Authorization": f"Bearer {self.publishable_key}",
                "X-Request-Timestamp": timestamp,
                "X-Request-Nonce": nonce,
                "X-Signature": signature(self.secret_key, canonical),
            }
        return Request(method=method, target=target, headers=tuple(headers.items()), body=body)

    def _is_outdated(self, answer: Answer) -> bool:
        """Whether a time stamp was refused although our clock is right.

        A server that has restarted refuses what was signed before, for it cannot know whether it
        has seen the nonce; signed again, the same request is good.
        """
        if answer.status != 401:
            return False
        try:
            problem = read_object(answer)
            server_time = datetime.fromisoformat(str(problem.get("serverTime")))
            distance_s = abs((server_time - self.now()).total_seconds())
        except (UnexpectedAnswerError, ValueError, TypeError):
            return False
        return problem.get("code") == "timestamp_outside_window" and distance_s < WINDOW_S

    def _idempotency_key(self, given: str | None) -> str:
        if given is None:
            return self.random(IDEMPOTENCY_KEY_BYTES).hex()
        if not (1 <= len(given) <= 255 and given.isascii() and given.isprintable()):
            raise ValueError("idempotency_key: must be 1 to 255 printable ASCII characters")
        return given


def intent_id_of(intent: PaymentIntent | str) -> str:
    """Calls take an intent or its id."""
    return intent if isinstance(intent, str) else intent.id


def _intent_path(intent_id: str) -> str:
    return f"/payment-intents/{quote(intent_id, safe='')}"


def _query_text(value: Any) -> str:
    if isinstance(value, datetime):
        return timestamp_of(value)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return str(value)


def _camel_case(options: Mapping[str, Any]) -> dict[str, Any]:
    """Members as they are called in JSON: created_after -> createdAfter."""
    members = {}
    for name, value in options.items():
        head, *rest = name.split("_")
        members[head + "".join(word.capitalize() for word in rest)] = value
    return members
