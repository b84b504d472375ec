"""The network's key server: MAC keys made, sent in key blocks, taken over, let go. Pure.

Theory of operation. Two sides cannot change a key in the same instant, and the message that tells
the other side may be lost. So a new key lives beside the old one:

    mint ──▶ next ────────────▶ current ───────────▶ previous ──▶ gone after the overlap
               │  the peer has it          the next one
               └─▶ gone: refused, or another one minted

`next` verifies and makes no MACs. The peer has it when it answers the message that brought it with
00, or uses it. Whatever message of an exchange is lost, each side understands the other.

Keys are kept as key blocks under the key-exchange key, which this network shares with its acquirer;
`dump` and `load` are what a file holds of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal

import attrs
import msgspec
from msgspec import Struct

from chassis.key_block import (
    KeyAttributes,
    KeyBlockError,
    padding_bytes,
    unwrap_key,
    wrap_key,
)
from chassis.mac import Cmac, check_value_text
from chassis.secrets import Key
from switch.iso8583.key_data import KEY_ID_DIGITS, KeyData

ATTRIBUTES: Final = KeyAttributes(usage="M6", algorithm="A", mode="C")
KEY_BYTES: Final = 16
OVERLAP_S: Final = 120
PREVIOUS_MAX: Final = 4


class KeysError(ValueError):
    """What was kept of keys cannot be used; says why, shows no key."""


@attrs.define(repr=False)
class MacKey:
    """One session key.

    Attributes:
        key_id: sixteen digits.
        cmac: ready to authenticate.
        block: as it is kept.
        expires_at_s: of a previous key, seconds since 1970.
    """

    key_id: str
    cmac: Cmac
    block: str
    expires_at_s: float = 0.0

    def __repr__(self) -> str:
        """The id."""
        return f"MacKey({self.key_id})"


class _Kept(Struct, frozen=True, forbid_unknown_fields=True):
    state: Literal["next", "current", "previous"]
    key_id: str
    block: str
    expires_at_s: float


class KeyServer:
    """The MAC keys of one network.

    Args:
        kek: the key-exchange key.
        random: draws so many random bytes.
        overlap_s: how long a key still verifies after its successor took over.

    Attributes:
        current: makes MACs; None before the first exchange.
        next: minted, not yet taken over.
    """

    def __init__(
        self, kek: Key, *, random: Callable[[int], bytes], overlap_s: float = OVERLAP_S
    ) -> None:
        self._kek = kek
        self._random = random
        self._overlap_s = overlap_s
        self._minted_ms = 0
        self.current: MacKey | None = None
        self.next: MacKey | None = None
        self._previous: list[MacKey] = []

    def mint(self, now_us: int) -> KeyData:
        """Make a key for the peer; another one that it has not taken over is gone."""
        material = self._random(KEY_BYTES)
        self._minted_ms = max(self._minted_ms + 1, now_us // 1_000)
        block = wrap_key(
            self._kek.reveal(),
            material,
            ATTRIBUTES,
            padding=self._random(padding_bytes(material)),
        )
        self.next = MacKey(f"{self._minted_ms:0{KEY_ID_DIGITS}d}", Cmac(material), block)
        return KeyData(self.next.key_id, block, check_value_text(material))

    def taken_over(self, key_id: str, now_us: int) -> bool:
        """The peer has `next`: it is current now. Returns whether anything changed."""
        if self.next is None or self.next.key_id != key_id:
            return False
        if self.current is not None:
            self.current.expires_at_s = now_us / 1e6 + self._overlap_s
            self._previous = [self.current, *self._previous][:PREVIOUS_MAX]
        self.current, self.next = self.next, None
        return True

    def refused(self, key_id: str) -> None:
        """The peer did not accept `next`: the old key stays."""
        if self.next is not None and self.next.key_id == key_id:
            self.next = None

    def living(self, now_us: int) -> Iterator[MacKey]:
        """Every key that verifies."""
        for key in (self.current, self.next):
            if key is not None:
                yield key
        yield from (key for key in self._previous if now_us / 1e6 < key.expires_at_s)

    def find(self, key_id: str, now_us: int) -> MacKey | None:
        """The living key of an id."""
        current = self.current
        if current is not None and current.key_id == key_id:  # nearly always
            return current
        return next((key for key in self.living(now_us) if key.key_id == key_id), None)

    def dump(self) -> bytes:
        """Everything to be kept, as JSON; the keys in it are wrapped."""
        kept = [_Kept("previous", k.key_id, k.block, k.expires_at_s) for k in self._previous]
        if self.current is not None:
            kept.append(_Kept("current", self.current.key_id, self.current.block, 0.0))
        if self.next is not None:
            kept.append(_Kept("next", self.next.key_id, self.next.block, 0.0))
        return msgspec.json.encode(kept)

    def load(self, data: bytes) -> None:
        """Take back what was kept.

        Raises:
            KeysError: it is damaged, or of another key-exchange key.
        """
        try:
            kept = msgspec.json.decode(data, type=list[_Kept])
        except msgspec.DecodeError:
            raise KeysError("not what was kept") from None
        for each in kept:
            try:
                _, material = unwrap_key(self._kek.reveal(), each.block)
            except KeyBlockError as error:
                raise KeysError(f"key {each.key_id}: {error}") from None
            key = MacKey(each.key_id, Cmac(material), each.block, each.expires_at_s)
            match each.state:
                case "current":
                    self.current = key
                case "next":
                    self.next = key
                case "previous":
                    self._previous.append(key)
