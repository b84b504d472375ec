"""Leases by the clock: never two switches at once, and nobody is dead because we were away."""

from __future__ import annotations

import math
import random

import msgspec
import pytest

from chassis.settings import Settings
from ledger.rows import LeaseRow
from switch.core.lease import (
    DrawnIds,
    LeaseTerms,
    LeaseWatch,
    Validity,
    owner_of,
    switch_name,
)
from switch.core.numbers import RRNSource

TERMS = LeaseTerms(ttl_s=10, heartbeat_s=2, margin_s=2, silence_s=27)


def row(switch: str = "switch-0", *, epoch: int = 3, beat: int = 0) -> LeaseRow:
    """A lease after so many heartbeats."""
    return LeaseRow(switch, epoch, 1_800_000_000_000_000 + beat, bytes(16))


class Watcher:
    """A switch that looks at the leases; the ledger answers after a tenth of a second."""

    def __init__(self) -> None:
        self.watch = LeaseWatch(TERMS)
        self.now_s = 1_000.0

    def look(self, *rows: LeaseRow, held: frozenset[str] = frozenset()) -> list[str]:
        """One look, and then a heartbeat's pause."""
        asked_s = self.now_s
        silent = self.watch.look(rows, held, asked_s=asked_s, heard_s=asked_s + 0.1)
        self.now_s = asked_s + TERMS.heartbeat_s
        return [found.switch for found in silent]

    def until_silent(self, *rows: LeaseRow, looks_max: int = 100) -> int:
        """How many looks it takes until somebody may be taken over."""
        for count in range(1, looks_max + 1):
            if self.look(*rows):
                return count
        raise AssertionError("nobody is silent")


def test_the_terms_follow_from_the_settings() -> None:
    """A takeover waits for the time to live, the margin, and the slowest network's timer."""
    settings = Settings()
    slow = msgspec.structs.replace(settings.networks["msim"], response_deadline_s=15.0)
    networks = settings.networks | {"msim": slow}
    assert LeaseTerms.of(msgspec.structs.replace(settings, networks=networks)) == TERMS
    assert LeaseTerms.of(msgspec.structs.replace(settings, networks={})).silence_s == 12


def test_a_lease_counts_from_before_the_question_and_ends_a_margin_early() -> None:
    """However long the answer takes, the end does not move."""
    validity = Validity(TERMS)
    assert validity.until_s == -math.inf
    validity.renewed(100.0)
    assert validity.until_s == 108.0
    validity.renewed(99.0)  # an answer that was overtaken takes nothing back
    assert validity.until_s == 108.0


def test_a_lost_lease_does_not_come_back() -> None:
    """A heartbeat that was under way when the newer epoch was seen changes nothing."""
    validity = Validity(TERMS)
    validity.renewed(100.0)
    validity.lost()
    validity.renewed(101.0)
    assert validity.until_s == -math.inf


def test_a_lease_that_stands_still_may_be_taken_over() -> None:
    """Not before the silence has lasted for its full time, as seen from the first look on."""
    watcher = Watcher()
    began_s = watcher.now_s
    looks = watcher.until_silent(row())
    assert looks == 15
    elapsed_s = (looks - 1) * TERMS.heartbeat_s - 0.1
    assert elapsed_s >= TERMS.silence_s > elapsed_s - TERMS.heartbeat_s
    assert watcher.now_s - began_s > TERMS.silence_s


@pytest.mark.parametrize("change", [{"beat": 1}, {"epoch": 4}, {"beat": -7_200_000_000}])
def test_any_sign_of_life_starts_the_count_anew(change: dict[str, int]) -> None:
    """A heartbeat, a new epoch, or a heartbeat by a clock that was set back."""
    watcher = Watcher()
    for _ in range(14):
        assert watcher.look(row()) == []
    assert watcher.until_silent(row(**change)) == 15


