"""Answers that wait for their time."""

from __future__ import annotations

from functools import partial
from math import inf

from network_sim.delays import DelayedAnswers


def test_due_answers_leave_oldest_first() -> None:
    """Whatever the order of arrival; equal times keep it."""
    sent: list[bytes] = []
    delayed = DelayedAnswers(10)
    for due_at, answer in ((3.0, b"c"), (1.0, b"a"), (2.0, b"b1"), (2.0, b"b2")):
        delayed.add(due_at, partial(sent.append, answer))
    delayed.send_due(2.0)
    assert sent == [b"a", b"b1", b"b2"]
    assert delayed.next_due_at == 3.0


def test_nothing_waits_for_ever() -> None:
    """With nothing waiting, nothing is ever due."""
    delayed = DelayedAnswers(1)
    assert delayed.next_due_at == inf
    delayed.send_due(1e9)
    assert len(delayed) == 0


def test_an_answer_too_many_is_lost_and_counted() -> None:
    """The bound holds; the peak tells how close it came."""
    sent: list[bytes] = []
    delayed = DelayedAnswers(1)
    delayed.add(1.0, partial(sent.append, b"kept"))
    delayed.add(0.5, partial(sent.append, b"lost"))
    delayed.send_due(2.0)
    assert sent == [b"kept"]
    assert (delayed.lost_total, delayed.peak) == (1, 1)
