"""From an answer's fields to its bytes, with a MAC and with what a script wants wrong. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from chassis.mac import Cmac
from network_sim.acceptor import Codec
from network_sim.faults.actions import Corrupt, Mac
from network_sim.faults.corruptions import corrupted
from network_sim.faults.script import Deed
from network_sim.keys import KeyServer, MacKey
from network_sim.macs import seal, with_mac_elements
from switch.iso8583 import Dialect

# No key of any network: what a peer makes MACs with that missed a key change.
_EXPIRED: Final = Cmac(bytes(range(16)))


class Packer:
    """Packs what one network sends.

    Args:
        codec: packs.
        dialect: of the messages.
        keys: the MAC keys; None = messages carry no MAC.
    """

    def __init__(self, codec: Codec, dialect: Dialect, keys: KeyServer | None) -> None:
        self._codec = codec
        self._dialect = dialect
        self._keys = keys

    def pack(
        self, fields: Mapping[int, str], deeds: Iterable[Deed] = (), key: MacKey | None = None
    ) -> bytes:
        """Pack a message.

        Args:
            fields: of the message, without a MAC.
            deeds: what the script wants done to it.
            key: makes the MAC; None = the current one, if there is any.

        Raises:
            EncodeError: the fields cannot be packed.
        """
        deeds = tuple(deeds)
        maker = key if key is not None or self._keys is None else self._keys.current
        hows = {each.action.how for each in deeds if isinstance(each.action, Mac)}
        if maker is None or "absent" in hows:
            message = self._codec.encode(fields)
        else:
            if "expired" in hows:
                maker = MacKey(maker.key_id, _EXPIRED, "")
            message = seal(self._codec.encode(with_mac_elements(fields, maker)), maker)
            if "wrong" in hows:
                message = message[:-1] + bytes([message[-1] ^ 0xFF])
        for each in deeds:
            if isinstance(each.action, Corrupt):
                message = corrupted(message, each.action, self._dialect, each.chance)
        return message
