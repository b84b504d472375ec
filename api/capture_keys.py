"""`GET /keys`: the HSM's public capture keys, fetched at most once a minute for all who ask."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import trio

from api.coalescing import put
from api.errors import Problem, ProblemError
from api.key_service import KeyService
from api.resources import CaptureKey, CaptureKeys
from chassis.stage import Inbox
from hsm_sim import wire

_encode = msgspec.json.Encoder().encode


def keys_document(keys: Sequence[wire.CaptureKey]) -> bytes:
    """The body of `GET /keys`."""
    return _encode(
        CaptureKeys(
            keys=[
                CaptureKey(
                    kid=key.kid,
                    suite=key.suite,
                    public_key=urlsafe_b64encode(key.public_key).rstrip(b"=").decode(),
                    state=key.state,
                    not_after=datetime.fromtimestamp(key.not_after, tz=UTC),
                )
                for key in keys
            ]
        )
    )


class CaptureKeyDirectory:
    """Keeps the document; `run` is the one task that fetches it.

    Args:
        key_service: the HSM.
        keep_s: how long a document is served.
        queue_max: requests waiting for the first one at most.
    """

    def __init__(self, key_service: KeyService, *, keep_s: float, queue_max: int) -> None:
        self._key_service = key_service
        self._keep_s = keep_s
        self._document = b""
        self._fetched_at = -keep_s
        self._waiting: list[Callable[[bytes | Problem], None]] = []
        self._queue_max = queue_max
        self._wanted: Inbox[None] = Inbox(1, name="capture keys")

    def get(self, deliver: Callable[[bytes | Problem], None]) -> None:
        """Deliver the document, at once if it is young enough.

        Raises:
            ProblemError: `overloaded` or `shutting_down`; nothing will be delivered.
        """
        if trio.current_time() - self._fetched_at < self._keep_s:
            deliver(self._document)
            return
        if len(self._waiting) >= self._queue_max:
            raise ProblemError(Problem("overloaded", retry_after_s=1))
        if not len(self._wanted):
            put(self._wanted, None)
        self._waiting.append(deliver)

    async def run(self) -> None:
        """Fetch when asked to, until `close`."""
        while await self._wanted.take(1):
            if not self._waiting:
                continue
            answer: bytes | Problem
            try:
                began = trio.current_time()
                answer = self._document = keys_document(await self._key_service.capture_keys())
                self._fetched_at = began
            except ProblemError as error:
                answer = error.problem
            waiting, self._waiting = self._waiting, []
            for deliver in waiting:
                deliver(answer)

    def close(self) -> None:
        """Fetch no more."""
        self._wanted.close()
