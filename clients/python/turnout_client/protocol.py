"""What the client says and hears, without I/O: steps for a driver to take, answers to judge.

Theory of operation. Each call of the client is a generator in `turnout_client.core`. It yields
steps (send this request; sleep so long) and is sent back what came of them. A driver, blocking or
on Trio, takes the steps; everything that decides stands in the generators, once for both.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

from turnout_client.errors import APIError, FieldFault, UnexpectedAnswerError, error_class

T = TypeVar("T")

ANSWER_BYTES_MAX: Final = 8_388_608  # a page of 100 intents is a tenth of this
RETRIED_STATUSES: Final = frozenset({429, 502, 503, 504})
_FAULT_MEMBERS: Final = ("pointer", "code", "detail", "parameter")


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request; `Host` and `Content-Length` stand among the headers."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One whole HTTP answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


@dataclass(frozen=True)
class Lost:
    """No whole answer came: what the server did is unknown."""

    reason: str


@dataclass(frozen=True)
class Sleep:
    """Wait so long."""

    duration_s: float


Steps = Generator[Request | Sleep, Answer | Lost | None, T]


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where the server is, from `api_url`."""

    secure: bool
    host: str  # for connecting
    port: int
    host_header: str  # lower case, with a port only if the URL has one

    @classmethod
    def parse(cls, api_url: str) -> Address:
        """Read `http://127.0.0.1:8080` or `https://pay.example`.

        Raises:
            ValueError: another scheme, no host, or more than scheme, host and port.
        """
        parts = urlsplit(api_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("api_url: must begin with http:// or https:// and a host")
        if parts.path not in ("", "/") or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("api_url: must be scheme, host and port only")
        secure = parts.scheme == "https"
        return cls(
            secure=secure,
            host=parts.hostname,
            port=parts.port or (443 if secure else 80),
            host_header=parts.netloc.lower(),
        )


@dataclass(frozen=True, kw_only=True)
class RetryPolicy:
    """How often and how patiently a request is sent again.

    Attributes:
        tries_max: the first one included.
        backoff_s: the longest pause after the first try; it doubles with each.
        backoff_max_s: it doubles up to this.
        retry_after_max_s: a server that asks for more patience than this is not waited for.
    """

    tries_max: int = 5
    backoff_s: float = 0.2
    backoff_max_s: float = 5.0
    retry_after_max_s: float = 30.0

    def pause_s(
        self, tries: int, answer: Answer | Lost, jitter: float, *, outdated: bool = False
    ) -> float | None:
        """How long to wait before sending again; None = do not.

        Args:
            tries: so far, at least 1.
            answer: to the latest.
            jitter: 0 to 1, drawn by the caller, so that clients do not come back all at once.
            outdated: the request was refused only for when it was signed.
        """
        retried = isinstance(answer, Lost) or answer.status in RETRIED_STATUSES or outdated
        if not retried or tries >= self.tries_max:
            return None
        asked_s = 0.0 if isinstance(answer, Lost) else retry_after_s(answer)
        if asked_s > self.retry_after_max_s:
            return None
        longest_s: float = min(self.backoff_s * 2 ** (tries - 1), self.backoff_max_s)
        return asked_s + jitter * longest_s


def retry_after_s(answer: Answer) -> float:
    """`Retry-After` in seconds; 0 if it is absent or a date."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0


def read_object(answer: Answer) -> Mapping[str, Any]:
    """The JSON object that a successful answer carries.

    Raises:
        UnexpectedAnswerError: it carries something else.
    """
    try:
        value = json.loads(answer.body)
    except ValueError:
        raise UnexpectedAnswerError(f"the answer ({answer.status}) is not JSON") from None
    if not isinstance(value, dict):
        raise UnexpectedAnswerError(f"the answer ({answer.status}) is not a JSON object")
    return value


def api_error(answer: Answer) -> APIError:
    """The error that an answer of 300 or more stands for; proxies' pages included."""
    try:
        problem = read_object(answer)
    except UnexpectedAnswerError:
        problem = {}
    faults = problem.get("errors")
    return error_class(answer.status)(
        status=answer.status,
        code=str(problem.get("code") or "unknown"),
        detail=str(problem.get("detail") or problem.get("title") or "no problem document"),
        request_id=str(problem.get("requestId") or answer.headers.get("x-request-id", "")),
        errors=tuple(
            FieldFault(*(str(fault.get(name, "")) for name in _FAULT_MEMBERS))
            for fault in (faults if isinstance(faults, list) else [])
            if isinstance(fault, dict)
        ),
        retry_after_s=retry_after_s(answer),
    )
