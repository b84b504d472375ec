"""What every POST must bring beside its body: that it is JSON, and an idempotency key."""

from __future__ import annotations

from typing import Final

from api.auth.credentials import read_idempotency_key
from api.errors import Problem, ProblemError
from api.http.parser import Request

_JSON: Final = b"application/json"
_UTF_8: Final = frozenset({b"", b"charset=utf-8", b'charset="utf-8"'})


def posting_key(request: Request) -> bytes:
    """The idempotency key of a POST that says its body is JSON.

    Raises:
        ProblemError: `unsupported_media_type`, `idempotency_key_required` or
            `idempotency_key_invalid`.
    """
    check_media_type(request)
    key = read_idempotency_key(request)
    if key is None:
        raise ProblemError(Problem("idempotency_key_invalid"))
    if not key:
        raise ProblemError(Problem("idempotency_key_required"))
    return key


def check_media_type(request: Request) -> None:
    """See that a request says its body is JSON; raises ProblemError `unsupported_media_type`."""
    media_type = request.headers.get(b"content-type", b"")
    if media_type != _JSON:
        media_type, _, parameters = media_type.partition(b";")
        if media_type.strip().lower() != _JSON or parameters.strip().lower() not in _UTF_8:
            raise ProblemError(Problem("unsupported_media_type"))
