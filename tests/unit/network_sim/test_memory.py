"""What is remembered of decided messages, and how much at most."""

from __future__ import annotations

from network_sim.memory import Decided, DecidedMessages


def _decided(body: str = "body") -> Decided:
    return Decided(body, "00", 0)


def test_what_was_added_is_found() -> None:
    """A key leads to its message, another key to nothing."""
    messages = DecidedMessages(2)
    messages.add("a", _decided("first"))
    found = messages.get("a")
    assert found is not None
    assert found.body == "first"
    assert messages.get("b") is None


def test_the_oldest_is_forgotten_for_a_new_one() -> None:
    """The bound holds, and dropping is counted."""
    messages = DecidedMessages(2)
    for key in "abc":
        messages.add(key, _decided())
    assert messages.get("a") is None
    assert messages.get("b") is not None
    assert (len(messages), messages.forgotten_total) == (2, 1)


def test_replacing_takes_no_room() -> None:
    """A key that is remembered keeps its place in the queue."""
    messages = DecidedMessages(2)
    messages.add("a", _decided())
    messages.add("b", _decided())
    messages.add("a", _decided("second"))
    assert (len(messages), messages.forgotten_total) == (2, 0)
    messages.add("c", _decided())
    assert messages.get("a") is None
