"""What every POST must bring: JSON, said to be JSON, under an idempotency key."""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from api.auth.credentials import read_idempotency_key
from api.errors import Problem, ProblemError
from api.http.parser import Request
from api.json_body import read_object


class Posting(Struct, frozen=True, gc=False):
    """The idempotency key and the body, still untyped."""

    key: bytes
    value: dict[str, Any]


def read_posting(request: Request) -> Posting:
    """Read a POST.

    Raises:
        ProblemError: `unsupported_media_type`, `idempotency_key_required`,
            `idempotency_key_invalid`, or what `read_object` raises.
    """
    media_type = request.headers.get(b"content-type", b"")
    if media_type != b"application/json":
        media_type, _, parameters = media_type.partition(b";")
        if (
            media_type.strip().lower() != b"application/json"
            or parameters.strip().lower() not in _UTF_8
        ):
            raise ProblemError(Problem("unsupported_media_type"))
    key = read_idempotency_key(request)
    if key is None:
        raise ProblemError(Problem("idempotency_key_invalid"))
    if not key:
        raise ProblemError(Problem("idempotency_key_required"))
    return Posting(key, read_object(request.body))


_UTF_8 = frozenset({b"", b"charset=utf-8", b'charset="utf-8"'})
