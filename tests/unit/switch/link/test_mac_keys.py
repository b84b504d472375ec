"""Keys that networks send, judged by the HSM's own code, and which of them is in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from chassis.mac import check_value_text
from chassis.secrets import Key
from hsm_sim.wire import ImportSessionKey
from network_sim.keys import KeyServer
from switch.iso8583.key_data import KeyData
from switch.link.events import Fields
from switch.link.mac_keys import MacKeys
from tests.support.hsm import NOW_S
from tests.support.hsm_keys import FIRST, KEK, SECOND, key_import
from tests.support.local_hsm import LocalHSM

FIRST_ID, SECOND_ID = "0000000000000001", "0000000000000002"


@pytest.fixture
def hsm(tmp_path: Path) -> LocalHSM:
    """An HSM that shares a key-exchange key with the network."""
    return LocalHSM(tmp_path)


@pytest.fixture
def keys(hsm: LocalHSM) -> MacKeys:
    """No key yet."""
    return MacKeys("vsim", hsm.ask, lambda: hsm.now_s * 1_000_000)


def message(brought: ImportSessionKey) -> Fields:
    """The 0800 or 0810 that brings a key."""
    data = KeyData(brought.key_id, brought.key_block, brought.check_value)
    return {0: "0810", 39: "00"} | data.elements()


async def test_a_key_that_is_sound_is_used_at_once(hsm: LocalHSM, keys: MacKeys) -> None:
    """Its maker has it, so nothing has to be waited for."""
    assert not keys.has_key()
    assert await keys.take(message(key_import(FIRST, FIRST_ID))) == ""
    assert (keys.current, keys.check_value) == (FIRST_ID, check_value_text(FIRST))
    hsm.now_s += 100
    assert keys.age_s == 100
    assert await keys.take(message(key_import(SECOND, SECOND_ID))) == ""
    await keys.refresh()
    assert (keys.current, keys.age_s, keys.changes_total) == (SECOND_ID, 0, 2)


async def test_a_key_of_the_simulated_network_is_taken(keys: MacKeys) -> None:
    """Two ends that were written apart agree."""
    server = KeyServer(Key(KEK), random=os.urandom)
    data = server.mint(NOW_S * 1_000_000)
    assert await keys.take({0: "0800"} | data.elements()) == ""
    assert keys.current == data.key_id


async def _refusals(keys: MacKeys) -> list[str]:
    good = key_import(SECOND, SECOND_ID)
    wrong = "000000" if good.check_value != "000000" else "000001"
    return [
        await keys.take(message(replace(good, check_value=wrong))),
        await keys.take(message(key_import(SECOND, SECOND_ID, kek=bytes(32)))),
        await keys.take(message(replace(good, key_block=good.key_block[:-1] + "0"))),
        await keys.take(message(replace(good, key_id=FIRST_ID))),
        await keys.take({0: "0810", 39: "00", 53: SECOND_ID}),
        await keys.take({0: "0810", 39: "00", 60: "x" * 150}),
    ]


async def test_whatever_is_wrong_with_a_key_leaves_the_old_one(keys: MacKeys) -> None:
    """Check value, key-exchange key, an altered block, an id in use, nothing there (KX03)."""
    await keys.take(message(key_import(FIRST, FIRST_ID)))
    assert await _refusals(keys) == [
        "wrong_check_value",
        "bad_key_block",
        "bad_key_block",
        "key_id_in_use",
        "malformed",
        "malformed",
    ]
    assert (keys.current, keys.refusals_total) == (FIRST_ID, 6)
    await keys.refresh()
    assert keys.current == FIRST_ID


async def test_an_hsm_that_is_away_changes_nothing(hsm: LocalHSM, keys: MacKeys) -> None:
    """The key can be brought again."""
    await keys.take(message(key_import(FIRST, FIRST_ID)))
    hsm.away = True
    brought = message(key_import(SECOND, SECOND_ID))
    assert await keys.take(brought) == "hsm_unavailable"
    assert not await keys.refresh()
    await keys.peer_uses(SECOND_ID)
    assert keys.current == FIRST_ID
    hsm.away = False
    assert await keys.take(brought) == ""
    assert keys.current == SECOND_ID


async def test_what_another_switch_has_promoted_is_found_out(hsm: LocalHSM, keys: MacKeys) -> None:
    """Switches share an HSM: its list says which key is current."""
    other = MacKeys("vsim", hsm.ask, lambda: hsm.now_s * 1_000_000)
    await other.take(message(key_import(FIRST, FIRST_ID)))
    assert not keys.has_key()
    assert await keys.refresh()
    assert keys.current == FIRST_ID
    stranger = MacKeys("msim", hsm.ask, lambda: hsm.now_s * 1_000_000)
    await stranger.refresh()
    assert not stranger.has_key()


async def test_a_key_that_the_network_uses_is_promoted(hsm: LocalHSM, keys: MacKeys) -> None:
    """An exchange that was cut off after the key had come (KX05)."""
    await keys.take(message(key_import(FIRST, FIRST_ID)))
    await hsm.ask(key_import(SECOND, SECOND_ID))
    await keys.refresh()
    assert keys.current == FIRST_ID
    await keys.peer_uses(SECOND_ID)
    assert keys.current == SECOND_ID
