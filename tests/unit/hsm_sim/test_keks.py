"""Key-exchange keys from components: the XOR, and every way in which people get it wrong."""

from __future__ import annotations

from functools import reduce
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.mac import check_value_text
from chassis.secrets import Key
from hsm_sim.keks import combine, install_kek
from hsm_sim.session_keys import KeyExchangeError
from tests.support.hsm import NOW_S
from tests.support.hsm_keys import KEK, NETWORK, network_keystore

ONE, TWO, THREE = bytes(range(32)), bytes(range(40, 72)), b"\x5a" * 32
COMPONENTS = st.lists(st.binary(min_size=32, max_size=32), min_size=2, max_size=3, unique=True)


def _values(*components: bytes) -> list[str]:
    return [check_value_text(each) for each in components]


@given(COMPONENTS)
def test_the_key_is_the_xor_in_any_order(components: list[bytes]) -> None:
    """Whoever types first, it is the same key."""
    expected = bytes(reduce(lambda a, b: [x ^ y for x, y in zip(a, b, strict=True)], components))
    if not any(expected):
        return
    assert combine(components, _values(*components)) == expected
    assert combine(components[::-1], _values(*components[::-1])) == expected


def test_check_values_may_be_written_in_lower_case() -> None:
    """Letters of networks differ in that."""
    values = [value.lower() for value in _values(ONE, TWO)]
    assert combine([ONE, TWO], values) == combine([ONE, TWO], _values(ONE, TWO))


@pytest.mark.parametrize(
    ("components", "values", "code"),
    [
        ([], [], "bad_component"),
        ([ONE], _values(ONE), "bad_component"),
        ([ONE, TWO, THREE, bytes(32)], _values(ONE, TWO, THREE, bytes(32)), "bad_component"),
        ([ONE, TWO], _values(ONE), "bad_component"),
        ([ONE, TWO[:16]], _values(ONE, TWO[:16]), "bad_component"),
        ([ONE, TWO + b"\x00"], ["000000", "000000"], "bad_component"),
        ([ONE, ONE], _values(ONE, ONE), "bad_component"),
        ([ONE, TWO, ONE], _values(ONE, TWO, ONE), "bad_component"),
        ([ONE, TWO, bytes(a ^ b for a, b in zip(ONE, TWO, strict=True))], None, "bad_component"),
        ([ONE, TWO], _values(TWO, ONE), "wrong_check_value"),
        ([ONE, TWO], [_values(ONE)[0], "000000"], "wrong_check_value"),
        ([ONE, TWO], [_values(ONE)[0], ""], "wrong_check_value"),
    ],
)
def test_what_is_no_set_of_components_is_refused(
    components: list[bytes], values: list[str] | None, code: str
) -> None:
    """Too few, too many, too short, twice the same, canceling out, or mistyped."""
    with pytest.raises(KeyExchangeError) as raised:
        combine(components, _values(*components) if values is None else values)
    assert raised.value.code == code


def test_a_new_kek_replaces_the_old_one(tmp_path: Path) -> None:
    """Loaded and destroyed stand in the log, by check value; session keys are untouched."""
    store = network_keystore(tmp_path)
    record = install_kek(
        store, NETWORK, Key(ONE), origin="components", detail={"uid": 7}, now_s=NOW_S
    )
    assert store.kek(NETWORK).reveal() == ONE
    assert record.check_value == check_value_text(ONE)
    log = (tmp_path / "hsm" / "audit.log").read_text().splitlines()[-2:]
    assert (
        f'"kek_loaded","detail":{{"network":"vsim","check_value":"{record.check_value}"' in log[0]
    )
    assert (
        f'"kek_destroyed","detail":{{"network":"vsim","check_value":"{check_value_text(KEK)}"'
        in log[1]
    )
