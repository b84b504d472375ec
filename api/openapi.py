"""The OpenAPI 3.1 document, made from the route table and the types that answer it.

Run as a module it prints the document.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

import msgspec

from api import examples
from api.errors import CATALOG, ProblemDocument
from api.http.answer import JSON, PROBLEM_JSON
from api.openapi_parts import (
    REPLAYED,
    answer_headers,
    header,
    parameters_of,
    security_of,
    security_schemes,
)
from api.route import Access, Route
from api.routes import ROUTES
from api.webhook_resources import Event
from ledger.webhooks.kinds import EVENT_TYPES

_REFERENCE: Final = "#/components/schemas/{name}"
_EXAMPLE: Final = "#/components/examples/{name}"
# By the first part of a path.
_TAGS: Final = {
    "payment-intents": "Payment intents",
    "balance": "Balance",
    "events": "Webhooks",
    "webhook-endpoints": "Webhooks",
    "webhook-deliveries": "Webhooks",
    "keys": "Sealed cards",
    "turnout.js": "Hosted card fields",
    "checkout": "Hosted card fields",
    "openapi.json": "Service",
    "docs": "Service",
    "healthz": "Service",
    "readyz": "Service",
}
_WEBHOOK_HEADERS: Final = (
    ("webhook-id", "The event's id, the same on every try."),
    ("webhook-timestamp", "When this try was signed, in seconds since 1970."),
    ("webhook-signature", "`v1,` and a signature, for each secret (Standard Webhooks)."),
)
_EVERYWHERE: Final = (
    "malformed_request",
    "request_timeout",
    "uri_too_long",
    "expectation_failed",
    "header_fields_too_large",
    "rate_limited",
    "internal_error",
    "overloaded",
    "shutting_down",
    "answer_overdue",
    "http_version_not_supported",
)
_AUTHENTICATED: Final = (
    "authentication_failed",
    "unknown_key",
    "timestamp_outside_window",
    "signature_mismatch",
    "nonce_reused",
    "nonce_store_full",
    "limits_unavailable",
    "ledger_unavailable",
    "hsm_unavailable",
)
_WITH_BODY: Final = (
    "malformed_json",
    "payload_too_large",
    "unsupported_media_type",
    "raw_card_data_refused",
    "unknown_field",
    "missing_field",
    "invalid_type",
    "invalid_value",
)
_WITH_KEY: Final = (
    "idempotency_key_required",
    "idempotency_key_invalid",
    "idempotency_key_reused",
)


def document(routes: Sequence[Route] = ROUTES) -> dict[str, Any]:
    """The document as JSON values."""
    types: list[Any] = [ProblemDocument]
    for route in routes:
        types += [route.body] if route.body is not None else []
        types += [type_ for answer in route.answers.values() for type_ in answer]
    types.append(Event)
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    by_type = dict(zip(map(str, types), schemas, strict=True))
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, by_type)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Turnout",
            "version": version("turnout"),
            "description": "Payments. The HTTP guide explains signing and sealed cards.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(_TAGS.values())],
        "paths": paths,
        "webhooks": {name: {"post": _sent(name, by_type[str(Event)])} for name in EVENT_TYPES},
        "components": {
            "schemas": components,
            "examples": examples.of_problems(),
            "securitySchemes": security_schemes(),
        },
    }


def _operation(route: Route, schemas: dict[str, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": route.summary,
        "tags": [_TAGS[route.path.split("/")[1]]],
        "security": security_of(route.access),
        "parameters": parameters_of(route),
        "responses": {str(status): _answer(route, status, schemas) for status in route.answers}
        | _problems(route, schemas[str(ProblemDocument)]),
    }
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {
                JSON: {"schema": schemas[str(route.body)], "examples": examples.of_body(route)}
            },
        }
    return operation


def _sent(name: str, event: dict[str, Any]) -> dict[str, Any]:
    """What a webhook endpoint is sent; its answer's body is not read."""
    content: dict[str, Any] = {"schema": event}
    example = examples.of_event()
    if example["type"] == name:
        content["examples"] = {"event": {"value": example}}
    return {
        "operationId": f"on.{name}",
        "summary": f"Sent to endpoints that subscribe to `{name}`",
        "tags": [_TAGS["events"]],
        "security": [],
        "parameters": [
            {
                "name": header,
                "in": "header",
                "required": True,
                "description": description,
                "schema": {"type": "string"},
            }
            for header, description in _WEBHOOK_HEADERS
        ],
        "requestBody": {"required": True, "content": {JSON: content}},
        "responses": {"2XX": {"description": "Delivered; anything else is tried again"}},
    }


def _answer(route: Route, status: int, schemas: dict[str, Any]) -> dict[str, Any]:
    descriptions = {200: "OK", 201: "Created", 202: "Accepted: not final yet", 503: "Not ready"}
    choices = [schemas[str(type_)] for type_ in route.answers[status]]
    content: dict[str, Any]
    if not choices:
        content = {route.media_type: {"schema": {"type": "string"}}}
    else:
        content = {JSON: {"schema": choices[0] if len(choices) == 1 else {"anyOf": choices}}}
        if found := examples.of_answer(route, status):
            content[JSON]["examples"] = found
    headers = answer_headers(status)
    if route.method == "POST" and route.body is not None:
        headers |= dict([header(*REPLAYED)])
    return {"description": descriptions[status], "headers": headers, "content": content}


def _problems(route: Route, schema: dict[str, Any]) -> dict[str, Any]:
    codes = [*_EVERYWHERE, *route.problems]
    if route.access is not Access.OPEN:
        codes += _AUTHENTICATED
        codes += ["scope_not_allowed"]
    if route.access is Access.BROWSER:
        codes += ["client_secret_invalid"]
    if route.body is not None:
        codes += _WITH_BODY
    if route.body is not None and route.method == "POST":
        codes += _WITH_KEY
    by_status: dict[int, list[str]] = {}
    for code in codes:
        by_status.setdefault(CATALOG[code].status, []).append(code)
    return {
        str(status): {
            "description": "; ".join(f"`{code}`" for code in sorted(set(by_status[status]))),
            "headers": answer_headers(status),
            "content": {
                PROBLEM_JSON: {
                    "schema": schema,
                    "examples": {
                        code: {"$ref": _EXAMPLE.format(name=code)}
                        for code in sorted(set(by_status[status]))
                    },
                }
            },
        }
        for status in sorted(by_status)
        if status not in route.answers
    }


if __name__ == "__main__":
    import sys

    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document()), indent=2).decode() + "\n")
