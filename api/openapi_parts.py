"""What operations have in common in the OpenAPI document: parameters, headers, who may ask."""

from __future__ import annotations

from typing import Any, Final

from api.route import Access, Parameter, Route, id_schema

_PATH_SCHEMAS: Final = {
    "payment-intents": id_schema("pi"),
    "webhook-endpoints": id_schema("we"),
    "webhook-deliveries": id_schema("whd"),
}
# Headers of answers, beside those of any HTTP answer, and the statuses that carry them.
_HEADERS: Final = (
    ("X-Request-Id", "Names this answer; also `requestId` in problems.", None),
    ("Location", "What was created, or the payment intent.", (201, 202)),
    ("Retry-After", "Seconds to wait before asking again.", (202, 429, 503)),
    ("WWW-Authenticate", "The scheme of the Authorization header.", (401,)),
)
REPLAYED: Final = ("Idempotent-Replayed", "`true` where the key had been used by this request.")
Security = list[dict[str, list[str]]]
_SIGNED: Final[Security] = [{"publishableKey": [], "timestamp": [], "nonce": [], "signature": []}]
_BROWSER: Final[Security] = [{"publishableKey": [], "clientSecret": []}]


def answer_headers(status: int) -> dict[str, Any]:
    """The headers of an answer with this status."""
    return dict(
        header(name, description)
        for name, description, statuses in _HEADERS
        if statuses is None or status in statuses
    )


def header(name: str, description: str) -> tuple[str, dict[str, Any]]:
    """A header of an answer: its name, and what the document says of it."""
    return name, {"description": description, "schema": {"type": "string"}}


def parameters_of(route: Route) -> list[dict[str, Any]]:
    """Of the query, of the path, and the idempotency key."""
    parameters = [_in_query(parameter) for parameter in route.query]
    if "{" in route.path:
        name = route.path.split("{")[1].split("}")[0]
        schema = _PATH_SCHEMAS.get(route.path.split("/")[1], {})
        parameters.append(
            {"name": name, "in": "path", "required": True, "schema": {"type": "string", **schema}}
        )
    if route.body is not None and route.method == "POST":
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": True,
                "description": "1 to 255 printable ASCII characters; the same for a repeat.",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255},
            }
        )
    return parameters


def _in_query(parameter: Parameter) -> dict[str, Any]:
    told: dict[str, Any] = {
        "name": parameter.name,
        "in": "query",
        "description": parameter.description,
        "schema": {"type": parameter.type, **parameter.limits},
    }
    if parameter.required:
        told["required"] = True
    if parameter.type == "object":
        told |= {"style": "deepObject", "explode": True}
    elif parameter.type == "array":
        told |= {"style": "form", "explode": False}
    return told


def security_of(access: Access) -> Security:
    """The ways to prove who asks; none for what is open."""
    if access is Access.OPEN:
        return []
    return _SIGNED if access is Access.SERVER else _SIGNED + _BROWSER


def security_schemes() -> dict[str, Any]:
    """The headers that prove who asks."""
    headers = {
        "timestamp": ("X-Request-Timestamp", "RFC 3339, UTC, whole seconds, Z; at most 300 s off."),
        "nonce": ("X-Request-Nonce", "16 to 64 of A-Z a-z 0-9 _ -, once per publishable key."),
        "signature": ("X-Signature", "sha256= and the HMAC of the ten lines; see the HTTP guide."),
        "clientSecret": ("X-Client-Secret", "The clientSecret of one intent, for browsers."),
    }
    return {
        "publishableKey": {
            "type": "http",
            "scheme": "bearer",
            "description": "pk_test_ or pk_live_",
        }
    } | {
        name: {"type": "apiKey", "in": "header", "name": header, "description": description}
        for name, (header, description) in headers.items()
    }
