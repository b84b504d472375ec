"""Merchants: loaded once, forgotten from time to time."""

from __future__ import annotations

from collections.abc import Sequence

import trio

from switch.core.messages import Acceptor
from switch.operations.acceptors import Acceptors
from tests.support.pipeline import ACCEPTOR


async def test_merchants_are_loaded_once_until_forgotten() -> None:
    """One that does not exist is asked for each time: it may come to exist."""
    asked: list[list[bytes]] = []

    async def load(ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
        await trio.lowlevel.checkpoint()
        asked.append(list(ids))
        return dict.fromkeys(set(ids) - {b"?"}, ACCEPTOR)

    acceptors = Acceptors(load)
    assert await acceptors.find([b"b", b"?", b"a"]) == {b"a": ACCEPTOR, b"b": ACCEPTOR}
    assert await acceptors.find([b"a"]) == {b"a": ACCEPTOR}
    await acceptors.find([b"a", b"?"])
    acceptors.forget()
    await acceptors.find([b"a"])
    assert asked == [[b"?", b"a", b"b"], [b"?"], [b"a"]]
