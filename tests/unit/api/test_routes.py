"""The route table, the router and the OpenAPI document."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api import assembly, openapi, routes
from api.errors import CATALOG, ProblemError
from api.http.answer import REASONS
from api.route import Access
from api.routes import ROUTES, Router
from api.webhook_routes import WEBHOOK_ROUTES
from chassis.settings import Settings

ROUTER = Router(ROUTES)
DOCUMENT = json.loads(json.dumps(openapi.document()))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.name)
def test_every_route_is_found(route: routes.Route) -> None:
    """By its method and a path with its parameter filled in; GET also as HEAD."""
    values = {"{id}": "pi_1", "{code}": "overloaded", "{asset}": "fields.js"}
    name = next((name for name in values if name in route.path), "")
    parameter = values.get(name, "")
    path = route.path.replace(name, parameter)
    assert ROUTER.match(route.method.encode(), path.encode()) == (route, parameter)
    if route.method == "GET":
        assert ROUTER.match(b"HEAD", path.encode())[0] is route


@pytest.mark.parametrize(
    "path", [b"/", b"", b"/keys/", b"//keys", b"/payment-intents/", b"/payment-intents/a/b",
             b"/payment-intents/a/events/", b"/payment-intents//events", b"/docs/errors/",
             b"/KEYS", b"/payment-intents/a%2Fevents/x"]
)  # fmt: skip
def test_other_paths_are_not_found(path: bytes) -> None:
    """Paths are compared byte by byte."""
    with pytest.raises(ProblemError) as caught:
        ROUTER.match(b"GET", path)
    assert caught.value.problem.code == "not_found"


def test_other_methods_are_told_what_is_allowed() -> None:
    """Every method of the address is listed."""
    with pytest.raises(ProblemError) as caught:
        ROUTER.match(b"PATCH", b"/payment-intents")
    assert caught.value.problem.code == "method_not_allowed"
    assert caught.value.problem.allow == "GET, HEAD, POST"


def test_every_route_has_an_endpoint() -> None:
    """What the table names is what the api does."""
    endpoints = assembly._endpoints(*(Anything() for _ in range(5)))  # type: ignore[arg-type]
    own = {route.name for route in ROUTES} - {route.name for route in WEBHOOK_ROUTES}
    assert endpoints.keys() == own
    others = assembly._webhook_endpoints(Settings(), Anything(), Anything(), [Anything()])  # type: ignore[arg-type,list-item]
    assert others.keys() == {route.name for route in WEBHOOK_ROUTES}
    assert len({route.name for route in ROUTES}) == len(ROUTES)


class Anything:
    """Has every endpoint."""

    def __getattr__(self, name: str) -> str:
        """Any of them."""
        return name


def test_the_document_is_the_table() -> None:
    """Routes and operations are the same set: no route undocumented, none documented only."""
    documented = {
        (path, method.upper()) for path, item in DOCUMENT["paths"].items() for method in item
    }
    assert documented == {(route.path, route.method) for route in ROUTES}


def test_operations_tell_their_answers() -> None:
    """Each has its success, its problems by status, and says who may call it."""
    for route in ROUTES:
        operation = DOCUMENT["paths"][route.path][route.method.lower()]
        statuses = {int(status) for status in operation["responses"]}
        assert set(route.answers) <= statuses <= set(REASONS)
        for code in route.problems:
            assert CATALOG[code].status in statuses
        assert bool(operation["security"]) == (route.access is not Access.OPEN)
        assert (401 in statuses) == (route.access is not Access.OPEN)


def references(value: Any) -> set[str]:
    """Every `$ref` below a JSON value."""
    if isinstance(value, dict):
        found = {value["$ref"]} if "$ref" in value else set()
        return found.union(*map(references, value.values()))
    if isinstance(value, list):
        return set().union(*map(references, value))
    return set()


def test_every_reference_leads_somewhere() -> None:
    """No dangling schema or example, and none unused but those of what is no route's answer."""
    components = DOCUMENT["components"]
    schemas = {f"#/components/schemas/{name}" for name in components["schemas"]}
    shown = {f"#/components/examples/{name}" for name in components["examples"]}
    unused = {"#/components/examples/method_not_allowed"}
    assert references(DOCUMENT) == schemas | shown - unused


def test_members_are_those_of_the_contract() -> None:
    """The intent's and the transaction's members, in order."""
    schemas = DOCUMENT["components"]["schemas"]
    assert " ".join(schemas["PaymentIntent"]["properties"]) == (
        "id amountInCents currency description status captureMethod amountCapturable "
        "amountCaptured amountRefunded clientSecret merchantReference metadata lastError "
        "latestTransaction amountDisputed allowPartialAuthorization captureBefore "
        "cancelRequested version createdAt updatedAt"
    )
    assert " ".join(schemas["Transaction"]["properties"]) == (
        "id paymentIntent type status amountInCents currency finalCapture declineCode advice "
        "responseCode approvalCode card createdAt updatedAt"
    )
    assert " ".join(schemas["TimelineEvent"]["properties"]) == (
        "id sequence type actor at transaction data"
    )
    assert " ".join(schemas["CaptureKey"]["properties"]) == "kid suite publicKey state notAfter"
    assert schemas["CreateIntent"]["additionalProperties"] is False
    assert "clientSecret" not in schemas["PaymentIntent"]["required"]
