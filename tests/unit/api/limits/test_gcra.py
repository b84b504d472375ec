"""A rate admits what a bucket of tokens would, and remembers no more senders than it may."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.limits.gcra import NS_PER_S, Meter, Rate

MS = 1_000_000


def meter(per_s: float = 10.0, burst: int = 3, senders_max: int = 100) -> Meter:
    """A meter of 10 a second, 3 at once, unless told otherwise."""
    return Meter(Rate(per_s, burst), senders_max=senders_max)


@pytest.mark.parametrize(
    ("at_ms", "waits_ms"),
    [
        pytest.param([0, 0, 0, 0], [0, 0, 0, 100], id="a burst, and then no more"),
        pytest.param([0, 0, 0, 99, 100], [0, 0, 0, 1, 0], id="one comes back each interval"),
        pytest.param([0, 0, 0, 100, 100], [0, 0, 0, 0, 100], id="one, not two"),
        pytest.param([0, 100, 200, 300, 400], [0] * 5, id="the steady rate for ever"),
        pytest.param([0, 0, 0, 300, 300, 300, 300], [0] * 6 + [100], id="all comes back in time"),
        pytest.param(
            [0, 0, 0, 10, 20, 100], [0, 0, 0, 90, 80, 0], id="asking in vain costs nothing"
        ),
    ],
)
def test_a_rate_over_time(at_ms: list[int], waits_ms: list[int]) -> None:
    """Each of some requests is admitted, or told how long to wait."""
    measured = meter()
    waits = [measured.take(b"a", 10 * NS_PER_S + ms * MS) for ms in at_ms]
    assert waits == [ms * MS for ms in waits_ms]
    assert measured.refused_total == sum(1 for wait in waits if wait)


class Bucket:
    """Tokens in exact fractions: what the meter is held to."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.tokens, self.at = rate, Fraction(rate.burst), 0

    def take(self, now_ns: int) -> bool:
        """Take a token if there is a whole one."""
        gained = Fraction(now_ns - self.at, self.rate.interval_ns)
        self.tokens = min(Fraction(self.rate.burst), self.tokens + gained)
        self.at = now_ns
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


@given(
    rate=st.builds(Rate, st.sampled_from([0.5, 1.0, 3.0, 7.5, 1_000.0]), st.integers(1, 6)),
    steps=st.lists(
        st.tuples(st.integers(0, 3), st.one_of(st.just(0), st.integers(0, 3 * NS_PER_S))),
        max_size=60,
    ),
)
def test_a_meter_admits_what_a_bucket_of_tokens_does(
    rate: Rate, steps: list[tuple[int, int]]
) -> None:
    """For several senders, over any times, through every turn of its generations."""
    measured, buckets, now_ns = Meter(rate, senders_max=100), [Bucket(rate) for _ in range(4)], 0
    for sender, passed_ns in steps:
        now_ns += passed_ns
        wait_ns = measured.take(b"%d" % sender, now_ns)
        assert (wait_ns == 0) is buckets[sender].take(now_ns)


@given(
    burst=st.integers(1, 5),
    gaps=st.lists(st.integers(0, NS_PER_S), min_size=1, max_size=30),
)
def test_the_wait_is_the_shortest_that_helps(burst: int, gaps: list[int]) -> None:
    """Asked again after it, a request is admitted; a nanosecond earlier it is not."""
    measured, now_ns = Meter(Rate(4.0, burst), senders_max=9), 0
    for gap_ns in gaps:
        now_ns += gap_ns
        if wait_ns := measured.take(b"a", now_ns):
            assert measured.take(b"a", now_ns + wait_ns - 1) == 1
            now_ns += wait_ns
            assert measured.take(b"a", now_ns) == 0


def test_senders_do_not_share() -> None:
    """One that has used up its burst leaves the others theirs."""
    measured = meter(burst=1)
    assert [measured.take(sender, 0) for sender in (b"a", b"b")] == [0, 0]
    assert measured.take(b"a", 0) > 0


def test_what_is_given_back_can_be_taken_again() -> None:
    """Also from a sender of the generation before, and nothing from one that is forgotten."""
    measured = meter(burst=20)  # 2 s to come back: a generation lasts as long
    for _ in range(20):
        measured.take(b"a", 0)
    measured.give_back(b"a")
    assert (measured.take(b"a", 0), measured.take(b"a", 0)) == (0, 100 * MS)
    measured.take(b"b", 2 * NS_PER_S - 1)
    measured.give_back(b"b")
    measured.give_back(b"nobody")
    assert len(measured) == 2


@pytest.mark.parametrize("turns", [1, 2])
def test_a_turn_of_generations_forgives_nothing(turns: int) -> None:
    """A burst used up just before a generation ends is still used up in the next, and the third."""
    measured = meter(burst=20)  # a generation lasts 2 s, and as long a burst takes to come back
    measured.take(b"other", 0)
    at = 2 * NS_PER_S - 1
    assert [measured.take(b"a", at) for _ in range(20)] == [0] * 20
    for turn in range(turns):
        measured.take(b"other", (turn + 1) * 2 * NS_PER_S)
    later = turns * 2 * NS_PER_S
    owed = 20 - (later - at) // (100 * MS)
    admitted = sum(measured.take(b"a", later) == 0 for _ in range(40))
    assert admitted == 20 - max(0, owed)


def test_memory_follows_the_senders_of_the_last_moments() -> None:
    """A hundred thousand that each ask once leave no more than two generations of them."""
    measured = meter(burst=10, senders_max=1_000_000)  # generations of a second
    largest = 0
    for number in range(100_000):
        measured.take(b"%d" % number, number * MS)  # a thousand a second
        largest = max(largest, len(measured))
    assert largest <= 2_001
    assert measured.forgotten_early_total == 0


def test_strangers_cannot_make_it_grow() -> None:
    """More senders at once than it may remember end a generation early, and are counted."""
    measured = meter(senders_max=100)
    for number in range(10_000):
        assert measured.take(b"%d" % number, 0) == 0
        assert len(measured) <= 201
    assert measured.forgotten_early_total >= 9_700


def test_those_who_stay_are_not_forgotten_early() -> None:
    """A sender that goes on asking amid a flood of others keeps its debt."""
    measured = meter(burst=2, senders_max=100)
    admitted = 0
    for number in range(5_000):
        measured.take(b"%d" % number, 0)
        if number % 50 == 0:
            admitted += measured.take(b"busy", 0) == 0
    assert admitted <= 4  # twice its burst, of a hundred


@pytest.mark.parametrize(("per_s", "burst"), [(0.0, 1), (-1.0, 1), (1.0, 0), (float("nan"), 1)])
def test_a_rate_of_nothing_is_refused(per_s: float, burst: int) -> None:
    """It would admit nothing, for ever."""
    with pytest.raises(ValueError, match="more than 0"):
        Rate(per_s, burst)
