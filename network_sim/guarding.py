"""Which messages of an acquirer are believed, where a network has MAC keys. Pure.

A financial message without a good MAC is answered 63 and not decided. Network management must have
one too, once there is a key, but for a sign-on and a request for a key, which are how a peer that
has none begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from network_sim.keys import KeyServer, MacKey
from network_sim.macs import Verdict, judge
from network_sim.session import NETWORK_FUNCTION
from switch.iso8583 import DE, Dialect

SECURITY_VIOLATION: Final = "63"
_MANAGEMENT: Final = "08"  # the first two digits of an MTI
_MAC_FREE: Final = ("sign_on", "key_exchange")


class Guard:
    """Judges the MACs of what comes in.

    Args:
        dialect: names the functions of network management.
        keys: of the network; None = messages carry no MAC.
        keys_changed: called after the peer has taken a key over.
    """

    def __init__(
        self, dialect: Dialect, keys: KeyServer | None, keys_changed: Callable[[], None]
    ) -> None:
        self._keys = keys
        self._keys_changed = keys_changed
        self._mac_free = {dialect.network_functions.get(name) for name in _MAC_FREE}

    def judge(
        self, frame: bytes, fields: Mapping[int, str], at_us: int
    ) -> tuple[Verdict | None, MacKey | None]:
        """What a message's MAC is worth, and by which key it is good; whoever uses one has it."""
        keys = self._keys
        if keys is None:
            return None, None
        verdict, key = judge(frame, fields, keys, at_us)
        if key is not None and key is keys.next and keys.taken_over(key.key_id, at_us):
            self._keys_changed()
        return verdict, key

    def wants_mac(self, fields: Mapping[int, str]) -> bool:
        """Whether a message that has no good MAC is refused."""
        if not fields[0].startswith(_MANAGEMENT) or DE.MAC_2 in fields:
            return True
        if self._keys is None or self._keys.current is None:
            return False
        return fields.get(NETWORK_FUNCTION) not in self._mac_free
