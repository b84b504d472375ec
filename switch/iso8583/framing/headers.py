"""Headers between length and message, which say from where to where a message goes.

TPDU, 5 bytes: `60`, destination (2), source (2). An answer has the two exchanged.

VIP, 22 bytes (widths and names of the public description of such hosts):

    0   header length, 16 (22)           11  round-trip control
    1   header format, 01                12  flags (2)
    2   text format, 02                  14  status (3)
    3   total length (2), header and     17  batch number
        message                          18  reserved (3)
    5   destination station (3, BCD)     21  user information
    8   source station (3, BCD)

A message that the network sends back unread comes behind a header of 26 bytes: the above with
length 1A, a bitmap (2) whose first bit is set and a reject code (2, BCD); then its own header and
the message as it was sent. It is handed on whole, as `Returned`: no codec takes it for a message.
"""

from __future__ import annotations

from typing import Final, Protocol, Self

from chassis.framing import FrameError
from switch.dialects import Framing
from switch.dialects.framings import HEADER_BYTES

TPDU_ID: Final = 0x60
VIP_BYTES: Final = 22
VIP_RETURNED_BYTES: Final = 26
_RETURNED: Final = 0x80  # first bit of the bitmap in a returned message's header


class Enveloped(bytes):
    """A message, and the header it came with; where bytes do, it is the message alone."""

    envelope: bytes

    @classmethod
    def of(cls, message: bytes, envelope: bytes) -> Self:
        """Put the two together."""
        enveloped = cls(message)
        enveloped.envelope = envelope
        return enveloped


class Returned(Enveloped):
    """Our own message, sent back unread, with all its headers."""

    reject_code: str


class Header(Protocol):
    """One kind of header, with the addresses of this end."""

    def open(self, body: bytes) -> Enveloped:
        """Take the header off what a length announced; raises FrameError."""
        ...

    def make(self, message_bytes: int, answering: bytes) -> bytes:
        """Make the header of a message, or of the answer to one."""
        ...


class TPDU:
    """Transport protocol data unit: two addresses of two bytes."""

    def __init__(self, destination: str, source: str) -> None:
        self._header = bytes([TPDU_ID]) + bytes.fromhex(destination + source)

    def open(self, body: bytes) -> Enveloped:
        """Take the TPDU off.

        Raises:
            FrameError: there is none.
        """
        size = HEADER_BYTES["tpdu"]
        if len(body) < size:
            raise FrameError("shorter than a TPDU")
        if body[0] != TPDU_ID:
            raise FrameError("a TPDU begins with 60")
        return Enveloped.of(body[size:], body[:size])

    def make(self, message_bytes: int, answering: bytes) -> bytes:
        """Address a message to the other end, an answer to where its question came from."""
        del message_bytes
        if not isinstance(answering, Enveloped):
            return self._header
        asked = answering.envelope
        return asked[:1] + asked[3:5] + asked[1:3]


class VIPHeader:
    """The 22-byte header."""

    def __init__(self, destination: str, source: str) -> None:
        self._before = bytes([VIP_BYTES, 1, 2])  # lengths, header format, text format
        self._after = bytes.fromhex(destination + source) + bytes(VIP_BYTES - 11)

    def open(self, body: bytes) -> Enveloped:
        """Take the header off.

        Raises:
            FrameError: there is none, or it does not fit its frame.
        """
        if len(body) < VIP_BYTES:
            raise FrameError("shorter than a VIP header")
        if body[0] not in (VIP_BYTES, VIP_RETURNED_BYTES):
            raise FrameError("a VIP header begins with its length, 16 or 1A")
        if int.from_bytes(body[3:5], "big") != len(body):
            raise FrameError("the total length in the VIP header is not the frame's")
        if not body[5:11].hex().isdecimal():
            raise FrameError("a station in the VIP header is not BCD")
        if body[0] == VIP_RETURNED_BYTES:
            return _returned(body)
        return Enveloped.of(body[VIP_BYTES:], body[:VIP_BYTES])

    def make(self, message_bytes: int, answering: bytes) -> bytes:
        """Address a message; an answer keeps the header of its question but for the addresses."""
        total = (VIP_BYTES + message_bytes).to_bytes(2, "big")
        if not isinstance(answering, Enveloped):
            return self._before + total + self._after
        asked = answering.envelope
        return asked[:3] + total + asked[8:11] + asked[5:8] + asked[11:]


def _returned(body: bytes) -> Returned:
    code = body[24:26].hex()
    if len(body) < VIP_RETURNED_BYTES or not body[22] & _RETURNED or not code.isdecimal():
        raise FrameError("a VIP header of 26 bytes without a reject code")
    returned = Returned.of(body, body[:VIP_RETURNED_BYTES])
    returned.reject_code = code
    return returned


def header_for(framing: Framing, *, network_side: bool) -> Header | None:
    """The header of a framing, as one of its two ends makes it."""
    ours, theirs = framing.source, framing.destination
    if network_side:
        ours, theirs = theirs, ours
    match framing.header:
        case "tpdu":
            return TPDU(theirs, ours)
        case "vip":
            return VIPHeader(theirs, ours)
        case "none":
            return None
