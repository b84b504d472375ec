"""Ids: RFC 9562 layout, strict growth, and an outer form that reads back."""

from __future__ import annotations

import os
import uuid
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.ids import (
    IdError,
    UUID7Source,
    event_id,
    lowest_id_at,
    parse_id,
    public_id,
    shard_of,
    uuid7_time_us,
)

SIXTEEN_BYTES = st.binary(min_size=16, max_size=16)
INSTANT_US = st.integers(min_value=0, max_value=(1 << 48) * 1_000 - 1_000_000)


def test_layout_is_version_7_of_rfc_9562() -> None:
    """Python's own uuid module sees version 7, the RFC variant and our milliseconds."""
    source = UUID7Source(lambda: 1_767_323_045_678_901, os.urandom)
    value = uuid.UUID(bytes=source.next())
    assert value.version == 7
    assert value.variant == uuid.RFC_4122
    assert value.int >> 80 == 1_767_323_045_678


@given(st.integers(0, 255), st.binary(min_size=8, max_size=8))
def test_an_id_says_which_shard_it_is_of(shard: int, noise: bytes) -> None:
    """Whatever the random bits are: drawn one by one or as a batch, the shard reads back."""
    source = UUID7Source(lambda: 0, lambda count: noise * (count // 8), shard=shard)
    assert [shard_of(id_) for id_ in (source.next(), *source.take(2))] == [shard] * 3
    assert uuid.UUID(bytes=source.next()).variant == uuid.RFC_4122


@pytest.mark.parametrize("shard", [-1, 256])
def test_a_shard_that_no_id_can_name_is_refused(shard: int) -> None:
    """Eight bits name 256 shards; one more would change the id's layout."""
    with pytest.raises(ValueError, match="from 0 to 255"):
        UUID7Source(lambda: 0, os.urandom, shard=shard)


@given(st.lists(INSTANT_US, min_size=1, max_size=50))
def test_ids_grow_whatever_the_clock_does(instants: list[int]) -> None:
    """A clock that stands, jumps or goes backwards never makes an id that is not higher."""
    clock = iter(instants)
    source = UUID7Source(lambda: next(clock), os.urandom)
    issued = [source.next() for _ in instants]
    assert all(low < high for low, high in pairwise(issued))


@given(INSTANT_US, INSTANT_US)
def test_ids_grow_over_processes_whatever_the_clock_does(before: int, after: int) -> None:
    """A source that follows another starts above its newest id, to the last fraction."""
    first = UUID7Source(lambda: before, lambda count: b"\xff" * count)
    newest = [first.next() for _ in range(3)][-1]
    following = UUID7Source(lambda: after, bytes, above=newest)
    assert newest < following.next() < following.next()


@given(st.lists(st.tuples(INSTANT_US, st.integers(0, 5)), min_size=1, max_size=20))
def test_ids_of_a_batch_grow_like_those_one_by_one(draws: list[tuple[int, int]]) -> None:
    """Batches, and single ids between them, are one growing row whatever the clock does."""
    clock = iter(instant for at_us, _ in draws for instant in (at_us, at_us))
    source = UUID7Source(lambda: next(clock), os.urandom)
    issued = [id_ for _, count in draws for id_ in (*source.take(count), source.next())]
    assert len(issued) == sum(count + 1 for _, count in draws)
    assert all(low < high for low, high in pairwise(issued))


def test_ids_of_a_batch_have_the_layout_of_single_ones() -> None:
    """The first of a batch is the id that `next` would have been, random bits included."""

    def source() -> UUID7Source:
        return UUID7Source(lambda: 1_767_323_045_678_901, lambda count: b"\xab" * count)

    first, second = source().take(2)
    one_by_one = source()
    assert (first, second) == (one_by_one.next(), one_by_one.next())


def test_random_bits_come_from_the_generator() -> None:
    """The 54 low bits are the generator's, eight bytes an id, over refills of its pool."""
    source = UUID7Source(lambda: 0, lambda count: b"\xff" * count)
    issued = [source.next() for _ in range(1_200)]
    assert {id_[8:] for id_ in issued} == {b"\x80\x3f" + b"\xff" * 6}
    assert len(set(issued)) == 1_200


@given(INSTANT_US)
def test_time_reads_back_to_the_microsecond(at_us: int) -> None:
    """An id tells when it was issued, at most one microsecond early."""
    found = uuid7_time_us(UUID7Source(lambda: at_us, os.urandom).next())
    assert at_us - 1 <= found <= at_us


@given(INSTANT_US)
def test_lowest_id_bounds_its_millisecond(at_us: int) -> None:
    """Ids issued in a millisecond lie at or above its lowest id, earlier ones below."""
    lowest = lowest_id_at(at_us)
    assert UUID7Source(lambda: at_us, bytes).next() >= lowest
    if at_us >= 1_000:
        earlier = UUID7Source(lambda: at_us - 1_000, lambda count: b"\xff" * count).next()
        assert earlier < lowest


@given(SIXTEEN_BYTES)
def test_public_form_reads_back(id_: bytes) -> None:
    """Every sixteen bytes survive the way out and in."""
    text = public_id("pi", id_)
    assert len(text) == 25
    assert parse_id("pi", text) == id_


@given(SIXTEEN_BYTES, SIXTEEN_BYTES)
def test_public_form_sorts_like_the_bytes(first: bytes, second: bytes) -> None:
    """The alphabet is in ASCII order, so cursors may compare texts."""
    assert (first < second) == (public_id("txn", first) < public_id("txn", second))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "does not start"),
        ("txn_" + "0" * 22, "does not start"),
        ("pi_", "not 22 characters"),
        ("pi_" + "0" * 21, "not 22 characters"),
        ("pi_" + "0" * 23, "not 22 characters"),
        ("pi_" + "0" * 21 + "-", "outside base62"),
        ("pi_" + "0" * 21 + "ä", "outside base62"),
        ("pi_" + "z" * 22, "past 128 bits"),
    ],
)
def test_bad_public_ids_are_refused(text: str, reason: str) -> None:
    """Anything we could not have issued is refused with its reason, never echoed."""
    with pytest.raises(IdError, match=reason) as caught:
        parse_id("pi", text)
    assert len(text) < 5 or text not in str(caught.value)


def test_highest_value_is_the_last_one_that_fits() -> None:
    """2^128 - 1 is an id, its successor is none."""
    highest = public_id("pi", b"\xff" * 16)
    assert parse_id("pi", highest) == b"\xff" * 16
    with pytest.raises(IdError, match="past 128 bits"):
        parse_id("pi", highest[:-1] + chr(ord(highest[-1]) + 1))


def test_event_ids_depend_on_table_key_and_version_alone() -> None:
    """The same row version names the same event again; any difference names another."""
    key = bytes(range(16))
    first = event_id("payment_intents", key, 3)
    assert len(first) == 16
    assert first == event_id("payment_intents", key, 3)
    others = {
        event_id("payment_intents", key, 4),
        event_id("transactions", key, 3),
        event_id("payment_intents", bytes(16), 3),
    }
    assert first not in others
    assert len(others) == 3
