"""What the routes of webhook endpoints do. Endpoints stand on shard 0.

A secret is 32 random bytes, drawn here, sealed by the HSM and shown once: by the answer that made
it, and by a repeat of that request under the same idempotency key as long as it is the endpoint's
secret.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec
from attrs import define
from msgspec import UNSET, UnsetType

from api.bodies import refusal
from api.errors import Problem, ProblemError
from api.gate import Call, delivery, merchant_of
from api.http.answer import JSON, REPLAYED, Answer, prepare_head
from api.idempotency import key_digest, request_hash
from api.json_body import convert, read_object
from api.key_service import KeyService
from api.posting import check_media_type, posting_key
from api.query import refuse_parameters
from api.views import instant
from api.webhook_resources import (
    API_VERSIONS,
    DESCRIPTION_CHARS_MAX,
    CreateWebhookEndpoint,
    DeletedWebhookEndpoint,
    RollWebhookSecret,
    UpdateWebhookEndpoint,
    WebhookEndpoint,
    WebhookEndpointList,
)
from api.webhooks.errands import Errand, Errands
from api.webhooks.queries import EndpointQuery, parse_endpoint_query
from api.webhooks.signing import SECRET_BYTES, secret_text
from api.webhooks.targets import TargetError, parse_target
from chassis.settings.webhooks import Webhooks
from ledger.ids import IdError, UUID7Source, parse_id, public_id
from ledger.statements import Runner
from ledger.webhooks import endpoints
from ledger.webhooks.endpoints import (
    CreatedBefore,
    EndpointChange,
    EndpointRow,
    NewEndpoint,
    secret_context,
)
from ledger.webhooks.kinds import EVENT_TYPES

OK: Final = prepare_head(200, JSON)
CREATED: Final = prepare_head(201, JSON)

_encode = msgspec.json.Encoder().encode


@define(kw_only=True)
class Endpoints:
    """The endpoints' routes.

    Args:
        errands: run their queries, on shard 0.
        keys: the HSM.
        limits: how many there may be, and what their URLs may be.
        live: the mode of this installation.
        ids: of endpoints.
    """

    errands: Errands
    keys: KeyService
    limits: Webhooks
    live: bool
    ids: UUID7Source

    # ---------------------------------------------------------------------------------- routes

    def create(self, call: Call) -> None:
        """`POST /webhook-endpoints`."""
        refuse_parameters(call.query)
        key = posting_key(call.exchange.request)
        body = convert(read_object(call.exchange.request.body), CreateWebhookEndpoint)
        self._check(body.url, body.event_types, body.description)
        if body.api_version not in API_VERSIONS:
            raise refusal("/apiVersion", "invalid_value", f"must be {' or '.join(API_VERSIONS)}")
        self._run(call, partial(self._create, call, body, key), _answer_created)

    def list(self, call: Call) -> None:
        """`GET /webhook-endpoints`."""
        query = parse_endpoint_query(call.query)
        self._run(call, partial(self._list, call, query), _answer_json)

    def get(self, call: Call) -> None:
        """`GET /webhook-endpoints/{id}`."""
        refuse_parameters(call.query)
        self._run(call, partial(self._get, call, endpoint_id_of(call)), _answer_json)

    def update(self, call: Call) -> None:
        """`PATCH /webhook-endpoints/{id}`."""
        refuse_parameters(call.query)
        check_media_type(call.exchange.request)
        body = convert(read_object(call.exchange.request.body), UpdateWebhookEndpoint)
        url = _given(body.url)
        types = _given(body.event_types)
        self._check(url, types or (), _given(body.description) or "")
        change = EndpointChange(url, _given(body.description), types, _given(body.enabled))
        self._run(call, partial(self._update, call, endpoint_id_of(call), change), _answer_json)

    def delete(self, call: Call) -> None:
        """`DELETE /webhook-endpoints/{id}`."""
        refuse_parameters(call.query)
        self._run(call, partial(self._delete, call, endpoint_id_of(call)), _answer_json)

    def roll_secret(self, call: Call) -> None:
        """`POST /webhook-endpoints/{id}/roll-secret`."""
        refuse_parameters(call.query)
        key = posting_key(call.exchange.request)
        body = convert(read_object(call.exchange.request.body), RollWebhookSecret)
        overlap_s, longest_s = self.limits.secret_overlap_s, int(self.limits.secret_overlap_s)
        if not isinstance(body.overlap_seconds, UnsetType):
            if not 0 <= body.overlap_seconds <= longest_s:
                rule = f"must be an integer from 0 to {longest_s}"
                raise refusal("/overlapSeconds", "invalid_value", rule)
            overlap_s = body.overlap_seconds
        self._run(
            call, partial(self._roll, call, endpoint_id_of(call), overlap_s, key), _answer_rolled
        )

    def _run(self, call: Call, errand: Errand, answer: Callable[[Call, Any], None]) -> None:
        self.errands.submit(errand, delivery(call, answer))

    def _check(self, url: str | None, types: Sequence[str], description: str) -> None:
        """Raises ProblemError for a URL that is not sent to, a type that there is not."""
        if url is not None:
            try:
                parse_target(
                    url,
                    ports=self.limits.ports,
                    allow_loopback=self.limits.allow_loopback and not self.live,
                )
            except TargetError as error:
                raise refusal("/url", "webhook_url_refused", str(error)) from None
        if not set(types) <= set(EVENT_TYPES) or len(set(types)) < len(types):
            rule = f"must be different ones of {', '.join(EVENT_TYPES)}"
            raise refusal("/eventTypes", "invalid_value", rule)
        if len(description) > DESCRIPTION_CHARS_MAX or "\x00" in description:
            rule = f"must be at most {DESCRIPTION_CHARS_MAX} characters"
            raise refusal("/description", "invalid_value", rule)

    # --------------------------------------------------------------------------------- errands

    async def _create(
        self, call: Call, body: CreateWebhookEndpoint, key: bytes, runner: Runner
    ) -> tuple[WebhookEndpoint, bool]:
        merchant = merchant_of(call)
        endpoint_id, secret = self.ids.next(), secrets.token_bytes(SECRET_BYTES)
        new = NewEndpoint(
            endpoint_id=endpoint_id,
            merchant_id=merchant.merchant_id,
            live=merchant.live,
            url=body.url,
            description=body.description,
            event_types=body.event_types,
            api_version=body.api_version,
            sealed_secret=await self.keys.seal(secret, secret_context(endpoint_id)),
            key_digest=key_digest(merchant.merchant_id, live=merchant.live, key=key),
            request_hash=request_hash(call.exchange.request),
        )
        found = await endpoints.create_endpoint(
            runner, new, endpoints_max=self.limits.endpoints_max
        )
        if isinstance(found, CreatedBefore):
            if found.request_hash != new.request_hash:
                raise ProblemError(Problem("idempotency_key_reused"))
            row = await self._find(call, found.endpoint_id, runner)
            return view(row, UNSET if found.rolled else await self._open(row)), True
        if not found:
            raise ProblemError(Problem("too_many_webhook_endpoints"))
        return view(await self._find(call, endpoint_id, runner), secret_text(secret)), False

    async def _list(self, call: Call, query: EndpointQuery, runner: Runner) -> WebhookEndpointList:
        merchant = merchant_of(call)
        rows = await endpoints.list_endpoints(
            runner,
            merchant.merchant_id,
            live=merchant.live,
            below=query.below,
            limit=query.limit + 1,
        )
        more = len(rows) > query.limit
        return WebhookEndpointList(
            data=[view(row) for row in rows[: query.limit]],
            next_cursor=public_id("we", rows[query.limit - 1].endpoint_id) if more else None,
        )

    async def _get(self, call: Call, endpoint_id: bytes, runner: Runner) -> WebhookEndpoint:
        return view(await self._find(call, endpoint_id, runner))

    async def _update(
        self, call: Call, endpoint_id: bytes, change: EndpointChange, runner: Runner
    ) -> WebhookEndpoint:
        merchant = merchant_of(call)
        await endpoints.update_endpoint(
            runner, merchant.merchant_id, endpoint_id, change, live=merchant.live
        )
        return view(await self._find(call, endpoint_id, runner))

    async def _delete(
        self, call: Call, endpoint_id: bytes, runner: Runner
    ) -> DeletedWebhookEndpoint:
        merchant = merchant_of(call)
        if not await endpoints.delete_endpoint(
            runner, merchant.merchant_id, endpoint_id, live=merchant.live
        ):
            raise ProblemError(Problem("not_found"))
        return DeletedWebhookEndpoint(id=public_id("we", endpoint_id), deleted=True)

    async def _roll(
        self, call: Call, endpoint_id: bytes, overlap_s: float, key: bytes, runner: Runner
    ) -> tuple[WebhookEndpoint, bool]:
        merchant = merchant_of(call)
        digest = key_digest(merchant.merchant_id, live=merchant.live, key=key)
        hashed = request_hash(call.exchange.request)
        secret = secrets.token_bytes(SECRET_BYTES)
        rolled = await endpoints.roll_secret(
            runner,
            merchant.merchant_id,
            endpoint_id,
            live=merchant.live,
            sealed_secret=await self.keys.seal(secret, secret_context(endpoint_id)),
            overlap_s=overlap_s,
            key_digest=digest,
            request_hash=hashed,
        )
        row = await self._find(call, endpoint_id, runner)
        if rolled:
            return view(row, secret_text(secret)), False
        if row.roll_hash != hashed:
            raise ProblemError(Problem("idempotency_key_reused"))
        return view(row, await self._open(row)), True

    async def _find(self, call: Call, endpoint_id: bytes, runner: Runner) -> EndpointRow:
        merchant = merchant_of(call)
        row = await endpoints.get_endpoint(
            runner, merchant.merchant_id, endpoint_id, live=merchant.live
        )
        if row is None:
            raise ProblemError(Problem("not_found"))
        return row

    async def _open(self, row: EndpointRow) -> str:
        """The secret, for the request that made it."""
        [secret] = await self.keys.open([row.sealed_secret], [secret_context(row.endpoint_id)])
        if not secret:
            raise ProblemError(Problem("internal_error"))
        return secret_text(secret)


def view(row: EndpointRow, secret: str | UnsetType = UNSET) -> WebhookEndpoint:
    """An endpoint as its merchant sees it."""
    until_us = row.previous_until_us
    return WebhookEndpoint(
        id=public_id("we", row.endpoint_id),
        url=row.url,
        description=row.description,
        event_types=[*row.event_types],
        api_version=row.api_version,
        status=row.status,
        disabled_reason=row.disabled_reason or None,
        secret=secret,
        previous_secret_until=None if until_us is None else instant(until_us),
        created_at=instant(row.created_at_us),
        updated_at=instant(row.updated_at_us),
    )


def endpoint_id_of(call: Call) -> bytes:
    """The endpoint that the path names; raises ProblemError where that is no id."""
    try:
        return parse_id("we", call.parameter)
    except IdError:
        raise ProblemError(Problem("not_found")) from None


def _given(value: Any) -> Any:
    return None if value is UNSET else value


def _answer_json(call: Call, document: Any) -> None:
    call.exchange.answer(Answer(OK, _encode(document)))


def _answer_created(call: Call, created: tuple[WebhookEndpoint, bool]) -> None:
    document, replayed = created
    extra = b"Location: /webhook-endpoints/%b\r\n" % document.id.encode()
    extra += REPLAYED if replayed else b""
    call.exchange.answer(Answer(CREATED, _encode(document), extra))


def _answer_rolled(call: Call, rolled: tuple[WebhookEndpoint, bool]) -> None:
    document, replayed = rolled
    call.exchange.answer(Answer(OK, _encode(document), REPLAYED if replayed else b""))
