"""One request, sent again until there is an answer to act on; signed anew each time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from turnout_client.errors import ConnectionLostError, UnexpectedAnswerError
from turnout_client.protocol import (
    Address,
    Answer,
    Lost,
    Request,
    RetryPolicy,
    Sleep,
    Steps,
    api_error,
    read_object,
)
from turnout_client.sign import (
    NONCE_BYTES,
    canonical_string,
    nonce_of,
    signature,
    timestamp_of,
)

IDEMPOTENCY_KEY_BYTES: Final = 16
WINDOW_S: Final = 300.0  # how far the server lets our clock be from its own
_JSON: Final = "application/json"


@dataclass(kw_only=True)
class Exchanger:
    """Who asks, whom, by which clocks, and how patiently.

    Attributes:
        publishable_key: `pk_…`.
        secret_key: `sk_…`.
        address: of the server.
        policy: for retries.
        now: the wall clock, aware.
        monotonic_s: a clock that does not step.
        random: draws so many random bytes.
    """

    publishable_key: str
    secret_key: str = field(repr=False)
    address: Address
    policy: RetryPolicy
    now: Callable[[], datetime]
    monotonic_s: Callable[[], float]
    random: Callable[[int], bytes]

    def __post_init__(self) -> None:
        """Refuse keys in each other's place before they go anywhere."""
        if not self.publishable_key.startswith(("pk_test_", "pk_live_")):
            raise ValueError("publishable_key: must begin with pk_test_ or pk_live_")
        if not self.secret_key.startswith(("sk_test_", "sk_live_")):
            raise ValueError("secret_key: must begin with sk_test_ or sk_live_")
        if self.secret_key[3:7] != self.mode:
            raise ValueError("secret_key: is of another mode than publishable_key")

    @property
    def mode(self) -> str:
        """The mode of the keys: test or live."""
        return self.publishable_key[3:7]

    def exchange(
        self,
        method: str,
        target: str,
        members: Mapping[str, Any] | None = None,
        idempotency_key: str = "",
        *,
        signed: bool = True,
    ) -> Steps[Answer]:
        """Send until there is an answer to act on; the body is the same each time.

        Raises:
            APIError: the answer is a refusal.
            ConnectionLostError: there was none.
        """
        body = b"" if members is None else json.dumps(members, ensure_ascii=False).encode()
        tries = 0
        while True:
            request = self._request(method, target, body, idempotency_key, signed=signed)
            answer = yield request
            if answer is None:
                raise AssertionError("a request was not sent")
            tries += 1
            jitter = int.from_bytes(self.random(4), "big") / 2**32
            outdated = not isinstance(answer, Lost) and self._is_outdated(answer)
            pause_s = self.policy.pause_s(tries, answer, jitter, outdated=outdated)
            if pause_s is None:
                break
            yield Sleep(pause_s)
        if isinstance(answer, Lost):
            raise ConnectionLostError(f"{answer.reason} (after {tries} tries)", idempotency_key)
        if answer.status >= 300:
            raise api_error(answer)
        return answer

    def _request(
        self, method: str, target: str, body: bytes, idempotency_key: str, *, signed: bool
    ) -> Request:
        """One try: new timestamp and nonce, everything else as before."""
        content_type = _JSON if body else ""
        optional = {
            "Content-Type": content_type,
            "Idempotency-Key": idempotency_key,
            "Content-Length": str(len(body)) if body or method == "POST" else "",
        }
        headers = {"Host": self.address.host_header, "Accept": f"{_JSON}, application/problem+json"}
        headers |= {name: value for name, value in optional.items() if value}
        if signed:
            timestamp, nonce = timestamp_of(self.now()), nonce_of(self.random(NONCE_BYTES))
            canonical = canonical_string(
                publishable_key=self.publishable_key,
                timestamp=timestamp,
                nonce=nonce,
                method=method,
                host=self.address.host_header,
                target=target,
                content_type=content_type,
                idempotency_key=idempotency_key,
                body=body,
            )
            headers |= {
                "Authorization": f"Bearer {self.publishable_key}",
                "X-Request-Timestamp": timestamp,
                "X-Request-Nonce": nonce,
                "X-Signature": signature(self.secret_key, canonical),
            }
        return Request(method=method, target=target, headers=tuple(headers.items()), body=body)

    def _is_outdated(self, answer: Answer) -> bool:
        """Whether a time stamp was refused although our clock is right.

        A server that has restarted refuses what was signed before, for it cannot know whether it
        has seen the nonce; signed again, the same request is good.
        """
        if answer.status != 401:
            return False
        try:
            problem = read_object(answer)
            server_time = datetime.fromisoformat(str(problem.get("serverTime")))
            distance_s = abs((server_time - self.now()).total_seconds())
        except (UnexpectedAnswerError, ValueError, TypeError):
            return False
        return problem.get("code") == "timestamp_outside_window" and distance_s < WINDOW_S

    def key_for(self, given: str | None) -> str:
        """The idempotency key that the caller has given, or a new one.

        Raises:
            ValueError: the server would not take it.
        """
        if given is None:
            return self.random(IDEMPOTENCY_KEY_BYTES).hex()
        if not (1 <= len(given) <= 255 and given.isascii() and given.isprintable()):
            raise ValueError("idempotency_key: must be 1 to 255 printable ASCII characters")
        return given
