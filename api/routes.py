"""The routes: one table that requests are matched with and the OpenAPI document is made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from api import requests, resources, transaction_requests
from api.errors import Problem, ProblemError
from api.intent_list import METADATA_FILTERS_MAX
from api.route import LIMIT, Access, Parameter, Route, id_schema, items_of
from api.webhook_routes import WEBHOOK_ROUTES
from ledger.lifecycle import INTENT_STATUSES
from ledger.money import AMOUNT_MINOR_MAX, AMOUNT_MINOR_MIN

_AMOUNT: Final = {"minimum": AMOUNT_MINOR_MIN, "maximum": AMOUNT_MINOR_MAX, "examples": [2499]}
_INSTANT: Final = {"format": "date-time", "examples": ["2026-01-02T03:04:05Z"]}

CREATE_INTENT: Final = Route(
    name="createPaymentIntent",
    method="POST",
    path="/payment-intents",
    access=Access.SERVER,
    summary="Create a payment intent",
    body=requests.CreateIntent,
    answers={201: (resources.PaymentIntent,)},
    problems=(
        "invalid_query",
        "amount_out_of_range",
        "unknown_currency",
        "merchant_reference_in_use",
        "merchant_moving",
        "insufficient_storage",
    ),
)
LIST_INTENTS: Final = Route(
    name="listPaymentIntents",
    method="GET",
    path="/payment-intents",
    access=Access.SERVER,
    summary="List payment intents, newest first",
    query=(
        LIMIT,
        Parameter("after", "string", "`nextCursor` of the page before.", id_schema("pi")),
        Parameter(
            "status",
            "array",
            "Only these statuses, separated by commas.",
            items_of(INTENT_STATUSES),
        ),
        Parameter(
            "createdAfter", "string", "Only intents created at this instant or later.", _INSTANT
        ),
        Parameter("createdBefore", "string", "Only intents created before this instant.", _INSTANT),
        Parameter("amountInCents", "integer", "Only intents over this amount.", _AMOUNT),
        Parameter("amountMin", "integer", "Only intents over this amount or more.", _AMOUNT),
        Parameter("amountMax", "integer", "Only intents over this amount or less.", _AMOUNT),
        Parameter(
            "merchantReference",
            "string",
            "Only intents with this one, canceled or not.",
            {"pattern": f"^[!-~]{{1,{requests.REFERENCE_CHARS_MAX}}}$", "examples": ["order-1234"]},
        ),
        Parameter(
            "metadata",
            "object",
            "As `metadata[name]=value`: only intents with this pair.",
            {
                "additionalProperties": {
                    "type": "string",
                    "maxLength": requests.METADATA_VALUE_CHARS_MAX,
                },
                "maxProperties": METADATA_FILTERS_MAX,
                "examples": [{"tier": "gold"}],
            },
        ),
    ),
    answers={200: (resources.PaymentIntentList,)},
    problems=("invalid_query", "raw_card_data_refused"),
)
GET_INTENT: Final = Route(
    name="getPaymentIntent",
    method="GET",
    path="/payment-intents/{id}",
    access=Access.BROWSER,
    summary="Read a payment intent; with a client secret a reduced view of it",
    answers={200: (resources.PaymentIntent, resources.ReducedPaymentIntent)},
    problems=("invalid_query", "not_found"),
)
CREATE_TRANSACTION: Final = Route(
    name="createTransaction",
    method="POST",
    path="/payment-intents/{id}/transactions",
    access=Access.BROWSER,
    summary="Charge, capture, cancel, refund or verify; with a client secret charge only",
    body=transaction_requests.TransactionBody,
    answers={200: (resources.Transaction,), 202: (resources.Transaction,)},
    problems=(
        "invalid_query",
        "not_found",
        "operation_in_progress",
        "operation_in_doubt",
        "already_succeeded",
        "intent_canceled",
        "not_authorized",
        "capture_expired",
        "use_refund",
        "too_many_charges",
        "card_ciphertext_reused",
        "card_declined_before",
        "retry_limit_reached",
        "amount_out_of_range",
        "amount_exceeds_capturable",
        "amount_exceeds_refundable",
        "capture_method_unavailable",
        "card_undecryptable",
        "card_key_expired",
        "card_refused",
        "too_many_attempts",
        "switch_unavailable",
        "hsm_unavailable",
        "network_unavailable",
        "insufficient_storage",
    ),
)
GET_TIMELINE: Final = Route(
    name="listPaymentIntentEvents",
    method="GET",
    path="/payment-intents/{id}/events",
    access=Access.SERVER,
    summary="Read what happened to a payment intent, oldest first",
    answers={200: (resources.Timeline,)},
    problems=("invalid_query", "not_found"),
)
GET_BALANCE: Final = Route(
    name="getBalance",
    method="GET",
    path="/balance",
    access=Access.SERVER,
    summary="Read what stands on the merchant's accounts, per currency",
    answers={200: (resources.Balance,)},
    problems=("invalid_query",),
)
GET_KEYS: Final = Route(
    name="listCaptureKeys",
    method="GET",
    path="/keys",
    access=Access.OPEN,
    summary="List the public keys that cards are sealed to",
    answers={200: (resources.CaptureKeys,)},
    problems=("invalid_query", "hsm_unavailable"),
)
GET_OPENAPI: Final = Route(
    name="getOpenAPI",
    method="GET",
    path="/openapi.json",
    access=Access.OPEN,
    summary="This document",
    answers={200: (dict[str, Any],)},
)
GET_DOCS: Final = Route(
    name="getDocs",
    method="GET",
    path="/docs",
    access=Access.OPEN,
    summary="The routes as a page for people",
    answers={200: ()},
)
GET_ERROR_DOCS: Final = Route(
    name="getErrorDocs",
    method="GET",
    path="/docs/errors/{code}",
    access=Access.OPEN,
    summary="An error code explained",
    answers={200: ()},
    problems=("not_found",),
)
GET_DECLINE_DOCS: Final = Route(
    name="getDeclineDocs",
    method="GET",
    path="/docs/declines/{code}",
    access=Access.OPEN,
    summary="A decline code explained",
    answers={200: ()},
    problems=("not_found",),
)
GET_HEALTH: Final = Route(
    name="getHealth",
    method="GET",
    path="/healthz",
    access=Access.OPEN,
    summary="Whether the process runs",
    answers={200: (resources.Health,)},
)
GET_READINESS: Final = Route(
    name="getReadiness",
    method="GET",
    path="/readyz",
    access=Access.OPEN,
    summary="Whether the process can do its work",
    answers={200: (resources.Health,), 503: (resources.Health,)},
)
GET_LOADER: Final = Route(
    name="getLoader",
    method="GET",
    path="/turnout.js",
    access=Access.OPEN,
    summary="The script that puts the hosted card fields on a page",
    answers={200: ()},
    media_type="text/javascript",
    problems=("invalid_query",),
)
GET_FIELDS: Final = Route(
    name="getHostedFields",
    method="GET",
    path="/checkout/fields",
    access=Access.OPEN,
    summary="The hosted card fields; a page of the merchant's origins may frame them",
    query=(
        Parameter("key", "string", "The publishable key, which says whose pages these are."),
        Parameter("locale", "string", "The language of the fields.", {"enum": ["en", "de", "ar"]}),
    ),
    answers={200: ()},
    problems=("invalid_query", "ledger_unavailable", "hsm_unavailable"),
)
GET_CHECKOUT_INVENTORY: Final = Route(
    name="getScriptInventory",
    method="GET",
    path="/checkout/inventory.json",
    access=Access.OPEN,
    summary="Every script of the hosted card fields, with its hash and its reason",
    answers={200: (dict[str, Any],)},
    problems=("invalid_query",),
)
GET_CHECKOUT_ASSET: Final = Route(
    name="getScript",
    method="GET",
    path="/checkout/{asset}",
    access=Access.OPEN,
    summary="A script under the address that holds its hash; it never changes",
    answers={200: ()},
    media_type="text/javascript",
    problems=("invalid_query", "not_found"),
)
TAKE_REPORTS: Final = Route(
    name="takePolicyReports",
    method="POST",
    path="/checkout/reports",
    access=Access.OPEN,
    summary="What browsers report of the hosted fields' Content-Security-Policy; counted only",
    answers={200: ()},
    media_type="text/plain",
    problems=("unsupported_media_type", "payload_too_large", "malformed_json"),
)

ROUTES: Final = (
    CREATE_INTENT,
    LIST_INTENTS,
    GET_INTENT,
    CREATE_TRANSACTION,
    GET_TIMELINE,
    GET_BALANCE,
    *WEBHOOK_ROUTES,
    GET_KEYS,
    GET_OPENAPI,
    GET_DOCS,
    GET_ERROR_DOCS,
    GET_DECLINE_DOCS,
    GET_LOADER,
    GET_FIELDS,
    GET_CHECKOUT_INVENTORY,
    GET_CHECKOUT_ASSET,
    TAKE_REPORTS,
    GET_HEALTH,
    GET_READINESS,
)

_NOT_FOUND: Final = ProblemError(
    Problem("not_found", "there is no such address; GET /docs lists all")
)


class Router:
    """Finds the route of a request.

    A path is compared byte by byte: nothing is decoded, and a slash at the end is another path.
    """

    __slots__ = ("_fixed", "_variable")

    def __init__(self, routes: Iterable[Route]) -> None:
        self._fixed: dict[bytes, dict[bytes, Route]] = {}
        self._variable: list[tuple[bytes, bytes, slice, dict[bytes, Route]]] = []
        for route in routes:
            methods = self._methods(route.path)
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                methods[method.encode()] = route
        # The longest ending first: it is the one that fits, and charges are the busiest route.
        self._variable.sort(key=lambda template: -len(template[1]))

    def _methods(self, path: str) -> dict[bytes, Route]:
        if "{" not in path:
            return self._fixed.setdefault(path.encode(), {})
        head, _, rest = path.encode().partition(b"{")
        before, after = head, rest.partition(b"}")[2]
        for known_before, known_after, _parameter, methods in self._variable:
            if (known_before, known_after) == (before, after):
                return methods
        methods = {}
        parameter = slice(len(before), -len(after) or None)
        self._variable.append((before, after, parameter, methods))
        return methods

    def match(self, method: bytes, path: bytes) -> tuple[Route, str]:
        """The route and the value of its path parameter, or an empty string.

        Raises:
            ProblemError: `not_found`, or `method_not_allowed` with what is.
        """
        methods = self._fixed.get(path)
        parameter = ""
        if methods is None:
            methods, parameter = self._match_variable(path)
        route = methods.get(method)
        if route is None:
            allowed = ", ".join(sorted(name.decode() for name in methods))
            raise ProblemError(Problem("method_not_allowed", allow=allowed))
        return route, parameter

    def _match_variable(self, path: bytes) -> tuple[dict[bytes, Route], str]:
        for before, after, within, methods in self._variable:
            if path.startswith(before) and path.endswith(after):
                parameter = path[within]
                if parameter and b"/" not in parameter:
                    return methods, parameter.decode("latin-1")
        raise _NOT_FOUND
