"""MACs of ISO 8583 messages, DE 64 and DE 128."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from hsm_sim.wire.masked import Masked


class MacToGenerate(Masked, frozen=True):
    """A message that needs a MAC. It holds card data, so it is masked like it."""

    network: str
    key_id: str  # as DE 53 names it: 1 to 16 letters or digits; it is part of the message
    message: bytes  # from the MTI to the byte before the MAC, the MAC's bit set in the bitmap


class MacToVerify(Masked, frozen=True):
    """A received message and the MAC it came with."""

    network: str
    key_id: str  # of DE 53; empty = no key is named, so each of the network's keys is tried
    message: bytes  # as in `MacToGenerate`
    mac: bytes  # DE 64 or DE 128


class Macs(Struct, array_like=True, gc=False, frozen=True, tag="macs"):
    """Make and verify MACs in one round trip (role: switch).

    AES-CMAC, the leftmost 8 bytes. At most `hsm.macs_max` messages, both lists together.
    Answered by `MacsAnswered`.
    """

    generate: list[MacToGenerate] = []
    verify: list[MacToVerify] = []


class MacRefused(Struct, array_like=True, gc=False, frozen=True, tag="mac_refused"):
    """No MAC was made, or the one that came is wrong."""

    # unknown_key: the network has no such key, or no longer: its overlap is over
    # not_current: a key that the peer may not have yet makes no MACs; promote it first
    # mac_mismatch: another message, another key, or forged; nothing tells these apart
    code: Literal["unknown_key", "not_current", "mac_mismatch"]


class MacVerified(Struct, array_like=True, gc=False, frozen=True, tag="mac_verified"):
    """The MAC is right, by this key.

    `next` is the proof that the peer holds a key which we have not promoted: confirm and promote.
    """

    key_id: str
    state: Literal["current", "next", "previous"]


class MacsAnswered(Struct, array_like=True, gc=False, tag="macs_answered"):
    """One entry per message, in the order of each list; a MAC that was made has 8 bytes."""

    generated: list[bytes | MacRefused]
    verified: list[MacVerified | MacRefused]
