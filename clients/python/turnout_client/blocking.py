"""The client for ordinary, blocking programs, on the standard library's HTTP."""

from __future__ import annotations

import contextlib
import http.client
import os
import ssl
import time
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar, Unpack

from turnout_client.card import Card
from turnout_client.core import Core, IntentOptions, ListFilters, intent_id_of
from turnout_client.models import (
    Balance,
    PaymentIntent,
    PaymentIntentPage,
    TimelineEvent,
    Transaction,
)
from turnout_client.protocol import (
    ANSWER_BYTES_MAX,
    Address,
    Answer,
    Lost,
    Request,
    RetryPolicy,
    Sleep,
    Steps,
)
from turnout_client.webhook_calls import WebhookCalls
from turnout_client.webhook_core import WebhookCore

T = TypeVar("T")

TIMEOUT_S: Final = 30.0  # above every deadline of the server
DEFAULT_URL: Final = "http://127.0.0.1:8080"


class Turnout:
    """A merchant's connection to a Turnout server. May be shared by threads.

    Args:
        publishable_key: `pk_…`.
        secret_key: `sk_…`; never leaves this process.
        api_url: scheme, host and port of the server.
        policy: how often and how patiently requests are sent again.
        timeout_s: for each step of a request: connect, send, receive.
        tls: for `https`; the system's trust store unless given.

    Attributes:
        webhooks: the calls about events, endpoints and deliveries.
    """

    def __init__(
        self,
        publishable_key: str,
        secret_key: str,
        api_url: str = DEFAULT_URL,
        *,
        policy: RetryPolicy | None = None,
        timeout_s: float = TIMEOUT_S,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        address = Address.parse(api_url)
        self._core = Core(
            publishable_key=publishable_key,
            secret_key=secret_key,
            address=address,
            policy=policy or RetryPolicy(),
            now=lambda: datetime.now(UTC),
            monotonic_s=time.monotonic,
            random=os.urandom,
        )
        self._transport = BlockingTransport(address, timeout_s=timeout_s, tls=tls)
        self.webhooks = WebhookCalls(WebhookCore(self._core), self._take)

    def __repr__(self) -> str:
        """Never the secret key."""
        return f"Turnout({self._core.publishable_key!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections that wait for the next call."""
        self._transport.close()

    def create_payment_intent(
        self,
        amount_in_cents: int,
        currency: str,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[IntentOptions],
    ) -> PaymentIntent:
        """Create an intent to collect an amount, in the currency's minor unit.

        Raises:
            TurnoutError: refused, or no answer; see `turnout_client.errors`.
        """
        steps = self._core.create_payment_intent(
            amount_in_cents, currency, options, idempotency_key
        )
        return self._take(steps)

    def retrieve(self, intent: PaymentIntent | str) -> PaymentIntent:
        """Read an intent as it stands now; raises as `create_payment_intent`."""
        return self._take(self._core.retrieve(intent_id_of(intent)))

    def list_payment_intents(self, **filters: Unpack[ListFilters]) -> PaymentIntentPage:
        """Read one page of intents, newest first; raises as `create_payment_intent`."""
        return self._take(self._core.list_payment_intents(filters))

    def seal(self, intent: PaymentIntent | str, card: Card) -> str:
        """Seal a card for one charge of one intent; `charge` does so by itself.

        Raises:
            SealError: the card cannot be one.
            TurnoutError: the server's keys cannot be had.
        """
        return self._take(self._core.seal(intent_id_of(intent), card))

    def charge(
        self, intent: PaymentIntent | str, card: Card | str, *, idempotency_key: str | None = None
    ) -> Transaction:
        """Charge an intent with a card, or with what `seal` made of it.

        Returns:
            The transaction: `succeeded`, `failed` with a `decline_code`, or not final yet, and
            then `wait` tells how it ends.

        Raises:
            SealError: the card cannot be one.
            ConnectionLostError: what became of it is unknown; read the intent.
            TurnoutError: refused.
        """
        return self._take(self._core.charge(intent_id_of(intent), card, idempotency_key))

    def verify(
        self, intent: PaymentIntent | str, card: Card | str, *, idempotency_key: str | None = None
    ) -> Transaction:
        """Ask whether a card is good; no money moves, and the intent stays `created`.

        Returns and raises as `charge`; what is not final yet is asked for again under its key.
        """
        return self._take(self._core.verify(intent_id_of(intent), card, idempotency_key))

    def capture(
        self,
        intent: PaymentIntent | str,
        amount_in_cents: int | None = None,
        *,
        final: bool = True,
        idempotency_key: str | None = None,
    ) -> Transaction:
        """Collect what a charge of a `manual` intent has authorized, or a part of it.

        Args:
            intent: that is `authorized`.
            amount_in_cents: None = all that remains.
            final: release the rest of the authorization; False = more captures may follow.
            idempotency_key: the same for a repeat; made up unless given.

        Returns:
            The transaction; if it is not final yet, `wait` tells how it ends.

        Raises:
            ConnectionLostError: what became of it is unknown; repeat it with its key.
            TurnoutError: refused.
        """
        steps = self._core.capture(
            intent_id_of(intent), amount_in_cents, idempotency_key, final=final
        )
        return self._take(steps)

    def cancel(
        self, intent: PaymentIntent | str, *, idempotency_key: str | None = None
    ) -> Transaction:
        """Give up an authorization, or an intent not paid yet; returns and raises as `capture`."""
        return self._take(self._core.cancel(intent_id_of(intent), idempotency_key))

    def refund(
        self,
        intent: PaymentIntent | str,
        amount_in_cents: int | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Transaction:
        """Give back what was captured, all that remains of it unless an amount is given.

        Returns and raises as `capture`. The intent stays `succeeded`.
        """
        steps = self._core.refund(intent_id_of(intent), amount_in_cents, idempotency_key)
        return self._take(steps)

    def events(self, intent: PaymentIntent | str) -> tuple[TimelineEvent, ...]:
        """Read what happened to an intent, oldest first; raises as `create_payment_intent`."""
        return self._take(self._core.events(intent_id_of(intent)))

    def balance(self) -> tuple[Balance, ...]:
        """Read what stands on the merchant's accounts, per currency.

        A payment shows here a moment after its answer. Raises as `create_payment_intent`.
        """
        return self._take(self._core.balance())

    def wait(self, intent: PaymentIntent | str, *, timeout_s: float = 60.0) -> PaymentIntent:
        """Wait until an intent is succeeded, authorized, failed or canceled, and no refund runs.

        Raises:
            WaitTimeoutError: it is not after `timeout_s`; it may still.
            TurnoutError: as `create_payment_intent`.
        """
        return self._take(self._core.wait(intent_id_of(intent), timeout_s))

    def _take(self, steps: Steps[T]) -> T:
        """Take the steps of one call."""
        outcome: Answer | Lost | None = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            match step:
                case Request():
                    outcome = self._transport.send(step)
                case Sleep():
                    time.sleep(step.duration_s)
                    outcome = None


class BlockingTransport:
    """Sends requests; keeps connections open for the next one.

    When one breaks, those that wait are closed too: the server has most likely ended them as well,
    and the tries of a request are few.

    Args:
        address: of the server.
        timeout_s: for connect, send and receive each.
        tls: for `https`.
    """

    def __init__(self, address: Address, *, timeout_s: float, tls: ssl.SSLContext | None) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._tls = (tls or ssl.create_default_context()) if address.secure else None
        self._idle: list[http.client.HTTPConnection] = []  # append and pop are atomic

    def send(self, request: Request) -> Answer | Lost:
        """Send one request and read its answer; a fault of the connection is `Lost`."""
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            answer, reusable = _exchange(connection, request)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            self.close()
            return Lost(f"{type(error).__name__}: {error}")
        if reusable:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    def close(self) -> None:
        """Close what is open and not in use."""
        with contextlib.suppress(IndexError):  # another thread may have taken the last one
            while self._idle:
                self._idle.pop().close()

    def _connect(self) -> http.client.HTTPConnection:
        address = self._address
        if self._tls is None:
            return http.client.HTTPConnection(address.host, address.port, timeout=self._timeout_s)
        return http.client.HTTPSConnection(
            address.host, address.port, timeout=self._timeout_s, context=self._tls
        )


def _exchange(connection: http.client.HTTPConnection, request: Request) -> tuple[Answer, bool]:
    """One request and its answer; whether the connection may be used again."""
    connection.putrequest(request.method, request.target, skip_host=True, skip_accept_encoding=True)
    for name, value in request.headers:
        connection.putheader(name, value)
    connection.endheaders(request.body or None)
    response = connection.getresponse()
    promised = response.length
    body = response.read(ANSWER_BYTES_MAX + 1)
    if len(body) > ANSWER_BYTES_MAX:
        raise http.client.HTTPException(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    if promised is not None and len(body) < promised:
        raise http.client.IncompleteRead(b"", promised - len(body))
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(status=response.status, headers=headers, body=body), not response.will_close
