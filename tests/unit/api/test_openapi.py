"""The OpenAPI document says all that a generated client needs."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import openapi_spec_validator
import pytest

from api import openapi
from api.errors import CATALOG, ProblemError
from api.intent_list import parse_list_query
from api.routes import ROUTES
from ledger.webhooks.kinds import EVENT_TYPES

DOCUMENT = openapi.document()
PLAIN: dict[str, Any] = json.loads(json.dumps(DOCUMENT))
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


def contents(document: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Each body of a request or an answer, with a name for it."""
    for path, methods in [*document["paths"].items(), *document["webhooks"].items()]:
        for method, operation in methods.items():
            holders = {"body": operation.get("requestBody", {})} | operation["responses"]
            for name, holder in holders.items():
                for media, content in holder.get("content", {}).items():
                    yield f"{method} {path} {name} {media}", content


def violations(document: dict[str, Any]) -> list[str]:
    """Where an example is not what its schema says."""
    components = document["components"]
    found = []
    for name, content in contents(document):
        schema = content["schema"] | {"components": components}
        validator = jsonschema.Draft202012Validator(
            schema, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
        )
        for title, example in content.get("examples", {}).items():
            key = example.get("$ref", "").rpartition("/")[2]
            value = (components["examples"][key] if key else example)["value"]
            found += [f"{name} {title}: {error.message}" for error in validator.iter_errors(value)]
    return found


def test_the_document_is_openapi() -> None:
    """As the specification's own schema has it; a broken one is not."""
    openapi_spec_validator.validate(PLAIN)
    broken = copy.deepcopy(PLAIN)
    del broken["paths"]["/keys"]["get"]["responses"]
    broken["paths"]["/keys"]["get"]["parameters"] = [{"name": "x", "in": "nowhere"}]
    with pytest.raises(openapi_spec_validator.validation.exceptions.OpenAPIValidationError):
        openapi_spec_validator.validate(broken)


def test_examples_are_what_their_schemas_say() -> None:
    """Of requests, answers and problems; one that is changed is found."""
    assert violations(PLAIN) == []
    broken = copy.deepcopy(PLAIN)
    created = broken["paths"]["/payment-intents"]["post"]["responses"]["201"]
    created["content"]["application/json"]["examples"]["created"]["value"]["version"] = "1"
    broken["components"]["examples"]["not_found"]["value"]["status"] = None
    assert {line.partition(":")[0] for line in violations(broken)} > {
        "post /payment-intents 201 application/json created",
        "get /payment-intents/{id} 404 application/problem+json not_found",
    }


def test_every_body_has_an_example() -> None:
    """All JSON but this document itself and the inventory of scripts."""
    without = {
        name.partition(" application/")[0]
        for name, content in contents(PLAIN)
        if "json" in name and not content.get("examples")
    }
    events = {name for name in without if name.endswith(" body") and " payment_intent." in name}
    assert without - events == {"get /openapi.json 200", "get /checkout/inventory.json 200"}
    assert len(events) == len(EVENT_TYPES) - 1


def test_examples_of_parameters_are_what_their_schemas_say() -> None:
    """And every path parameter but names of files and codes has the form of an id."""
    shown = 0
    for _, path, operation in operations():
        for parameter in operation["parameters"]:
            for example in parameter["schema"].get("examples", ()):
                jsonschema.validate(example, parameter["schema"])
                shown += 1
            if parameter["name"] == "id":
                prefix = {"payment-intents": "pi", "webhook-endpoints": "we"}.get(
                    path.split("/")[1], "whd"
                )
                assert parameter["schema"]["pattern"].startswith(f"^{prefix}_")
    assert shown


def test_limits_of_parameters_are_those_that_are_kept() -> None:
    """What the document calls too much is refused, and the most that it allows is not."""
    told = {
        each["name"]: each["schema"]
        for each in PLAIN["paths"]["/payment-intents"]["get"]["parameters"]
    }
    for name in ("limit", "amountInCents", "amountMin", "amountMax"):
        lowest, highest = told[name]["minimum"], told[name]["maximum"]
        for value in (lowest, highest):
            parse_list_query(f"{name}={value}".encode())
        for value in (lowest - 1, highest + 1):
            with pytest.raises(ProblemError):
                parse_list_query(f"{name}={value}".encode())
    most = told["metadata"]["maxProperties"]
    query = "&".join(f"metadata[{n}]=1" for n in range(most + 1))
    parse_list_query(query.rpartition("&")[0].encode())
    with pytest.raises(ProblemError):
        parse_list_query(query.encode())


def test_webhooks_are_the_types_of_events() -> None:
    """Each with the headers that its signature is made over, and the event as its body."""
    assert list(PLAIN["webhooks"]) == list(EVENT_TYPES)
    for item in PLAIN["webhooks"].values():
        names = [header["name"] for header in item["post"]["parameters"]]
        assert names == ["webhook-id", "webhook-timestamp", "webhook-signature"]
        body = item["post"]["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": "#/components/schemas/Event"}
