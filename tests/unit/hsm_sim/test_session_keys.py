"""The life of a session key: every step, every wrong step, and any sequence of steps."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm_sim.keys import NEVER_S
from hsm_sim.session_keys import (
    KeyExchangeError,
    Ring,
    SessionKey,
    abandon,
    confirm,
    find,
    install,
    living,
    promote,
)

NOW_S = 1_000_000
OVERLAP_S = 120


def _key(key_id: str, check_value: str = "ABCDEF") -> SessionKey:
    return SessionKey(
        network="vsim",
        key_id=key_id,
        origin="imported",
        check_value=check_value,
        state="next",
        created_at_s=NOW_S,
        wrapped=key_id.encode(),
    )


def _promote(ring: Ring, key_id: str, now_s: int = NOW_S, previous_max: int = 4) -> Ring:
    return promote(ring, key_id, now_s=now_s, overlap_s=OVERLAP_S, previous_max=previous_max)


def _changed(ring: Ring, key_id: str, now_s: int = NOW_S) -> Ring:
    """A whole key change."""
    ring = install(living(ring, now_s), _key(key_id))
    return _promote(confirm(ring, key_id, "", now_s=now_s), key_id, now_s)


def _states(ring: Ring) -> dict[str, str]:
    return {key.key_id: key.state for key in ring}


def _refusal(call: Callable[[], object]) -> str:
    with pytest.raises(KeyExchangeError) as raised:
        call()
    return raised.value.code


def test_a_key_lives_its_life() -> None:
    """Next, confirmed, current, previous for the overlap, gone: each with its instant."""
    ring = install(_changed((), "01"), _key("02"))
    assert _states(ring) == {"01": "current", "02": "next"}
    ring = confirm(ring, "02", "abcdef", now_s=NOW_S + 5)
    assert _states(ring) == {"01": "current", "02": "next"}
    ring = _promote(ring, "02", NOW_S + 7)
    assert _states(ring) == {"02": "current", "01": "previous"}
    second = find(ring, "02")
    assert (second.confirmed_at_s, second.promoted_at_s) == (NOW_S + 5, NOW_S + 7)
    assert second.expires_at_s == NEVER_S
    expires_s = NOW_S + 7 + OVERLAP_S
    assert find(ring, "01").expires_at_s == expires_s
    assert _states(living(ring, expires_s - 1)) == {"02": "current", "01": "previous"}
    assert _states(living(ring, expires_s)) == {"02": "current"}


def test_the_first_key_has_no_predecessor() -> None:
    """A network's first exchange leaves one key."""
    assert _states(_changed((), "01")) == {"01": "current"}


def test_a_new_next_replaces_the_old_one() -> None:
    """Of an exchange that was broken off nothing stays; the same id may come again."""
    ring = install(_changed((), "01"), _key("02"))
    assert _states(install(ring, _key("03"))) == {"01": "current", "03": "next"}
    again = install(confirm(ring, "02", "", now_s=NOW_S), _key("02", "123456"))
    assert find(again, "02") == _key("02", "123456")


@pytest.mark.parametrize("key_id", ["01", "02"])
def test_an_id_in_use_is_not_given_again(key_id: str) -> None:
    """DE 53 must name one key only; after the overlap the old id is free."""
    ring = _changed(_changed((), "01"), "02")
    assert _refusal(lambda: install(ring, _key(key_id))) == "key_id_in_use"
    late = living(ring, NOW_S + OVERLAP_S)
    assert _states(install(late, _key("01"))) == {"02": "current", "01": "next"}


def test_an_unconfirmed_key_is_not_promoted() -> None:
    """MACs by a key that the peer may not have would all be refused."""
    ring = install((), _key("01"))
    assert _refusal(lambda: _promote(ring, "01")) == "not_confirmed"


def test_a_confirmation_for_another_key_is_refused() -> None:
    """The peer tells a check value, and it is not this key's."""
    ring = install((), _key("01"))
    assert _refusal(lambda: confirm(ring, "01", "ABCDEE", now_s=NOW_S)) == "wrong_check_value"


def test_repeated_steps_change_nothing() -> None:
    """An answer that was lost is asked for again."""
    ring = install((), _key("01"))
    confirmed = confirm(ring, "01", "", now_s=NOW_S)
    assert confirm(confirmed, "01", "", now_s=NOW_S + 9) is confirmed
    promoted = _promote(confirmed, "01")
    assert _promote(promoted, "01", NOW_S + 9) is promoted
    assert confirm(promoted, "01", "ABCDEF", now_s=NOW_S + 9) is promoted


def test_steps_out_of_turn_are_refused_by_name() -> None:
    """Unknown keys, and keys that are past the step."""
    ring = _changed(_changed((), "01"), "02")
    assert _refusal(lambda: _promote(ring, "01")) == "wrong_state"
    for key_id, code in (("01", "wrong_state"), ("02", "wrong_state"), ("03", "unknown_key")):
        assert _refusal(lambda key_id=key_id: abandon(ring, key_id)) == code
    assert _refusal(lambda: _promote(ring, "03")) == "unknown_key"
    assert _refusal(lambda: confirm(ring, "03", "", now_s=NOW_S)) == "unknown_key"


def test_an_abandoned_next_is_gone() -> None:
    """And the current key is as it was."""
    ring = _changed((), "01")
    assert abandon(install(ring, _key("02")), "02") == ring


def test_previous_keys_are_bounded() -> None:
    """Whoever changes keys every second within one overlap keeps the latest ones."""
    ring: Ring = ()
    for number in range(8):
        ring = _changed(ring, f"0{number}", NOW_S + number)
    assert _states(ring) == {
        "07": "current",
        "06": "previous",
        "05": "previous",
        "04": "previous",
        "03": "previous",
    }


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["install", "confirm", "promote", "abandon", "wait"]),
        st.sampled_from(["01", "02", "03"]),
        st.integers(0, 200),
    ),
    max_size=40,
)


def _step(ring: Ring, step: str, key_id: str, now_s: int) -> Ring:
    match step:
        case "install":
            return install(ring, _key(key_id))
        case "confirm":
            return confirm(ring, key_id, "", now_s=now_s)
        case "promote":
            return _promote(ring, key_id, now_s)
        case "abandon":
            return abandon(ring, key_id)
        case _:
            return ring


@given(STEPS)
def test_whatever_is_asked_the_ring_stays_sound(steps: list[tuple[str, str, int]]) -> None:
    """One current at most, one next at most, ids unique, and a current key never vanishes."""
    ring: Ring = ()
    now_s, has_had_current = NOW_S, False
    for step, key_id, pause_s in steps:
        now_s += pause_s if step == "wait" else 0
        ring = living(ring, now_s)
        with suppress(KeyExchangeError):
            ring = _step(ring, step, key_id, now_s)
        states = [key.state for key in ring]
        assert states.count("current") <= 1
        assert states.count("next") <= 1
        assert len(_states(ring)) == len(ring) <= 6
        assert not has_had_current or "current" in states
        assert states == sorted(states, key=["current", "next", "previous"].index)
        assert all((key.state == "previous") == (key.expires_at_s != NEVER_S) for key in ring)
        has_had_current = "current" in states
