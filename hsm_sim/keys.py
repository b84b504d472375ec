"""The life of a key, decided without I/O: what exists, in which state, what is due.

Theory of operation. A key is born with its dates and they never change: it is *active* (it
protects new things) until `active_until_s`, then *decrypt only* (it opens old ones) until
`destroy_at_s`, then *destroyed*. The state follows from the clock at every use, so a key is dead on
time even where no rotation has run. Rotation makes it true on disk: `due` says which keys to
create, which to destroy (the material goes, the record stays for a while so that a late card can
be told why), and which records to forget.

The first rotation of an empty store creates everything; there is no other way to be born.

| slot | algorithm | protects | life |
|---|---|---|---|
| capture, suite 1 | x25519 | sealed cards on their way in | rotates |
| capture, suite 2 | p256 | the same, for browsers without X25519 | rotates |
| card | aes256 | PAN and expiry in the ledger | rotates; destroyed with its day's cards |
| fingerprint | hmac_sha256 | equality of cards | permanent |
| secret | aes256 | merchants' secrets in the ledger | permanent |
| audit | hmac_sha256 | the chain of the audit log | permanent |
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from msgspec import Struct

from chassis.settings.tree import HSM

Usage = Literal["capture", "card", "fingerprint", "secret", "audit"]
Algorithm = Literal["x25519", "p256", "aes256", "hmac_sha256"]
State = Literal["active", "decrypt_only", "destroyed"]

NEVER_S: Final = 253_402_300_799  # the last second of the year 9999
ALGORITHM_SUITES: Final[dict[Algorithm, int]] = {"x25519": 1, "p256": 2}


class KeyRecord(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One key as it lies on disk; everything but `wrapped` is bound to it as AAD."""

    id: str  # the kid of a capture key, else usage-version
    usage: Usage
    algorithm: Algorithm
    version: int  # counts up per usage and algorithm, never used twice
    created_at_s: int
    active_until_s: int
    destroy_at_s: int
    public_key: bytes = b""  # capture keys only, raw
    wrapped: bytes = b""  # nonce ‖ ciphertext ‖ tag under the LMK; empty once destroyed

    def state(self, now_s: int) -> State:
        """The state at an instant, by its dates or earlier by destruction."""
        if not self.wrapped or now_s >= self.destroy_at_s:
            return "destroyed"
        return "active" if now_s < self.active_until_s else "decrypt_only"


class Slot(NamedTuple):
    """A purpose that must always have an active key, and how long its keys live.

    `active_s` 0 means for ever. A successor is made `overlap_s` before the newest key retires.
    """

    usage: Usage
    algorithm: Algorithm
    active_s: int = 0
    decrypt_only_s: int = 0
    overlap_s: int = 0

    def dates(self, now_s: int) -> tuple[int, int]:
        """The `active_until_s` and `destroy_at_s` of a key created now."""
        if not self.active_s:
            return NEVER_S, NEVER_S
        return now_s + self.active_s, now_s + self.active_s + self.decrypt_only_s


class Due(NamedTuple):
    """What a rotation has to do."""

    create: list[Slot]
    destroy: list[KeyRecord]
    forget: list[KeyRecord]

    def __bool__(self) -> bool:
        """Whether anything is due."""
        return bool(self.create or self.destroy or self.forget)


def slots(settings: HSM) -> tuple[Slot, ...]:
    """The purposes of this HSM with the lifetimes of its settings."""
    capture = (
        settings.capture_key_active_s,
        settings.capture_key_decrypt_only_s,
        min(settings.capture_key_overlap_s, settings.capture_key_active_s // 2),
    )
    return (
        Slot("capture", "x25519", *capture),
        Slot("capture", "p256", *capture),
        Slot("card", "aes256", settings.card_key_active_s, settings.card_key_decrypt_only_s),
        Slot("fingerprint", "hmac_sha256"),
        Slot("secret", "aes256"),
        Slot("audit", "hmac_sha256"),
    )


def due(
    records: Sequence[KeyRecord], wanted: Sequence[Slot], *, now_s: int, destroyed_kept_s: int
) -> Due:
    """Decide what a rotation at `now_s` does. Applied, it leaves nothing due at `now_s`."""
    create = [
        slot
        for slot in wanted
        if not any(
            record.state(now_s) == "active" and record.active_until_s - now_s > slot.overlap_s
            for record in records
            if (record.usage, record.algorithm) == (slot.usage, slot.algorithm)
        )
    ]
    dead = [record for record in records if record.state(now_s) == "destroyed"]
    newest = {(record.usage, record.algorithm): record.version for record in _by_version(records)}
    forget = [
        record
        for record in dead
        if now_s >= record.destroy_at_s + destroyed_kept_s
        and record.version < newest[record.usage, record.algorithm]  # its number must not return
    ]
    destroy = [record for record in dead if record.wrapped and record not in forget]
    return Due(create, destroy, forget)


def next_version(records: Sequence[KeyRecord], slot: Slot) -> int:
    """The version number of a slot's next key."""
    ours = (slot.usage, slot.algorithm)
    versions = [record.version for record in records if (record.usage, record.algorithm) == ours]
    return 1 + max(versions, default=0)


def _by_version(records: Sequence[KeyRecord]) -> list[KeyRecord]:
    return sorted(records, key=lambda record: record.version)
