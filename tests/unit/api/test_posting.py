"""What every POST must bring beside its body."""

from __future__ import annotations

import pytest

from api.errors import ProblemError
from api.http.parser import Request
from api.posting import posting_key


def request(**headers: bytes) -> Request:
    """A POST with these headers."""
    named = {name.replace("_", "-").encode(): value for name, value in headers.items()}
    return Request(b"POST", b"/", named, b'{"a":1}', keep_alive=True)


@pytest.mark.parametrize(
    "media_type",
    [
        b"application/json",
        b"Application/Json",
        b"application/json;charset=utf-8",
        b'application/json ; charset="UTF-8"',
    ],
)
def test_json_by_its_names(media_type: bytes) -> None:
    """Case and the charset that JSON has anyway do not matter."""
    assert posting_key(request(content_type=media_type, idempotency_key=b"k")) == b"k"


@pytest.mark.parametrize(
    "media_type",
    [
        b"",
        b"text/json",
        b"application/jsonx",
        b"application/json; charset=utf-16",
        b"application/x-www-form-urlencoded",
    ],
)
def test_other_media_types(media_type: bytes) -> None:
    """A form is not JSON, whatever it holds."""
    with pytest.raises(ProblemError) as caught:
        posting_key(request(content_type=media_type, idempotency_key=b"k"))
    assert caught.value.problem.code == "unsupported_media_type"


def test_keys_that_are_missing_or_bad() -> None:
    """Absence and a bad form have codes of their own."""
    for headers, code in (
        ({}, "idempotency_key_required"),
        ({"idempotency_key": b"\xff"}, "idempotency_key_invalid"),
    ):
        with pytest.raises(ProblemError) as caught:
            posting_key(request(content_type=b"application/json", **headers))
        assert caught.value.problem.code == code
