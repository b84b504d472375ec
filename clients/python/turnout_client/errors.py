"""What can go wrong, as types.

A declined card is none of these: it is a `Transaction` whose status is `failed`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FieldFault:
    """One fault in the body or the query of a request."""

    pointer: str  # JSON pointer (RFC 6901), such as /amountInCents; empty for a parameter
    code: str
    detail: str
    parameter: str = ""  # the name of a query parameter, such as limit


class TurnoutError(Exception):
    """Base of all errors of this client; never raised itself."""


class APIError(TurnoutError):
    """The server refused the request (RFC 9457). Decide by `code`, which is stable.

    Attributes:
        status: of HTTP.
        code: such as `amount_out_of_range`; `unknown` if the answer was no problem document.
        detail: a sentence for people.
        request_id: names the request in the server's log.
        errors: the faults of body or query, where there are any.
        retry_after_s: what the server asked for, or 0.
    """

    def __init__(
        self,
        *,
        status: int,
        code: str,
        detail: str,
        request_id: str,
        errors: tuple[FieldFault, ...] = (),
        retry_after_s: float = 0.0,
    ) -> None:
        super().__init__(f"{status} {code}: {detail} (request {request_id or 'unknown'})")
        self.status = status
        self.code = code
        self.detail = detail
        self.request_id = request_id
        self.errors = errors
        self.retry_after_s = retry_after_s


class InvalidRequestError(APIError):
    """The request itself is wrong (400, 405, 408, 413, 414, 415, 417, 422, 431)."""


class AuthenticationError(APIError):
    """Keys, clock or signature are wrong (401)."""


class PermissionDeniedError(APIError):
    """The key may not do this (403)."""


class NotFoundError(APIError):
    """There is no such thing, or it is another merchant's (404)."""


class ConflictError(APIError):
    """The thing is in a state that forbids this, or the idempotency key is taken (409)."""


class RateLimitedError(APIError):
    """Too much at once (429), still so after the last try."""


class UnavailableError(APIError):
    """The server cannot do it now (502, 503, 504), still so after the last try."""


class ServerError(APIError):
    """The server failed (other 5xx); what became of a POST may be asked with its key."""


class ConnectionLostError(TurnoutError):
    """No whole answer came, also not to the last try: what became of the request is unknown.

    Attributes:
        idempotency_key: the same request sent again with it has no second effect; empty for a
            call that only reads.
    """

    def __init__(self, reason: str, idempotency_key: str = "") -> None:
        super().__init__(reason)
        self.idempotency_key = idempotency_key


class UnexpectedAnswerError(TurnoutError):
    """The answer is not what the server's documentation promises; names the member."""


class WaitTimeoutError(TurnoutError):
    """The intent did not come to rest in time; it may still.

    Attributes:
        status: the last one seen.
    """

    def __init__(self, intent_id: str, status: str) -> None:
        super().__init__(f"{intent_id} is still {status}")
        self.status = status


_BY_STATUS: dict[int, type[APIError]] = {
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    429: RateLimitedError,
    502: UnavailableError,
    503: UnavailableError,
    504: UnavailableError,
}


def error_class(status: int) -> type[APIError]:
    """The error that a status of 400 or more is raised as."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else InvalidRequestError)
