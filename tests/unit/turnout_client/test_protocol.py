"""Where the server is, what is tried again, and what an error says."""

from __future__ import annotations

import json
from typing import Any

import pytest

from turnout_client import errors
from turnout_client.protocol import (
    Address,
    Answer,
    Lost,
    RetryPolicy,
    api_error,
    read_object,
)

PROBLEM: dict[str, Any] = {
    "type": "/docs/errors/amount_out_of_range",
    "title": "Amount out of range",
    "status": 422,
    "code": "amount_out_of_range",
    "detail": "amountInCents must be at least 1",
    "requestId": "req-1",
    "errors": [{"pointer": "/amountInCents", "code": "amount_out_of_range", "detail": "too low"}],
}


def _answer(status: int, body: bytes = b"{}", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status=status, headers=named, body=body)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://127.0.0.1:8080", (False, "127.0.0.1", 8080, "127.0.0.1:8080")),
        ("https://Pay.Example/", (True, "pay.example", 443, "pay.example")),
        ("http://pay.example", (False, "pay.example", 80, "pay.example")),
        ("https://[::1]:8443", (True, "::1", 8443, "[::1]:8443")),
    ],
)
def test_addresses(url: str, expected: tuple[bool, str, int, str]) -> None:
    """The Host header has a port exactly where the URL has one."""
    address = Address.parse(url)
    assert (address.secure, address.host, address.port, address.host_header) == expected


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:8080", "ftp://host", "http://", "http://host/v1", "http://u:p@host", "http://h?x"],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """A path would change what is signed, a password would leak."""
    with pytest.raises(ValueError, match="api_url"):
        Address.parse(url)


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_answers_that_may_change_are_tried_again(status: int) -> None:
    """As a lost connection is."""
    policy = RetryPolicy()
    assert policy.pause_s(1, _answer(status), 0.5) == policy.pause_s(1, Lost("x"), 0.5) == 0.1


@pytest.mark.parametrize("status", [200, 202, 400, 401, 404, 409, 422, 500])
def test_answers_that_stand_are_not_tried_again(status: int) -> None:
    """Asking twice would bring the same."""
    assert RetryPolicy().pause_s(1, _answer(status), 0.5) is None


def test_pauses_grow_up_to_a_limit_and_tries_end() -> None:
    """Doubling, then level, then no more."""
    policy = RetryPolicy(tries_max=8, backoff_s=1.0, backoff_max_s=5.0)
    pauses = [policy.pause_s(tries, Lost("x"), 1.0) for tries in range(1, 10)]
    assert pauses == [1.0, 2.0, 4.0, 5.0, 5.0, 5.0, 5.0, None, None]


@pytest.mark.parametrize(
    ("retry_after", "pause_s"), [("3", 3.1), ("0", 0.1), ("soon", 0.1), ("30", 30.1), ("31", None)]
)
def test_the_servers_wish_is_respected(retry_after: str, pause_s: float | None) -> None:
    """It is waited for, unless that takes longer than the caller wants to."""
    answer = _answer(503, retry_after=retry_after)
    assert RetryPolicy().pause_s(1, answer, 0.5) == pause_s


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (409, errors.ConflictError),
        (422, errors.InvalidRequestError),
        (429, errors.RateLimitedError),
        (500, errors.ServerError),
        (503, errors.UnavailableError),
    ],
)
def test_each_status_has_its_error(status: int, kind: type[errors.APIError]) -> None:
    """All of them under one base."""
    error = api_error(_answer(status))
    assert type(error) is kind
    assert isinstance(error, errors.TurnoutError)


def test_a_fault_of_the_query_names_its_parameter() -> None:
    """There is no place in a body to point to."""
    fault = {"parameter": "limit", "code": "invalid_query", "detail": "must be less"}
    body = json.dumps(PROBLEM | {"errors": [fault]}).encode()
    [found] = api_error(_answer(400, body)).errors
    assert found == errors.FieldFault("", "invalid_query", "must be less", "limit")


def test_a_problem_is_read_whole() -> None:
    """Code, detail, request and the faults of the body."""
    error = api_error(_answer(422, json.dumps(PROBLEM).encode(), retry_after="2"))
    assert (error.status, error.code, error.request_id) == (422, "amount_out_of_range", "req-1")
    assert error.errors == (errors.FieldFault("/amountInCents", "amount_out_of_range", "too low"),)
    assert error.retry_after_s == 2.0
    assert str(error) == (
        "422 amount_out_of_range: amountInCents must be at least 1 (request req-1)"
    )


@pytest.mark.parametrize("body", [b"<html>Bad Gateway</html>", b"[]", b"", b'{"errors": 7}'])
def test_a_proxys_page_is_an_error_too(body: bytes) -> None:
    """Without a problem document there is still a status and perhaps a request id."""
    error = api_error(_answer(502, body, x_request_id="req-2"))
    assert (type(error), error.code, error.request_id) == (
        errors.UnavailableError,
        "unknown",
        "req-2",
    )


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"\xff"])
def test_a_success_that_is_no_object_is_unexpected(body: bytes) -> None:
    """Nothing is guessed."""
    with pytest.raises(errors.UnexpectedAnswerError, match="the answer"):
        read_object(_answer(200, body))
