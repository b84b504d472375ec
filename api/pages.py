"""What is open to everybody: keys, health, the OpenAPI document, pages for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from typing import Final

import msgspec
from attrs import define, field

from api import openapi
from api.capture_keys import CaptureKeyDirectory
from api.declines import DECLINES, DeclineDefinition
from api.errors import CATALOG, ErrorDefinition, Problem, ProblemError
from api.gate import Call, delivery
from api.html import page
from api.http.answer import JSON, Answer, Head, prepare_head
from api.query import refuse_parameters
from api.reference import reference_page
from api.resources import Health

_HTML: Final = "text/html; charset=utf-8"
_POLICY: Final = (
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    ),
    ("Referrer-Policy", "no-referrer"),
)
_PAGE: Final = prepare_head(200, _HTML, *_POLICY, cache="max-age=300")
_DOCUMENT: Final = prepare_head(200, JSON, cache="max-age=300")
_KEYS: Final = prepare_head(200, JSON, cache="public, max-age=300")
_HEALTHY: Final = prepare_head(200, JSON)
_UNREADY: Final = prepare_head(503, JSON, ("Retry-After", "1"))

_encode = msgspec.json.Encoder().encode


@define
class Pages:
    """The open endpoints.

    Args:
        capture_keys: the HSM's public keys.
        readiness: every check by name.
    """

    capture_keys: CaptureKeyDirectory
    readiness: Callable[[], Mapping[str, bool]]
    _openapi: bytes = field(factory=lambda: _encode(openapi.document()))
    _docs: bytes = field(factory=lambda: reference_page(openapi.document()).encode())

    def keys(self, call: Call) -> None:
        """`GET /keys`."""
        refuse_parameters(call.query)
        self.capture_keys.get(delivery(call, partial(_answer, _KEYS)))

    def openapi(self, call: Call) -> None:
        """`GET /openapi.json`."""
        _answer(_DOCUMENT, call, self._openapi)

    def docs(self, call: Call) -> None:
        """`GET /docs`."""
        _answer(_PAGE, call, self._docs)

    def error_docs(self, call: Call) -> None:
        """`GET /docs/errors/{code}`."""
        definition = CATALOG.get(call.parameter)
        if definition is None:
            raise ProblemError(Problem("not_found", "there is no such error code"))
        _answer(_PAGE, call, error_page(call.parameter, definition).encode())

    def decline_docs(self, call: Call) -> None:
        """`GET /docs/declines/{code}`."""
        definition = DECLINES.get(call.parameter)
        if definition is None:
            raise ProblemError(Problem("not_found", "there is no such decline code"))
        _answer(_PAGE, call, decline_page(call.parameter, definition).encode())

    def health(self, call: Call) -> None:
        """`GET /healthz`."""
        _answer(_HEALTHY, call, _encode(Health(status="ok", checks={})))

    def ready(self, call: Call) -> None:
        """`GET /readyz`."""
        checks = dict(self.readiness())
        healthy = all(checks.values())
        body = _encode(Health(status="ok" if healthy else "unavailable", checks=checks))
        _answer(_HEALTHY if healthy else _UNREADY, call, body)


def _answer(head: Head, call: Call, body: bytes) -> None:
    call.exchange.answer(Answer(head, body))


def error_page(code: str, definition: ErrorDefinition) -> str:
    """One error code, for people."""
    return page(
        definition.title,
        f"<p><code>{escape(code)}</code>, HTTP status {definition.status}</p>"
        f"<p>{escape(definition.meaning)}</p>"
        f"<h2>What to do</h2><p>{escape(definition.action)}</p>"
        '<p><a href="/docs">All routes and error codes</a></p>',
    )


def decline_page(code: str, definition: DeclineDefinition) -> str:
    """One decline code, for people."""
    return page(
        definition.meaning.removesuffix("."),
        f"<p>Decline code <code>{escape(code)}</code>, advice <code>{definition.advice}</code></p>"
        f"<h2>What to do</h2><p>{escape(definition.action)}</p>"
        '<p><a href="/docs#declines">All decline codes</a></p>',
    )
