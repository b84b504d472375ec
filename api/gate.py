"""The gate: every request is matched with a route, its sender authenticated, then handed on.

Order (security.md 4): HTTP limits have been kept by the parser; then the limit of the address, the
route, the form of the credential, the time window, the merchant, the signature, the nonce, the
limits of key and merchant; only then does anything read the body. A merchant that is not in memory
is looked up first, and the request goes on when it has been found.

In test mode a refusal says what is wrong, with the canonical string as the server saw it and its
time; in live mode every cause has the same answer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Final, TypeVar

from attrs import define, field
from msgspec import Struct

from api import client_secrets
from api.auth.credentials import (
    AuthenticationError,
    BrowserCredential,
    CredentialReader,
    SignedCredential,
)
from api.auth.verify import Merchant, Verifier, canonical_of
from api.errors import Problem, ProblemError
from api.http.exchange import Exchange
from api.limits.admission import NO_NONCE, Entrant
from api.limits.limiting import Limiting
from api.merchants import MerchantDirectory
from api.route import Access, Route
from api.routes import Router
from chassis.clock import now_s
from chassis.log import get_logger
from ledger.ids import IdError, parse_id
from ledger.records import IntentRow

Result = TypeVar("Result")

_OPEN: Final = Access.OPEN  # an enumeration looks its member up each time it is named

log = get_logger(__name__)


class Call(Struct, gc=False):
    """A request on its way through the gate.

    `gc=False`: it dies with its exchange, which the connection lets go of when it is written.
    """

    exchange: Exchange
    route: Route
    parameter: str  # of the path, or empty
    query: bytes
    credential: SignedCredential | BrowserCredential | None = None
    merchant: Merchant | None = None  # who sent it; stays None on open routes
    intent: IntentRow | None = None  # the one that a browser holds the secret of


Endpoint = Callable[[Call], None]
# Asks for an intent by merchant and id; the answer is delivered.
ReadIntent = Callable[[tuple[bytes, bytes], Callable[[IntentRow | Problem | None], None]], None]


@define
class Gate:
    """Handles exchanges: `handle` is the function that the HTTP server calls.

    Args:
        live: the mode of this installation; keys of the other mode are unknown.
        router: finds routes.
        endpoints: what each route does, by its name.
        verifier: checks signatures.
        merchants: finds merchants.
        limiting: uses up nonces, and says how often somebody may ask.
        read_intent: reads the intent that a browser holds the secret of.
    """

    live: bool
    router: Router
    endpoints: Mapping[str, Endpoint]
    verifier: Verifier
    merchants: MerchantDirectory
    limiting: Limiting
    read_intent: ReadIntent
    _reader: CredentialReader = field(factory=CredentialReader)

    def handle(self, exchange: Exchange) -> None:
        """Answer an exchange, or see to it that it will be answered."""
        request = exchange.request
        path, _, query = request.target.partition(b"?")
        try:
            self.limiting.limiter.admit_address(exchange)
            route, parameter = self.router.match(request.method, path)
            exchange.route = route.name
            call = Call(exchange, route, parameter, query)
            if route.access is _OPEN:
                self.endpoints[call.route.name](call)
            else:
                self._find_merchant(call)
        except ProblemError as error:
            exchange.problem(error.problem)

    def _find_merchant(self, call: Call) -> None:
        try:
            credential = call.credential = self._reader.read(call.exchange.request)
            if isinstance(credential, SignedCredential):
                self.verifier.check_time(credential, now_s())
        except AuthenticationError as error:
            self._refuse(call, error)
            return
        now = call.exchange.arrived_at
        entry = self.merchants.recall(credential.publishable_key, now)
        if entry is not None:
            self._authenticate(call, entry.merchant)
            return
        self.merchants.find(
            credential.publishable_key,
            now,
            delivery(call, self._authenticate),
        )

    def _authenticate(self, call: Call, merchant: Merchant | None) -> None:
        credential = call.credential
        assert credential is not None
        if credential.live is not self.live:
            merchant = None
        try:
            if isinstance(credential, BrowserCredential):
                self._authenticate_browser(call, credential, merchant)
                return
            self.verifier.verify(credential, merchant, call.exchange.request)
        except AuthenticationError as error:
            self._refuse(call, error)
        else:
            assert merchant is not None  # verify refuses what it cannot compare
            self._admit(call, merchant, credential.nonce, credential.timestamp_s)

    def _admit(self, call: Call, merchant: Merchant, nonce: bytes, timestamp_s: int) -> None:
        """Use up the nonce and ask the limits; then the request has come through."""
        call.merchant = merchant
        exchange = call.exchange
        entrant = Entrant(
            merchant.publishable_key,
            merchant.merchant_id,
            exchange.request.method,
            exchange.arrived_at,
            nonce,
            timestamp_s,
        )
        self.limiting.admission.admit(entrant, delivery(call, self._admitted))

    def _admitted(self, call: Call, refusal: AuthenticationError | None) -> None:
        if refusal is None:
            self.endpoints[call.route.name](call)
        else:
            self._refuse(call, refusal)

    def _authenticate_browser(
        self, call: Call, credential: BrowserCredential, merchant: Merchant | None
    ) -> None:
        if merchant is None:
            raise AuthenticationError("unknown_key", "no merchant has this key")
        if call.route.access is not Access.BROWSER or call.parameter != credential.intent:
            raise ProblemError(Problem("scope_not_allowed"))
        try:
            intent_id = parse_id("pi", credential.intent)
        except IdError:
            raise _wrong_secret() from None
        go_on = partial(self._check_client_secret, credential, merchant)
        self.read_intent((merchant.merchant_id, intent_id), delivery(call, go_on))

    def _check_client_secret(
        self,
        credential: BrowserCredential,
        merchant: Merchant,
        call: Call,
        intent: IntentRow | None,
    ) -> None:
        if (
            intent is None
            or intent.live is not merchant.live
            or intent.status == "canceled"
            or not client_secrets.matches(credential.client_secret, intent.client_secret_hash)
        ):
            self._refuse(call, _wrong_secret())
            return
        call.intent = intent
        self._admit(call, merchant, NO_NONCE, 0)

    def _refuse(self, call: Call, error: AuthenticationError) -> None:
        """Answer 401: why in test mode, nothing more than that in live mode."""
        self.limiting.refusals.count(error.code)
        if self.live:
            call.exchange.problem(Problem("authentication_failed"))
            return
        canonical = b""
        if isinstance(call.credential, SignedCredential):
            canonical = canonical_of(call.credential, call.exchange.request)
        call.exchange.problem(
            Problem(
                error.code,
                error.detail,
                canonical_string=canonical.decode("latin-1"),
                server_time=datetime.fromtimestamp(now_s(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            )
        )


def merchant_of(call: Call) -> Merchant:
    """Who sent a request that is past the gate, on a route that is not open to everybody."""
    assert call.merchant is not None
    return call.merchant


def intent_id_of(call: Call) -> bytes:
    """The intent that the path names, 16 bytes; raises ProblemError where that is no id."""
    try:
        return parse_id("pi", call.parameter)
    except IdError:
        raise ProblemError(Problem("not_found")) from None


def delivery(
    call: Call, go_on: Callable[[Call, Result], None]
) -> Callable[[Result | Problem], None]:
    """A function for whoever finds a result out: it goes on with it, and never raises."""
    return partial(_deliver, call, go_on)


def _deliver(call: Call, go_on: Callable[[Call, Result], None], result: Result | Problem) -> None:
    try:
        if type(result) is Problem:
            call.exchange.problem(result)
        else:
            go_on(call, result)
    except ProblemError as error:
        call.exchange.problem(error.problem)
    except Exception:
        log.exception("a request failed", request_id=call.exchange.request_id.hex())
        call.exchange.problem(Problem("internal_error"))


def _wrong_secret() -> AuthenticationError:
    return AuthenticationError(
        "client_secret_invalid", "X-Client-Secret does not open this intent for this key"
    )
