"""DE 64 and DE 128: which part of a message is authenticated, and which messages need to be. Pure.

The MAC is computed over the packed message from the MTI to the byte before the MAC, the MAC's bit
set in the bitmap; length and headers are no part of it. It is the last element: DE 64, or DE 128
where an element above 64 is there. DE 53 names its key, and is itself part of the message.

A financial message without a good MAC is nobody's. Network management must have one too, with three
exceptions, or two ends that hold different keys could never agree on one again: a sign-on or echo
of the peer's, or a message that brings a key, may come without one; the answer that brings a key
that we asked for is believed whatever its MAC, because the key block in it vouches for itself under
the key-exchange key; and so is the refusal of a sign-on, which can only keep us from sending.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hsm_sim.wire import MacToVerify
from switch.iso8583.elements import DE
from switch.iso8583.mti import NETWORK_MANAGEMENT_REQUEST, NETWORK_MANAGEMENT_RESPONSE
from switch.link.events import Fields

MAC_BYTES: Final = 8
ROOM: Final = "0" * 2 * MAC_BYTES  # what stands for the MAC while the message is packed
_PRIMARY_LAST: Final = 64
_APPROVED: Final = "00"
_MAY_LACK_ONE: Final = ("sign_on", "echo", "key_exchange", "key_push")


def with_room(fields: Mapping[int, str], key_id: str) -> Fields:
    """A message that names its key and has room for its MAC; pack it, then `seal` it."""
    prepared = {**fields, int(DE.SECURITY_CONTROL): key_id}
    prepared[int(DE.MAC_2 if max(prepared) > _PRIMARY_LAST else DE.MAC)] = ROOM
    return prepared


def sealed(frame: bytes, mac: bytes) -> bytes:
    """A message that was packed with room for its MAC, with its MAC."""
    return frame[:-MAC_BYTES] + mac


def authenticated(frame: bytes) -> bytes:
    """What the MAC is computed over."""
    return frame[:-MAC_BYTES]


def to_verify(network: str, frame: bytes, fields: Fields) -> MacToVerify | None:
    """What to ask about a message as it came in; None where it carries no MAC in its place."""
    last = next(reversed(fields))  # elements stand in ascending order
    if last not in (DE.MAC, DE.MAC_2) or (last == DE.MAC_2 and DE.MAC in fields):
        return None
    key_id = fields.get(DE.SECURITY_CONTROL, "")
    return MacToVerify(network, key_id, bytes(frame[:-MAC_BYTES]), bytes(frame[-MAC_BYTES:]))


def may_lack_mac(fields: Fields, names: Mapping[str, str]) -> bool:
    """Whether a message without any MAC is taken; `names` are of DE 70's values."""
    if fields[0] not in (NETWORK_MANAGEMENT_REQUEST, NETWORK_MANAGEMENT_RESPONSE):
        return False
    return names.get(fields.get(DE.NETWORK_FUNCTION, "")) in _MAY_LACK_ONE


def vouches_for_itself(fields: Fields, names: Mapping[str, str]) -> bool:
    """Whether a message is taken whatever its MAC is worth."""
    if fields[0] != NETWORK_MANAGEMENT_RESPONSE:
        return False
    name = names.get(fields.get(DE.NETWORK_FUNCTION, ""))
    refused = fields.get(DE.RESPONSE_CODE, _APPROVED) != _APPROVED
    return name == "key_exchange" or (name == "sign_on" and refused)
