"""Asking the ledger what must be known: it is asked again for as long as it is away."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError

LOOK_AGAIN_S = 0.2  # a restart of Postgres takes a few times as long
Answer = TypeVar("Answer")


async def patiently(ask: Callable[[], Awaitable[Answer]]) -> Answer:
    """Ask until the ledger answers; for look-ups, which change nothing.

    Raises:
        DatabaseError: a fault of ours, such as a missing privilege.
    """
    while True:
        try:
            return await ask()
        except (RetryableError, ConnectionLostError, PoolOverloadError):
            await trio.sleep(LOOK_AGAIN_S)
