"""Which bytes are authenticated, and which messages must be."""

from __future__ import annotations

import pytest

from chassis.mac import Cmac
from hsm_sim.wire import MacToVerify
from switch.link.events import Fields
from switch.link.macs import (
    MAC_BYTES,
    authenticated,
    may_lack_mac,
    sealed,
    to_verify,
    vouches_for_itself,
    with_room,
)
from tests.support.link import DIALECT, answer, request

KEY_ID = "0000000000000007"
KEY = Cmac(bytes(range(16)))
ECHO: Fields = {0: "0800", 7: "0102030405", 11: "000001", 70: "301"}
NAMES = {value: name for name, value in DIALECT.network_functions.items()}


def _sealed(fields: Fields) -> bytes:
    frame = DIALECT.encode(with_room(fields, KEY_ID))
    return sealed(frame, KEY.message_mac(authenticated(frame)))


@pytest.mark.parametrize(("fields", "element"), [(request(1), 64), (ECHO, 128)])
def test_the_mac_is_the_last_element(fields: Fields, element: int) -> None:
    """DE 64, or DE 128 where an element above 64 is there; DE 53 names the key."""
    before = dict(fields)
    message = _sealed(fields)
    decoded = DIALECT.decode(message)
    assert fields == before
    assert max(decoded) == element
    assert decoded[53] == KEY_ID
    assert decoded[element] == message[-MAC_BYTES:].hex().upper()
    assert {de: decoded[de] for de in fields} == fields


@pytest.mark.parametrize("fields", [request(1), ECHO])
def test_what_was_sealed_can_be_verified(fields: Fields) -> None:
    """Both ends take the MAC over the same bytes, its bit set in the bitmap."""
    message = _sealed(fields)
    question = to_verify("vsim", message, DIALECT.decode(message))
    assert question == MacToVerify("vsim", KEY_ID, message[:-8], message[-8:])
    assert KEY.verifies(question.message, question.mac)
    spoiled = bytes([message[0], message[1], message[2], message[3] ^ 1, *message[4:]])
    assert not KEY.verifies(spoiled[:-8], message[-8:])


def test_a_message_without_mac_has_none_to_verify() -> None:
    """Nor has one whose MAC does not stand where it belongs."""
    plain = DIALECT.encode(request(1))
    assert to_verify("vsim", plain, DIALECT.decode(plain)) is None
    misplaced = DIALECT.encode(ECHO | {64: "00" * 8})
    assert to_verify("vsim", misplaced, DIALECT.decode(misplaced)) is None
    double = DIALECT.encode(ECHO | {64: "00" * 8, 128: "00" * 8})
    assert to_verify("vsim", double, DIALECT.decode(double)) is None


def test_a_message_that_names_no_key_is_tried_with_all() -> None:
    """The HSM's rule for an empty id."""
    message = DIALECT.encode(request(1) | {64: "00" * 8})
    question = to_verify("vsim", message, DIALECT.decode(message))
    assert question is not None
    assert question.key_id == ""


@pytest.mark.parametrize(
    ("function", "free"),
    [("001", True), ("301", True), ("161", True), ("101", True), ("002", False), ("201", False)],
)
@pytest.mark.parametrize("mti", ["0800", "0810"])
def test_what_two_ends_need_to_find_each_other_may_lack_a_mac(
    mti: str,
    function: str,
    free: bool,  # noqa: FBT001
) -> None:
    """Sign-on, echo and keys; a sign-off or cutover without one could be anybody's."""
    assert may_lack_mac(ECHO | {0: mti, 70: function}, NAMES) is free


def test_money_never_lacks_a_mac() -> None:
    """Whatever a financial message says in DE 70."""
    assert not may_lack_mac(answer(request(1)) | {70: "301"}, NAMES)
    assert not may_lack_mac(ECHO | {70: "999"}, NAMES)
    assert not vouches_for_itself(answer(request(1)) | {70: "161"}, NAMES)


@pytest.mark.parametrize(
    ("fields", "believed"),
    [
        ({0: "0810", 70: "161", 39: "00"}, True),
        ({0: "0810", 70: "161", 39: "91"}, True),
        ({0: "0810", 70: "001", 39: "63"}, True),
        ({0: "0810", 70: "001", 39: "00"}, False),
        ({0: "0810", 70: "001"}, False),
        ({0: "0800", 70: "161"}, False),
        ({0: "0800", 70: "101"}, False),
        ({0: "0810", 70: "002", 39: "63"}, False),
    ],
)
def test_what_is_believed_whatever_its_mac(fields: Fields, believed: bool) -> None:  # noqa: FBT001
    """A key vouches for itself, and a refusal can only keep us from sending."""
    assert vouches_for_itself(fields, NAMES) is believed
