"""Whatever is asked for, a running stack answers as its OpenAPI document says.

schemathesis makes requests of the document: ones that it allows, and ones that it does not. They
are signed as they leave. Each answer must have a status, a media type, headers and a body that the
document names for the route.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from requests import PreparedRequest, Session
from requests.auth import AuthBase
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.generation import GenerationMode

from stack.credentials import Credentials
from tests.support.whole_stack import QUIET, running_in_thread
from turnout_client.sign import canonical_string, nonce_of, signature, timestamp_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis import Case
    from schemathesis.schemas import APIOperation

load_all_checks()
CHECKED: Final = [
    CHECKS.get_one(name)
    for name in (
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
    )
]
DELIVERED_WITHIN_S: Final = 20.0
OF_BROWSERS: Final = {"takePolicyReports"}  # what they send has a standard of its own
REQUESTS_EACH: Final = 12  # of an operation and a kind; the whole takes half a minute


class Signing(AuthBase):
    """Signs each request as a merchant's server does: what leaves is what is signed."""

    def __init__(self, merchant: Credentials) -> None:
        self._merchant = merchant

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        """Add the four headers."""
        host = urlsplit(self._merchant.api_url).netloc
        body = request.body or b""
        parts = {
            "publishable_key": self._merchant.publishable_key,
            "timestamp": timestamp_of(datetime.now(UTC)),
            "nonce": nonce_of(os.urandom(18)),
        }
        canonical = canonical_string(
            **parts,
            method=request.method or "",
            host=host,
            target=request.path_url,
            content_type=_text(request.headers.get("Content-Type")),
            idempotency_key=_text(request.headers.get("Idempotency-Key")),
            body=body if isinstance(body, bytes) else body.encode(),
        )
        headers = {
            "Host": host,
            "Authorization": f"Bearer {parts['publishable_key']}",
            "X-Request-Timestamp": parts["timestamp"],
            "X-Request-Nonce": parts["nonce"],
            "X-Signature": signature(self._merchant.secret_key, canonical),
        }
        request.headers.update(headers)
        return request


class Shop:
    """A merchant with something of each kind, and what it was answered."""

    def __init__(self, merchant: Credentials) -> None:
        self.session = Session()
        self.session.auth = Signing(merchant)
        self.url = merchant.api_url
        self.answered: dict[str, set[int]] = {}
        self.schema = schemathesis.openapi.from_dict(self.get("/openapi.json"))
        self.schema.config.update(base_url=self.url)
        self.operations = [found.ok() for found in self.schema.get_all_operations()]
        self.endpoint = self._new_endpoint()
        self._new_intent()
        self.delivery = self._first_delivery()

    def get(self, path: str) -> dict[str, Any]:
        """Read something."""
        found: dict[str, Any] = self.session.get(self.url + path, timeout=10).json()
        return found

    def known(self, operation: APIOperation) -> dict[str, str]:
        """Values of the path's parameters that name something."""
        kind, _, rest = operation.path.removeprefix("/").partition("/")
        if "{id}" in rest:
            if kind == "payment-intents":
                return {"id": self._new_intent()}
            if kind == "webhook-deliveries":
                return {"id": self.delivery}
            return {"id": self._new_endpoint() if operation.method == "delete" else self.endpoint}
        if "{asset}" in rest:
            [script, *_] = self.get("/checkout/inventory.json")["scripts"]
            return {"asset": script["url"].rpartition("/")[2]}
        if "{code}" in rest:
            return {"code": "not_found" if "errors" in rest else "lost_card"}
        return {}

    def send(self, case: Case) -> None:
        """Send a request and hold the answer to the document."""
        answer = case.call(session=self.session, timeout=10)
        case.validate_response(answer, checks=CHECKED)
        name = case.operation.definition.raw["operationId"]
        self.answered.setdefault(name, set()).add(answer.status_code)

    def _new_intent(self) -> str:
        return self._post("/payment-intents", {"amountInCents": 500, "currency": "usd"})

    def _new_endpoint(self) -> str:
        return self._post("/webhook-endpoints", {"url": "http://127.0.0.1:9/hooks"})

    def _first_delivery(self) -> str:
        deadline = time.monotonic() + DELIVERED_WITHIN_S
        while time.monotonic() < deadline:
            if found := self.get("/webhook-deliveries")["data"]:
                return str(found[0]["id"])
            time.sleep(0.1)
        raise AssertionError("no event has come to the endpoint")

    def _post(self, path: str, body: dict[str, Any]) -> str:
        headers = {"Idempotency-Key": os.urandom(8).hex()}
        answer = self.session.post(self.url + path, json=body, headers=headers, timeout=10)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


def _text(value: str | bytes | None) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value or ""


def _fuzz(shop: Shop, operation: APIOperation, mode: GenerationMode, *, known: bool) -> None:
    """Send requests of one kind to one operation."""

    @settings(
        max_examples=REQUESTS_EACH,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def send(case: Case) -> None:
        if known:
            case.path_parameters = shop.known(operation)
        shop.send(case)

    send()


def _send_examples(shop: Shop, operation: APIOperation) -> None:
    """Send each body that the document shows."""
    body = operation.definition.raw.get("requestBody", {"content": {"": {}}})
    for media_type, content in body["content"].items():
        for example in content.get("examples", {"": {}}).values():
            case = operation.Case(
                method=operation.method.upper(), path_parameters=shop.known(operation)
            )
            if "value" in example:
                case.body, case.media_type = example["value"], media_type
                case.headers = {"Idempotency-Key": os.urandom(8).hex()}
            shop.send(case)


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    """The demo shop of a stack, at work."""
    with running_in_thread(QUIET) as stack:
        shop = Shop(stack.credentials())
        yield shop
        shop.session.close()


def test_every_answer_is_in_the_document(shop: Shop) -> None:
    """To what it allows, to what it does not, to its examples; and every route does its work."""
    for operation in shop.operations:
        _send_examples(shop, operation)
        _fuzz(shop, operation, GenerationMode.POSITIVE, known=False)
        if "{" in operation.path:
            _fuzz(shop, operation, GenerationMode.POSITIVE, known=True)
        if operation.query or operation.body:
            _fuzz(shop, operation, GenerationMode.NEGATIVE, known=True)
    idle = {
        name
        for name, statuses in shop.answered.items()
        if not any(status < 300 for status in statuses)
    }
    assert (len(shop.answered), idle) == (len(shop.operations), OF_BROWSERS)
