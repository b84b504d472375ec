"""What pipeline tests share: charges, a peer that keeps its replies, a worker under control."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chassis.mux import MuxClosedError
from hsm_sim.wire import OpenCards
from switch.wire import Charge


class Peer:
    """An api connection that remembers what it was told."""

    def __init__(self) -> None:
        self.replies: dict[int, Any] = {}

    def reply(self, request_id: int, body: Any) -> None:
        """Keep one reply; a second to the same request is a fault."""
        assert request_id not in self.replies, "a request is answered once"
        self.replies[request_id] = body


class Worker:
    """An HSM worker that answers when the test says so."""

    def __init__(self) -> None:
        self.connected = True
        self.asked: list[tuple[OpenCards, Callable[[Any], None]]] = []
        self.forgotten: list[int] = []

    def submit(self, request: OpenCards, deliver: Callable[[Any], None]) -> int:
        """Queue a request."""
        if not self.connected:
            raise MuxClosedError("not connected")
        self.asked.append((request, deliver))
        return len(self.asked)

    def forget(self, request_id: int) -> None:
        """Note that nobody waits for this request any more."""
        self.forgotten.append(request_id)


def charge(number: int, *, key: int | None = None, request: int = 0) -> Charge:
    """A charge of intent `number` under idempotency key `key`."""
    return Charge(
        intent_id=number.to_bytes(16),
        merchant_id=b"m" * 16,
        publishable_key="pk_test_docs",
        live=False,
        ciphertext="v1.kid.text",
        key_digest=(number if key is None else key).to_bytes(16),
        request_hash=request.to_bytes(16),
        request_id=bytes(16),
    )
