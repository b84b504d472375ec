"""The client for programs on Trio; needs the extra `turnout-client[trio]`."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Final, Self, TypeVar, Unpack

import trio

from turnout_client.blocking import DEFAULT_URL, TIMEOUT_S
from turnout_client.card import Card
from turnout_client.core import Core, IntentOptions, ListFilters, intent_id_of
from turnout_client.http1 import AnswerReader, HTTPError, encode_request
from turnout_client.models import (
    Balance,
    PaymentIntent,
    PaymentIntentPage,
    TimelineEvent,
    Transaction,
)
from turnout_client.protocol import Address, Answer, Lost, Request, RetryPolicy, Sleep, Steps
from turnout_client.webhook_calls_on_trio import TrioWebhookCalls
from turnout_client.webhook_core import WebhookCore

T = TypeVar("T")

CONNECTIONS_MAX: Final = 64
_RECEIVE_BYTES: Final = 65_536


def _machine_clock() -> datetime:
    return datetime.now(UTC)


class TrioTurnout:
    """A merchant's connection to a Turnout server. May be shared by tasks.

    Calls and errors are those of `turnout_client.Turnout`, and so are most arguments; `timeout_s`
    bounds each whole request. Canceling a call leaves unknown what became of it, as a lost
    connection does.

    Args:
        publishable_key: `pk_…`.
        secret_key: `sk_…`; never leaves this process.
        api_url: scheme, host and port of the server.
        policy: how often and how patiently requests are sent again.
        timeout_s: for each request, from connecting to the whole answer.
        tls: for `https`; the system's trust store unless given.
        connections_max: requests under way at once; more wait.
        now: the wall clock, for programs that keep one of their own.
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
        connections_max: int = CONNECTIONS_MAX,
        now: Callable[[], datetime] | None = None,
    ) -> None:
        address = Address.parse(api_url)
        self._core = Core(
            publishable_key=publishable_key,
            secret_key=secret_key,
            address=address,
            policy=policy or RetryPolicy(),
            now=now or _machine_clock,
            monotonic_s=trio.current_time,
            random=os.urandom,
        )
        self._transport = TrioTransport(
            address, timeout_s=timeout_s, tls=tls, connections_max=connections_max
        )
        self.webhooks = TrioWebhookCalls(WebhookCore(self._core), self._take)

    def __repr__(self) -> str:
        """Never the secret key."""
        return f"TrioTurnout({self._core.publishable_key!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections that wait for the next call."""
        await self._transport.aclose()

    async def create_payment_intent(
        self,
        amount_in_cents: int,
        currency: str,
        *,
        idempotency_key: str | None = None,
        **options: Unpack[IntentOptions],
    ) -> PaymentIntent:
        """As `Turnout.create_payment_intent`."""
        steps = self._core.create_payment_intent(
            amount_in_cents, currency, options, idempotency_key
        )
        return await self._take(steps)

    async def retrieve(self, intent: PaymentIntent | str) -> PaymentIntent:
        """As `Turnout.retrieve`."""
        return await self._take(self._core.retrieve(intent_id_of(intent)))

    async def list_payment_intents(self, **filters: Unpack[ListFilters]) -> PaymentIntentPage:
        """As `Turnout.list_payment_intents`."""
        return await self._take(self._core.list_payment_intents(filters))

    async def seal(self, intent: PaymentIntent | str, card: Card) -> str:
        """As `Turnout.seal`."""
        return await self._take(self._core.seal(intent_id_of(intent), card))

    async def charge(
        self, intent: PaymentIntent | str, card: Card | str, *, idempotency_key: str | None = None
    ) -> Transaction:
        """As `Turnout.charge`."""
        return await self._take(self._core.charge(intent_id_of(intent), card, idempotency_key))

    async def verify(
        self, intent: PaymentIntent | str, card: Card | str, *, idempotency_key: str | None = None
    ) -> Transaction:
        """As `Turnout.verify`."""
        return await self._take(self._core.verify(intent_id_of(intent), card, idempotency_key))

    async def capture(
        self,
        intent: PaymentIntent | str,
        amount_in_cents: int | None = None,
        *,
        final: bool = True,
        idempotency_key: str | None = None,
    ) -> Transaction:
        """As `Turnout.capture`."""
        steps = self._core.capture(
            intent_id_of(intent), amount_in_cents, idempotency_key, final=final
        )
        return await self._take(steps)

    async def cancel(
        self, intent: PaymentIntent | str, *, idempotency_key: str | None = None
    ) -> Transaction:
        """As `Turnout.cancel`."""
        return await self._take(self._core.cancel(intent_id_of(intent), idempotency_key))

    async def refund(
        self,
        intent: PaymentIntent | str,
        amount_in_cents: int | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> Transaction:
        """As `Turnout.refund`."""
        steps = self._core.refund(intent_id_of(intent), amount_in_cents, idempotency_key)
        return await self._take(steps)

    async def events(self, intent: PaymentIntent | str) -> tuple[TimelineEvent, ...]:
        """As `Turnout.events`."""
        return await self._take(self._core.events(intent_id_of(intent)))

    async def balance(self) -> tuple[Balance, ...]:
        """As `Turnout.balance`."""
        return await self._take(self._core.balance())

    async def wait(
        self,
        intent: PaymentIntent | str,
        *,
        timeout_s: float = 60.0,
    ) -> PaymentIntent:
        """As `Turnout.wait`."""
        return await self._take(self._core.wait(intent_id_of(intent), timeout_s))

    async def _take(self, steps: Steps[T]) -> T:
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
                    outcome = await self._transport.send(step)
                case Sleep():
                    await trio.sleep(step.duration_s)
                    outcome = None


class TrioTransport:
    """Sends requests; keeps connections open for the next one.

    When one breaks, those that wait are closed too: the server has most likely ended them as well,
    and the tries of a request are few.

    Args:
        address: of the server.
        timeout_s: for a whole request.
        tls: for `https`.
        connections_max: requests under way at once.
    """

    def __init__(
        self,
        address: Address,
        *,
        timeout_s: float,
        tls: ssl.SSLContext | None,
        connections_max: int,
    ) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._tls = (tls or ssl.create_default_context()) if address.secure else None
        self._limiter = trio.CapacityLimiter(connections_max)
        self._idle: list[trio.abc.Stream] = []

    async def send(self, request: Request) -> Answer | Lost:
        """Send one request and read its answer; a fault of the connection is `Lost`."""
        async with self._limiter:
            try:
                with trio.fail_after(self._timeout_s):
                    return await self._exchange(request)
            except trio.TooSlowError:
                await self.aclose()
                return Lost(f"no answer within {self._timeout_s:g} s")
            except (OSError, trio.BrokenResourceError, HTTPError) as error:
                await self.aclose()
                return Lost(f"{type(error).__name__}: {error.__cause__ or error}")

    async def aclose(self) -> None:
        """Close what is open and not in use."""
        while self._idle:
            await trio.aclose_forcefully(self._idle.pop())

    async def _exchange(self, request: Request) -> Answer:
        stream = self._idle.pop() if self._idle else await self._connect()
        reader = AnswerReader()
        try:
            await stream.send_all(encode_request(request))
            answer: Answer | None = None
            while answer is None:
                data = await stream.receive_some(_RECEIVE_BYTES)
                answer = reader.feed(bytes(data)) if data else reader.end()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        if reader.reusable:
            self._idle.append(stream)
        else:
            await trio.aclose_forcefully(stream)
        return answer

    async def _connect(self) -> trio.abc.Stream:
        address = self._address
        stream = await trio.open_tcp_stream(address.host, address.port)
        if self._tls is None:
            return stream
        return trio.SSLStream(
            stream, self._tls, server_hostname=address.host, https_compatible=True
        )
