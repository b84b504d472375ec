"""The OpenAPI document says all that a generated client needs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from api import openapi
from api.errors import CATALOG
from api.routes import ROUTES

DOCUMENT = openapi.document()
# Of no route: an address that does not take the method is not that route's answer.
OF_NO_ROUTE = {"method_not_allowed"}


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Method, path and operation of each route."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def test_every_route_is_an_operation() -> None:
    """And there are no others."""
    found = {(operation["operationId"], path) for _, path, operation in operations()}
    assert found == {(route.name, route.path) for route in ROUTES}


def test_every_error_code_stands_at_a_route() -> None:
    """A code that no route names would surprise whoever meets it."""
    told = {
        code
        for _, _, operation in operations()
        for answer in operation["responses"].values()
        for code in re.findall(r"`([a-z_]+)`", answer["description"])
    }
    assert told == CATALOG.keys() - OF_NO_ROUTE


@pytest.mark.parametrize(
    ("status", "header"),
    [
        ("201", "Location"),
        ("202", "Location"),
        ("202", "Retry-After"),
        ("401", "WWW-Authenticate"),
        ("429", "Retry-After"),
        ("503", "Retry-After"),
    ],
)
def test_an_answer_has_the_headers_of_its_status(status: str, header: str) -> None:
    """Wherever that status is answered, and some route does."""
    answers = [
        operation["responses"][status]
        for _, _, operation in operations()
        if status in operation["responses"]
    ]
    assert answers
    assert all(header in answer["headers"] for answer in answers)


def test_every_answer_has_a_request_id() -> None:
    """Problems and pages too."""
    for _, _, operation in operations():
        for answer in operation["responses"].values():
            assert "X-Request-Id" in answer["headers"]


def test_a_post_is_told_that_it_was_repeated() -> None:
    """Only a POST with a body of ours has a key that could have been used before."""
    for method, _, operation in operations():
        answer = next(iter(operation["responses"].values()))
        keyed = method == "post" and "requestBody" in operation
        assert ("Idempotent-Replayed" in answer["headers"]) == keyed


def test_every_reference_leads_somewhere() -> None:
    """No schema is named that is not there."""
    text = str(DOCUMENT)
    names = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert names
    assert names <= DOCUMENT["components"]["schemas"].keys()


def test_the_bodies_of_a_transaction_are_told_apart_by_their_type() -> None:
    """A generated client has one class for each, and the name that chooses it."""
    operation = DOCUMENT["paths"]["/payment-intents/{id}/transactions"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema["discriminator"]["propertyName"] == "type"
    assert sorted(schema["discriminator"]["mapping"]) == [
        "cancel",
        "capture",
        "charge",
        "refund",
        "verify",
    ]
