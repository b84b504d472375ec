"""Searching a partition for an offset of the log, over every shape of partition."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.stream.errors import StreamMissingError
from ledger.stream.kafka.places import Probe, search


def _play(messages: list[Probe], wanted: int, low: int, high: int) -> tuple[int, int]:
    """(place, probes it took), answering as a partition would."""
    searching, probes = search(wanted, low, high), 0
    answer: Probe | None = None
    while True:
        try:
            at = searching.send(answer)
        except StopIteration as ended:
            return ended.value, probes
        answer = next((message for message in messages if message.at >= at), None)
        probes += 1


@given(
    gaps=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 9)), max_size=60),
    markers=st.integers(0, 5),
    data=st.data(),
)
def test_nothing_from_the_wanted_offset_on_is_missed(
    gaps: list[tuple[int, int]], markers: int, data: st.DataObject
) -> None:
    """And nothing older is read again, whatever gaps markers and other partitions leave."""
    messages, at, offset = [], 0, 0
    for at_gap, offset_gap in gaps:
        messages.append(Probe(at, offset))
        at, offset = at + at_gap, offset + offset_gap
    high = (messages[-1].at + 1 if messages else 0) + markers
    wanted = data.draw(st.integers(0, offset + 1))
    place, _ = _play(messages, wanted, 0, high)
    read = [message.offset for message in messages if message.at >= place]
    assert read == [message.offset for message in messages if message.offset >= wanted]


def test_a_place_near_the_end_is_found_by_a_few_probes() -> None:
    """However long the partition is; one far away takes more."""
    messages = [Probe(number, number) for number in range(100_000)]
    assert _play(messages, 99_999, 0, 100_001)[1] <= 4
    assert _play(messages, 50_000, 0, 100_001)[1] <= 26


def test_what_was_removed_is_a_gap() -> None:
    """Where old messages are gone, a cursor before what is left is refused."""
    messages = [Probe(number, number) for number in range(50, 60)]
    assert _play(messages, 50, 50, 60)[0] == 50
    assert _play(messages, 57, 50, 60)[0] == 57
    with pytest.raises(
        StreamMissingError, match="offset 49 may be lost: what is left begins at 50"
    ):
        _play(messages, 49, 50, 60)
    with pytest.raises(StreamMissingError, match="nothing is left"):
        _play([], 49, 60, 60)