def test_a_living_switch_is_never_silent() -> None:
    """As long as its heartbeats come further apart than ours, but within its time to live."""
    draw = random.Random(7)
    watcher = Watcher()
    for beat in range(200):
        for _ in range(draw.randrange(1, 6)):
            assert watcher.look(row(beat=beat)) == []


def test_silence_counts_only_while_we_look() -> None:
    """After a gap the ledger may have been away for everybody: nobody is dead yet."""
    watcher = Watcher()
    for _ in range(14):
        watcher.look(row())
    watcher.now_s += 1.1 * TERMS.heartbeat_s  # one look was missed, and the next came late
    assert watcher.look(row()) == []
    assert watcher.until_silent(row()) == 14  # the look after the gap was the first


def test_an_answer_that_was_long_in_coming_is_a_gap() -> None:
    """The ledger was away while the question waited, and nobody could renew."""
    watcher = Watcher()
    for _ in range(14):
        watcher.look(row())
    asked_s = watcher.now_s
    assert watcher.watch.look([row()], (), asked_s=asked_s, heard_s=asked_s + 60) == []
    watcher.now_s += 60
    assert watcher.until_silent(row()) == 15


def test_one_look_that_failed_is_no_gap() -> None:
    """A single heartbeat lost does not keep the dead alive."""
    watcher = Watcher()
    for _ in range(7):
        watcher.look(row())
    watcher.now_s += TERMS.heartbeat_s
    assert watcher.until_silent(row()) == 7


def test_our_own_leases_are_not_watched() -> None:
    """Nor counted: a lease let go must be silent from then on."""
    watcher = Watcher()
    ours = frozenset({"switch-1"})
    for _ in range(40):
        found = watcher.look(row("switch-1"), held=ours)
    assert found == []
    assert watcher.until_silent(row("switch-1")) == 15


def test_several_die_at_once() -> None:
    """Each lease has a count of its own."""
    watcher = Watcher()
    watcher.look(row("switch-0"))
    for beat in range(14):
        found = watcher.look(row("switch-0"), row("switch-2"), row("switch-3", beat=beat))
    assert found == ["switch-0"]
    assert watcher.look(row("switch-0"), row("switch-2"), row("switch-3", beat=99)) == [
        "switch-0",
        "switch-2",
    ]


def test_sender_and_taker_never_overlap() -> None:
    """Over heartbeats at any time, and answers however slow, one has stopped before the other."""
    draw = random.Random(11)
    for _ in range(300):
        validity, watcher = Validity(TERMS), Watcher()
        committed_s = watcher.now_s + draw.uniform(-5, 5)  # when the last heartbeat took effect
        validity.renewed(committed_s - draw.uniform(0, 3))
        beat = 0
        while True:
            beat = int(watcher.now_s >= committed_s)
            asked_s = watcher.now_s
            if watcher.look(row(beat=beat)):
                break
            watcher.now_s += draw.uniform(-0.5, 1.5)
        assert asked_s - validity.until_s >= TERMS.silence_s - TERMS.ttl_s + TERMS.margin_s


def test_ids_are_past_doubt_after_the_lag() -> None:
    """The newest id drawn long enough ago is the bound; before there is one, none is."""
    drawn = DrawnIds(60.0)
    ids = [number.to_bytes(16) for number in range(1, 100)]
    for number, id_ in enumerate(ids):
        drawn.note(2.0 * number, id_)
        if number < 30:
            assert drawn.before_lag(2.0 * number) == bytes(16)
    assert drawn.before_lag(2.0 * 98) == ids[68]
    assert drawn.before_lag(2.0 * 98 + 1_000) == ids[-1]
    assert drawn.before_lag(2.0 * 98 + 2_000) == ids[-1]


@pytest.mark.parametrize("index", [0, 1, 9, 10, 35])
def test_an_rrn_names_its_switch(index: int) -> None:
    """By its first character, in base 36."""
    rrn = RRNSource(index, lambda: 1_800_000_000_000_000).next()
    assert owner_of(rrn) == switch_name(index) == f"switch-{index}"
