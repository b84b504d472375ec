"""Which nonces have been used: a fixed table, because strangers must not be able to grow it.

Theory of operation
-------------------
A signed request is good for the time its timestamp is inside the window, twice the window at
most. A nonce must be remembered for that long. Two generations of one table do it: inserts go to
the current one, look-ups to both, and after `retention_s` the older one is cleared and becomes
the current. So a nonce is remembered between one and two retentions. The generations lie
interleaved, slot beside slot: every look-up is a miss of the processor's cache, and this way both
generations are one miss.

A slot holds an 8-byte keyed BLAKE2b digest of the publishable key and the nonce, 0 being empty;
collisions are resolved by taking the next slot. The digest's key is random and secret, so nobody
can choose nonces that pile up in one place or that look used. Two different nonces of three
million share a digest with a chance of 10^-13 per request; the second is then refused, which
costs its sender one retry.

At three quarters of the slots the table is full and every further request is refused: without
memory a replay could not be told from a new request (fail closed).

What a cleared generation knew is lost, so the table keeps the newest timestamp it has forgotten
and refuses everything that is not newer. In normal running such timestamps are outside the window
anyway; the rule matters after a restart, when everything was forgotten, and after the clock
was set back. One gap is left, and only for GETs to matter: a client whose clock runs ahead signs
timestamps of the future, and such a request, accepted just before a restart, could be replayed
just after it. A replayed POST carries its Idempotency-Key inside the signature and stays one
operation.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Final

_DIGEST_BYTES: Final = 8
_CLEAR_CHUNK: Final = array("Q", bytes(1_048_576))
_FULL_NUMERATOR, _FULL_DENOMINATOR = 3, 4  # past that, probing costs more than hashing


class NonceTableFullError(Exception):
    """No room for another nonce before the next generation begins."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__("the nonce table is full")
        self.retry_after_s = retry_after_s


class NonceTable:
    """Remembers nonces for `retention_s` seconds at least.

    Args:
        slots: entries of one generation, a power of two; 8 bytes each, two generations.
        retention_s: twice the timestamp window and a margin.
        forgotten_until_s: timestamps (seconds since 1970) up to this one are refused.
        now: monotonic seconds at which the first generation begins.
        key: 16 to 64 random bytes.

    Attributes:
        forgotten_until_s: see the theory of operation.
        peak: the most entries a generation has held.
    """

    __slots__ = (
        "_generation",
        "_keyed",
        "_newest_s",
        "_previous_newest_s",
        "_retention_s",
        "_rotate_at",
        "_table",
        "_used",
        "_used_max",
        "forgotten_until_s",
        "peak",
    )

    def __init__(
        self, slots: int, *, retention_s: float, forgotten_until_s: int, now: float, key: bytes
    ) -> None:
        if slots < 4 or slots & (slots - 1):
            raise ValueError("the number of slots must be a power of two")
        self._used_max = slots * _FULL_NUMERATOR // _FULL_DENOMINATOR
        self._keyed = blake2b(digest_size=_DIGEST_BYTES, key=key)
        self._retention_s = retention_s
        self._rotate_at = now + retention_s
        self._table = array("Q", bytes(2 * slots * _DIGEST_BYTES))
        self._generation = 0  # slot n of it is entry 2 * n + 0 or 1 of the table
        self._used = 0
        self._newest_s = self._previous_newest_s = forgotten_until_s
        self.forgotten_until_s = forgotten_until_s
        self.peak = 0

    @property
    def used_ratio(self) -> float:
        """How much of the room of the current generation is taken."""
        return self._used / self._used_max

    def use(self, publishable_key: bytes, nonce: bytes, timestamp_s: int, now: float) -> bool:
        """Remember a nonce; False if it is remembered already.

        The caller has refused timestamps up to `forgotten_until_s`.

        Raises:
            NonceTableFullError: there is no room; nothing was remembered.
        """
        if now >= self._rotate_at:
            self._rotate(now)
        digest = self._keyed.copy()
        digest.update(publishable_key + b"\0" + nonce)
        entry = int.from_bytes(digest.digest()) or 1
        table, generation = self._table, self._generation
        mask = len(table) - 1
        first = entry & (mask - 1)
        at = first | (generation ^ 1)
        while found := table[at]:
            if found == entry:
                return False
            at = (at + 2) & mask
        at = first | generation
        while found := table[at]:
            if found == entry:
                return False
            at = (at + 2) & mask
        if self._used >= self._used_max:
            raise NonceTableFullError(int(self._rotate_at - now) + 1)
        table[at] = entry
        self._used += 1
        self._newest_s = max(self._newest_s, timestamp_s)
        return True

    def _rotate(self, now: float) -> None:
        """Begin a generation; after a long silence both old ones are over."""
        self.peak = max(self.peak, self._used)
        self._replace_oldest()
        self._rotate_at += self._retention_s
        if now >= self._rotate_at:
            self._replace_oldest()
            self._rotate_at = now + self._retention_s

    def _replace_oldest(self) -> None:
        self.forgotten_until_s = max(self.forgotten_until_s, self._previous_newest_s)
        self._previous_newest_s = self._newest_s
        self._used = 0
        self._generation ^= 1
        table, chunk = self._table, 2 * len(_CLEAR_CHUNK)
        for start in range(self._generation, len(table), chunk):
            slots = len(range(start, min(start + chunk, len(table)), 2))
            table[start : start + chunk : 2] = _CLEAR_CHUNK[:slots]
