"""MACs of messages: where they stand, and what one is worth."""

from __future__ import annotations

import os

import pytest

from chassis.mac import Cmac
from chassis.secrets import Key
from network_sim.keys import KeyServer, MacKey
from network_sim.macs import Verdict, judge, mac_element, seal, with_mac_elements
from switch.iso8583 import Dialect
from tests.support.network import management, reversal, sale

NOW_US = 1_795_331_402_000_000
KEY = MacKey("0000000000000001", Cmac(bytes(16)), "")


@pytest.fixture
def keys() -> KeyServer:
    """A server with one key."""
    keys = KeyServer(Key(bytes(range(32))), random=os.urandom)
    keys.taken_over(keys.mint(NOW_US).key_id, NOW_US)
    return keys


def _sealed(dialect: Dialect, fields: dict[int, str], key: MacKey) -> bytes:
    return seal(dialect.encode(with_mac_elements(fields, key)), key)


@pytest.mark.parametrize(
    ("fields", "element"),
    [(sale(), 64), (management("301"), 128), (reversal(sale(), {11: "000200"}), 128)],
)
def test_a_mac_is_the_last_element(fields: dict[int, str], element: int, dialect: Dialect) -> None:
    """DE 64, or DE 128 where anything above 64 is there; eight bytes of CMAC over the rest."""
    assert mac_element(fields) == element
    message = _sealed(dialect, fields, KEY)
    decoded = dialect.decode(message)
    assert decoded[53] == KEY.key_id
    assert decoded[element] == Cmac(bytes(16)).message_mac(message[:-8]).hex().upper()
    assert {de: text for de, text in decoded.items() if de not in (53, element)} == fields


def test_a_good_mac_is_good(keys: KeyServer, dialect: Dialect) -> None:
    """By the key that it names."""
    assert keys.current is not None
    message = _sealed(dialect, sale(), keys.current)
    assert judge(message, dialect.decode(message), keys, NOW_US) == (Verdict.GOOD, keys.current)


@pytest.mark.parametrize("at", [-1, 25])
def test_a_changed_message_is_noticed(keys: KeyServer, dialect: Dialect, at: int) -> None:
    """A bit of the MAC, or of what it protects."""
    assert keys.current is not None
    message = bytearray(_sealed(dialect, sale(), keys.current))
    message[at] ^= 1
    fields = dialect.decode(bytes(message))
    assert judge(bytes(message), fields, keys, NOW_US) == (Verdict.WRONG, None)


def test_other_keys_and_none_are_told_apart(keys: KeyServer, dialect: Dialect) -> None:
    """No MAC, a key that is not ours, and no key named."""
    plain = dialect.encode(sale())
    assert judge(plain, sale(), keys, NOW_US)[0] is Verdict.ABSENT
    strange = _sealed(dialect, sale(), KEY)
    assert judge(strange, dialect.decode(strange), keys, NOW_US)[0] is Verdict.UNKNOWN_KEY
    unnamed = dialect.encode(sale({64: "00" * 8}))
    assert judge(unnamed, dialect.decode(unnamed), keys, NOW_US)[0] is Verdict.UNKNOWN_KEY


def test_a_mac_in_the_wrong_place_is_wrong(keys: KeyServer, dialect: Dialect) -> None:
    """DE 128 of a message that has nothing else above 64."""
    assert keys.current is not None
    fields = sale({53: keys.current.key_id, 128: "00" * 8})
    message = seal(dialect.encode(fields), keys.current)
    assert judge(message, dialect.decode(message), keys, NOW_US)[0] is Verdict.WRONG
