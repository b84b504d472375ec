"""The key server: keys minted, taken over, refused, kept."""

from __future__ import annotations

import os

import pytest

from chassis.key_block import unwrap_key
from chassis.mac import Cmac, check_value_text
from chassis.secrets import Key
from network_sim.keys import PREVIOUS_MAX, KeysError, KeyServer

KEK = Key(bytes(range(32)))
NOW_US = 1_795_331_402_000_000
LATER_US = NOW_US + 121_000_000


@pytest.fixture
def keys() -> KeyServer:
    """A server that has no key yet."""
    return KeyServer(KEK, random=os.urandom)


def _change(keys: KeyServer, now_us: int = NOW_US) -> str:
    key_id = keys.mint(now_us).key_id
    assert keys.taken_over(key_id, now_us)
    return key_id


def test_a_minted_key_can_be_unwrapped(keys: KeyServer) -> None:
    """By whoever has the key-exchange key; the check value is the key's."""
    data = keys.mint(NOW_US)
    attributes, material = unwrap_key(KEK.reveal(), data.key_block)
    assert attributes.text[:4] == "M6AC"
    assert data.check_value == check_value_text(material)
    assert keys.next is not None
    assert keys.next.cmac.message_mac(b"x") == Cmac(material).message_mac(b"x")


def test_key_ids_are_new_and_fit_their_element(keys: KeyServer) -> None:
    """Sixteen digits, never twice, though the clock stands still or steps back."""
    ids = [keys.mint(at_us).key_id for at_us in (NOW_US, NOW_US, NOW_US - 10_000_000)]
    assert len(set(ids)) == 3
    assert all(len(key_id) == 16 and key_id.isdecimal() for key_id in ids)


def test_a_key_becomes_current_when_the_peer_has_it(keys: KeyServer) -> None:
    """Before, it verifies and makes nothing."""
    data = keys.mint(NOW_US)
    assert keys.current is None
    assert keys.find(data.key_id, NOW_US) is keys.next
    assert keys.taken_over(data.key_id, NOW_US)
    assert keys.current is not None
    assert (keys.current.key_id, keys.next) == (data.key_id, None)
    assert not keys.taken_over(data.key_id, NOW_US)


def test_the_old_key_verifies_for_an_overlap(keys: KeyServer) -> None:
    """And no longer."""
    old = _change(keys)
    _change(keys)
    assert keys.find(old, NOW_US + 119_000_000) is not None
    assert keys.find(old, LATER_US) is None


def test_so_many_old_keys_verify(keys: KeyServer) -> None:
    """Within one overlap; the oldest goes."""
    ids = [_change(keys) for _ in range(PREVIOUS_MAX + 2)]
    assert [keys.find(key_id, NOW_US) is None for key_id in ids] == [True] + [False] * 5


def test_a_refused_key_is_gone_and_the_old_one_stays(keys: KeyServer) -> None:
    """A refusal of another key changes nothing."""
    old = _change(keys)
    data = keys.mint(NOW_US)
    keys.refused("0000000000000000")
    assert keys.next is not None
    keys.refused(data.key_id)
    assert keys.next is None
    assert keys.current is not None
    assert keys.current.key_id == old
    assert not keys.taken_over(data.key_id, NOW_US)


def test_keys_are_kept_wrapped(keys: KeyServer) -> None:
    """The next server has the same, and the file shows none of them."""
    previous, current = _change(keys), _change(keys)
    upcoming = keys.mint(NOW_US).key_id
    kept = keys.dump()
    successor = KeyServer(KEK, random=os.urandom)
    successor.load(kept)
    for key_id in (previous, current, upcoming):
        ours, theirs = keys.find(key_id, NOW_US), successor.find(key_id, NOW_US)
        assert ours is not None
        assert theirs is not None
        assert ours.cmac.of(b"x") == theirs.cmac.of(b"x")
    assert successor.find(previous, LATER_US) is None


def test_keys_of_another_exchange_key_are_refused(keys: KeyServer) -> None:
    """They cannot be unwrapped; nor can rubbish be read."""
    _change(keys)
    stranger = KeyServer(Key(bytes(32)), random=os.urandom)
    with pytest.raises(KeysError, match="does not verify"):
        stranger.load(keys.dump())
    with pytest.raises(KeysError, match="not what was kept"):
        stranger.load(b"rubbish")


def test_a_key_shows_its_id_alone(keys: KeyServer) -> None:
    """Neither block nor material."""
    key_id = keys.mint(NOW_US).key_id
    assert repr(keys.next) == f"MacKey({key_id})"
