"""What an exception says, once Trio's nurseries have wrapped it."""

from __future__ import annotations

import trio

from chassis.causes import first_cause, in_words


async def test_nurseries_are_unwrapped() -> None:
    """The cause is told, not the number of sub-exceptions."""

    async def fail() -> None:
        raise ValueError("networks.vsim.dialect:\n no such dialect")

    caught: BaseException | None = None
    try:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            inner.start_soon(fail)
            outer.start_soon(trio.sleep_forever)
    except BaseExceptionGroup as group:
        caught = group
    assert caught is not None
    assert isinstance(first_cause(caught), ValueError)
    assert in_words(caught) == "ValueError: networks.vsim.dialect: no such dialect"


def test_an_exception_without_text_is_its_type() -> None:
    """There is no colon with nothing behind it."""
    assert in_words(AssertionError()) == "AssertionError"
