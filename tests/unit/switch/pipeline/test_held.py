"""The queue of outcomes whose intents somebody sits on."""

from __future__ import annotations

import trio
import trio.testing

from switch.pipeline.held import Held

ONE, TWO, THREE = (bytes([number]) * 16 for number in (1, 2, 3))


def _holding(*items: tuple[bytes, str]) -> Held[str]:
    held: Held[str] = Held()
    for intent_id, item in items:
        held.put(intent_id, item)
    return held


async def test_each_intent_shows_its_first() -> None:
    """Up to so many intents, oldest first; what is shown stays until it is done."""
    held = _holding((ONE, "a"), (TWO, "b"), (ONE, "c"), (THREE, "d"))
    assert len(held) == held.peak == 4
    for _ in range(2):
        assert await held.heads(2) == [(ONE, "a"), (TWO, "b")]
    held.done(ONE)
    assert await held.heads(9) == [(TWO, "b"), (THREE, "d"), (ONE, "c")]
    assert (len(held), held.peak) == (3, 4)


async def test_an_intent_claims_what_comes_after(autojump_clock: trio.testing.MockClock) -> None:
    """As long as something of it is held, and no longer."""
    held = _holding((ONE, "a"))
    assert held.claim(ONE, "b")
    assert not held.claim(TWO, "c")
    for item in ("a", "b"):
        assert await held.heads(9) == [(ONE, item)]
        held.done(ONE)
    assert not held.claim(ONE, "d")
    assert len(held) == 0


async def test_who_is_put_back_lets_others_go_first() -> None:
    """So that a few locks that stay do not keep the rest from their turn."""
    held = _holding((ONE, "a"), (TWO, "b"), (THREE, "c"))
    held.put_back(ONE)
    assert await held.heads(1) == [(TWO, "b")]
    assert await held.heads(9) == [(TWO, "b"), (THREE, "c"), (ONE, "a")]


async def test_the_taker_waits_and_ends_when_closed_and_empty() -> None:
    """What is held at closing time is still shown."""
    held: Held[str] = Held()
    seen: list[list[tuple[bytes, str]]] = []

    async def take() -> None:
        while heads := await held.heads(9):
            seen.append(heads)
            for intent_id, _ in heads:
                held.done(intent_id)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        await trio.testing.wait_all_tasks_blocked()
        held.put(ONE, "a")
        await trio.testing.wait_all_tasks_blocked()
        held.put(TWO, "b")
        held.close()
        held.close()
    assert seen == [[(ONE, "a")], [(TWO, "b")]]
