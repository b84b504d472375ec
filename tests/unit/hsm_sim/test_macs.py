"""MACs of a batch: by which key they are made, by which they verify, and when by none."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.mac import Cmac
from hsm_sim.keys import NEVER_S
from hsm_sim.macs import MISMATCH, NOT_CURRENT, UNKNOWN_KEY, answer_macs
from hsm_sim.network_keystore import WorkingKey, WorkingKeys
from hsm_sim.session_keys import SessionState
from hsm_sim.wire import (
    MacRefused,
    Macs,
    MacToGenerate,
    MacToVerify,
    MacVerified,
)

NOW_S, EXPIRES_S = 1_000, 1_120
MESSAGE = bytes.fromhex("0200") + bytes(range(200))


def _working(key_id: str, state: SessionState, expires_at_s: int = NEVER_S) -> WorkingKey:
    return WorkingKey(key_id, state, expires_at_s, Cmac(key_id.encode() * 8))


KEYS: WorkingKeys = {
    "vsim": {
        key.key_id: key
        for key in (
            _working("02", "current"),
            _working("03", "next"),
            _working("01", "previous", EXPIRES_S),
        )
    },
    "msim": {"02": _working("02", "current")._replace(cmac=Cmac(b"another network!"))},
}


def _mac(key_id: str, message: bytes = MESSAGE) -> bytes:
    return Cmac(key_id.encode() * 8).message_mac(message)


def _generate(
    key_id: str, *, network: str = "vsim", message: bytes = MESSAGE, now_s: int = NOW_S
) -> bytes | MacRefused:
    request = Macs(generate=[MacToGenerate(network, key_id, message)])
    (answer,) = answer_macs(KEYS, request, now_s=now_s).generated
    return answer


def _verify(
    mac: bytes,
    key_id: str = "",
    *,
    network: str = "vsim",
    message: bytes = MESSAGE,
    now_s: int = NOW_S,
) -> MacVerified | MacRefused:
    request = Macs(verify=[MacToVerify(network, key_id, message, mac)])
    (answer,) = answer_macs(KEYS, request, now_s=now_s).verified
    return answer


def test_the_current_key_makes_macs() -> None:
    """Eight bytes, the first half of the CMAC by the named key of the named network."""
    assert _generate("02") == _mac("02")
    assert len(_mac("02")) == 8
    assert _generate("02", network="msim") == Cmac(b"another network!").message_mac(MESSAGE)


def test_a_previous_key_makes_macs_until_its_overlap_ends() -> None:
    """A message packed an instant before the promotion still goes out."""
    assert _generate("01", now_s=EXPIRES_S - 1) == _mac("01")
    assert _generate("01", now_s=EXPIRES_S) == UNKNOWN_KEY


def test_a_key_that_the_peer_may_not_have_makes_none() -> None:
    """Nor does one that nobody has."""
    assert _generate("03") == NOT_CURRENT
    assert _generate("09") == _generate("") == UNKNOWN_KEY
    assert _generate("02", network="nobody") == UNKNOWN_KEY


@pytest.mark.parametrize(
    ("key_id", "state"), [("01", "previous"), ("02", "current"), ("03", "next")]
)
@pytest.mark.parametrize("is_named", [True, False])
def test_every_living_key_verifies(key_id: str, state: SessionState, *, is_named: bool) -> None:
    """Named by DE 53 or found by trying; the answer says which key it was."""
    verdict = _verify(_mac(key_id), key_id if is_named else "")
    assert verdict == MacVerified(key_id, state)


def test_a_named_key_is_the_only_one_tried() -> None:
    """Another key's MAC under this key's name is wrong."""
    assert _verify(_mac("02"), "03") == MISMATCH
    assert _verify(_mac("02"), "09") == UNKNOWN_KEY
    assert _verify(_mac("02"), "02", network="nobody") == UNKNOWN_KEY
    assert _verify(_mac("02"), "", network="nobody") == UNKNOWN_KEY


def test_an_expired_key_verifies_nothing() -> None:
    """To the second, also where the file still holds it."""
    assert _verify(_mac("01"), "01", now_s=EXPIRES_S - 1) == MacVerified("01", "previous")
    assert _verify(_mac("01"), "01", now_s=EXPIRES_S) == UNKNOWN_KEY
    assert _verify(_mac("01"), now_s=EXPIRES_S) == MISMATCH


@pytest.mark.parametrize("key_id", ["", "02"])
@pytest.mark.parametrize("mac", [b"", _mac("02")[:7], _mac("02") + b"\x00", bytes(8)])
def test_what_is_no_mac_is_a_wrong_one(mac: bytes, key_id: str) -> None:
    """Another length breaks nothing and passes nowhere."""
    assert _verify(mac, key_id) == MISMATCH


@given(message=st.binary(max_size=64), bit=st.integers(min_value=0))
def test_a_flipped_bit_is_a_wrong_mac(message: bytes, bit: int) -> None:
    """Of the message or of the MAC."""
    whole = bytearray(message + _mac("02", message))
    whole[bit // 8 % len(whole)] ^= 1 << bit % 8
    changed, mac = bytes(whole[:-8]), bytes(whole[-8:])
    assert _verify(mac, "02", message=changed) == MISMATCH


def test_answers_keep_the_order_of_both_lists() -> None:
    """One round trip makes and verifies; one bad message never hurts another."""
    messages = [os.urandom(40 + number) for number in range(20)]
    ids = ["02", "09", "03", "01"] * 5
    request = Macs(
        [MacToGenerate("vsim", *pair) for pair in zip(ids, messages, strict=True)],
        [MacToVerify("vsim", "", each, _mac("02", each)) for each in messages],
    )
    answer = answer_macs(KEYS, request, now_s=NOW_S)
    expected = {"02": None, "01": None, "09": UNKNOWN_KEY, "03": NOT_CURRENT}
    assert answer.generated == [
        expected[key_id] or _mac(key_id, message)
        for key_id, message in zip(ids, messages, strict=True)
    ]
    assert answer.verified == [MacVerified("02", "current")] * 20
    assert answer_macs(KEYS, Macs(), now_s=NOW_S).verified == []
