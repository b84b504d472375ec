"""Making and verifying the MACs of a batch of messages: the second hot path of the HSM.

Per message: two look-ups, one CMAC (0.5 µs for 230 bytes), one comparison in constant time.
Nothing is awaited, logged or written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from hsm_sim.network_keystore import WorkingKey, WorkingKeys
from hsm_sim.wire import (
    MacRefused,
    Macs,
    MacsAnswered,
    MacToGenerate,
    MacToVerify,
    MacVerified,
)

UNKNOWN_KEY: Final = MacRefused("unknown_key")
NOT_CURRENT: Final = MacRefused("not_current")
MISMATCH: Final = MacRefused("mac_mismatch")


def answer_macs(keys: WorkingKeys, request: Macs, *, now_s: int) -> MacsAnswered:
    """Answer each message; one bad message never affects its neighbors.

    Args:
        keys: the session keys.
        request: what to make and what to verify.
        now_s: decides which previous keys still live, seconds since 1970.
    """
    return MacsAnswered(
        generated=[_generate(keys, item, now_s) for item in request.generate],
        verified=[_verify(keys, item, now_s) for item in request.verify],
    )


def _generate(keys: WorkingKeys, item: MacToGenerate, now_s: int) -> bytes | MacRefused:
    key = keys.get(item.network, {}).get(item.key_id)
    if key is None or now_s >= key.expires_at_s:
        return UNKNOWN_KEY
    if key.state == "next":
        return NOT_CURRENT
    return key.cmac.message_mac(item.message)


def _verify(keys: WorkingKeys, item: MacToVerify, now_s: int) -> MacVerified | MacRefused:
    refusal = UNKNOWN_KEY
    for key in _candidates(keys, item):
        if now_s < key.expires_at_s:
            if key.cmac.verifies(item.message, item.mac):
                return MacVerified(key.key_id, key.state)
            refusal = MISMATCH
    return refusal


def _candidates(keys: WorkingKeys, item: MacToVerify) -> Iterator[WorkingKey]:
    """The named key; or, where none is named, every key of the network."""
    ring = keys.get(item.network, {})
    if not item.key_id:
        yield from ring.values()
    elif item.key_id in ring:
        yield ring[item.key_id]
