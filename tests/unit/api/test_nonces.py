"""The nonce table against a set that remembers everything."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.nonces import NonceTable, NonceTableFullError

RETENTION_S = 10.0


def table(slots: int = 16, *, forgotten_until_s: int = 0, now: float = 0.0) -> NonceTable:
    """A small table."""
    return NonceTable(
        slots,
        retention_s=RETENTION_S,
        forgotten_until_s=forgotten_until_s,
        now=now,
        key=b"0123456789abcdef",
    )


def use(nonces: NonceTable, nonce: bytes, now: float, key: bytes = b"pk") -> bool:
    """Use a nonce with a timestamp of now."""
    return nonces.use(key, nonce, int(now), now)


def test_a_nonce_is_new_once() -> None:
    """The second use is seen; another key or another nonce is another entry."""
    nonces = table()
    assert use(nonces, b"a", 0.0)
    assert not use(nonces, b"a", 1.0)
    assert use(nonces, b"a", 1.0, key=b"other")
    assert use(nonces, b"b", 1.0)


def test_key_and_nonce_do_not_run_together() -> None:
    """The border between key and nonce counts."""
    nonces = table()
    assert use(nonces, b"c", 0.0, key=b"ab")
    assert use(nonces, b"bc", 0.0, key=b"a")


def test_a_nonce_is_remembered_for_the_retention_and_forgotten_after_two() -> None:
    """Between one and two retentions, wherever in a generation it came in."""
    for at in (0.0, 5.0, 9.9):
        nonces = table()
        use(nonces, b"a", at)
        assert not use(nonces, b"a", at + RETENTION_S)
        assert use(table_after(at), b"a", at + 2 * RETENTION_S + 0.1)


def table_after(at: float) -> NonceTable:
    """A table that used `a` at an instant."""
    nonces = table()
    use(nonces, b"a", at)
    return nonces


def test_a_full_table_refuses_and_says_when() -> None:
    """Nothing is overwritten; what is known is still recognized; the next generation has room."""
    nonces = table(slots=16)
    for number in range(12):
        assert use(nonces, b"%d" % number, 1.0)
    assert nonces.used_ratio == 1.0
    with pytest.raises(NonceTableFullError) as caught:
        use(nonces, b"one more", 2.0)
    assert caught.value.retry_after_s == 9
    assert not use(nonces, b"5", 3.0)
    assert use(nonces, b"one more", 10.5)
    assert nonces.peak == 12


def test_what_is_forgotten_is_refused_by_its_timestamp() -> None:
    """The newest timestamp of a cleared generation becomes the oldest that is taken."""
    nonces = table(forgotten_until_s=5)
    assert nonces.forgotten_until_s == 5
    nonces.use(b"pk", b"a", 309, 9.0)
    nonces.use(b"pk", b"b", 30, 11.0)
    assert nonces.forgotten_until_s == 5
    nonces.use(b"pk", b"c", 30, 21.5)
    assert nonces.forgotten_until_s == 309


def test_a_long_silence_clears_both_generations() -> None:
    """After two retentions without a request nothing is left, and all of it counts as forgotten."""
    nonces = table()
    nonces.use(b"pk", b"a", 7, 1.0)
    assert nonces.use(b"pk", b"a", 50, 50.0)
    assert nonces.forgotten_until_s == 7
    assert nonces.used_ratio == 1 / 12


@pytest.mark.parametrize("slots", [0, 3, 12])
def test_slots_are_a_power_of_two(slots: int) -> None:
    """Anything else is a mistake in the settings."""
    with pytest.raises(ValueError, match="power of two"):
        table(slots)


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(0, 8, allow_nan=False)), max_size=60))
def test_it_behaves_like_a_set_with_a_clock(steps: list[tuple[int, float]]) -> None:
    """Never a replay within the retention, never a refusal of what is new or long forgotten."""
    nonces = table(slots=128)
    last_accepted: dict[int, float] = {}
    now = 0.0
    for number, pause_s in steps:
        now += pause_s
        accepted = use(nonces, b"%d" % number, now)
        age_s = now - last_accepted[number] if number in last_accepted else None
        if age_s is None or age_s > 2 * RETENTION_S:
            assert accepted
        elif age_s < RETENTION_S:
            assert not accepted
        if accepted:
            last_accepted[number] = now
