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
from api.errors import CATALOG, ErrorDefinition, Problem, ProblemError
from api.gate import Call, delivery
from api.http.answer import JSON, Answer, Head, prepare_head
from api.query import refuse_parameters
from api.resources import Health
from api.routes import ROUTES, Route

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
    _docs: bytes = field(factory=lambda: docs_page().encode())

    def keys(self, call: Call) -> None:
        """`GET /keys`."""
        refuse_parameters(call.query)
        go_on = partial(_answer, call, _KEYS)
        self.capture_keys.get(delivery(call.exchange, go_on))

    def openapi(self, call: Call) -> None:
        """`GET /openapi.json`."""
        _answer(call, _DOCUMENT, self._openapi)

    def docs(self, call: Call) -> None:
        """`GET /docs`."""
        _answer(call, _PAGE, self._docs)

    def error_docs(self, call: Call) -> None:
        """`GET /docs/errors/{code}`."""
        definition = CATALOG.get(call.parameter)
        if definition is None:
            raise ProblemError(Problem("not_found", "there is no such error code"))
        _answer(call, _PAGE, error_page(call.parameter, definition).encode())

    def health(self, call: Call) -> None:
        """`GET /healthz`."""
        _answer(call, _HEALTHY, _encode(Health(status="ok", checks={})))

    def ready(self, call: Call) -> None:
        """`GET /readyz`."""
        checks = dict(self.readiness())
        healthy = all(checks.values())
        body = _encode(Health(status="ok" if healthy else "unavailable", checks=checks))
        _answer(call, _HEALTHY if healthy else _UNREADY, body)


def _answer(call: Call, head: Head, body: bytes) -> None:
    call.exchange.answer(Answer(head, body))


def docs_page() -> str:
    """The routes and the error codes, for people."""
    routes = "".join(_route_row(route) for route in ROUTES)
    codes = "".join(
        f'<tr><td>{definition.status}<td><a href="/docs/errors/{code}"><code>{code}</code></a>'
        f"<td>{escape(definition.title)}"
        for code, definition in sorted(CATALOG.items(), key=lambda item: item[1].status)
    )
    return _page(
        "Turnout API",
        "<p>Requests of a merchant's server are signed; the HTTP guide says how, step by step, "
        "with test vectors: <code>docs/http-api.md</code> among Turnout's sources. The members of "
        "every body and the parameters of every route stand in "
        "<a href='/openapi.json'>/openapi.json</a>.</p>"
        f"<h2>Routes</h2><table>{routes}</table><h2>Error codes</h2><table>{codes}</table>",
    )


def error_page(code: str, definition: ErrorDefinition) -> str:
    """One error code, for people."""
    return _page(
        definition.title,
        f"<p><code>{escape(code)}</code>, HTTP status {definition.status}</p>"
        f"<p>{escape(definition.meaning)}</p>"
        f"<h2>What to do</h2><p>{escape(definition.action)}</p>"
        '<p><a href="/docs">All routes and error codes</a></p>',
    )


def _route_row(route: Route) -> str:
    return (
        f"<tr><td><code>{route.method}</code><td><code>{escape(route.path)}</code>"
        f"<td>{escape(route.summary)}<br><small>{escape(route.access.value)}</small>"
    )


def _page(title: str, body: str) -> str:
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(title)}</title>"
        "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;"
        "padding:0 1rem}table{border-collapse:collapse}td{padding:.3rem .8rem .3rem 0;"
        "vertical-align:top;border-top:1px solid #ddd}</style>"
        f"<h1>{escape(title)}</h1>{body}</html>"
    )
