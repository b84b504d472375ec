"""Identifiers: UUIDv7 inside, prefixed base62 outside.

Theory of operation
-------------------
An id is sixteen bytes laid out as RFC 9562 section 5.7 says: 48 bits of milliseconds since 1970,
the version, 12 bits that RFC 9562 section 6.2 method 3 lets us use as a fraction of the
millisecond, the variant, 62 random bits. Milliseconds and fraction together form one 60-bit tick
of 1/4096 ms. A source never issues the same tick twice and never a lower one, whatever the clock
does, so the ids of one process are strictly increasing: partition ranges, `(owner, id)` recovery
scans and "latest transaction" all rest on that.

The eight highest of the random bits name the shard where a payment intent is at home (ADR 0029);
they are 0 in an installation of one shard, and in every id that is no intent's. The other 54, with
the tick, still keep ids of many processes apart.

Outside, an id is a prefix that names its kind and 22 digits of base62, zero padded. The alphabet
is in ASCII order, so public ids sort as the inner ones do.
"""

from __future__ import annotations

from hashlib import blake2b
from struct import Struct, unpack
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

Prefix = Literal["mer", "pi", "txn", "att", "evt", "we", "whd", "dp", "po"]

ID_BYTES: Final = 16
SHARDS_MAX: Final = 256  # that an id can name
PUBLIC_DIGITS: Final = 22  # 62^22 > 2^128 > 62^21

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(high + low for high in _ALPHABET for low in _ALPHABET)
_PAIR_BASE: Final = len(_PAIRS)
# Parsing: what each byte is worth, 255 for what is no digit, whose two highest bits tell.
_DIGIT_VALUES: Final = bytes(
    _ALPHABET.index(chr(byte)) if chr(byte) in _ALPHABET else 255 for byte in range(256)
)
_NO_DIGITS: Final = int.from_bytes(b"\xc0" * 24)
_EVERY_2ND_BYTE: Final = int.from_bytes(b"\x00\xff" * 12)
_EVERY_2ND_16_BITS: Final = int.from_bytes(b"\x00\x00\xff\xff" * 6)
_EVERY_2ND_32_BITS: Final = int.from_bytes(b"\x00\x00\x00\x00\xff\xff\xff\xff" * 3)
_LOW_64_BITS: Final = (1 << 64) - 1

_VERSION_7: Final = 7 << 12
_VARIANT_RFC: Final = 2 << 62
_HALF: Final = Struct("!Q")
_HALVES: Final = Struct("!QQ")
_SHARD_SHIFT: Final = 54
_RANDOM_MASK: Final = (1 << _SHARD_SHIFT) - 1
_FRACTION_MASK: Final = 0xFFF
_RANDOM_REFILL_BYTES: Final = 4_096  # 512 ids to one read of the system's generator


class IdError(ValueError):
    """A public id that names nothing we could have issued; the text itself is not repeated."""


class UUID7Source:
    """Issues UUIDv7 ids, strictly increasing for the life of the source.

    `now_us` gives microseconds since 1970 and may go backwards; `random(n)` gives n random bytes.
    Beyond 4.096 million ids a second the ids run ahead of the clock instead of repeating.
    `above` is an id that every new one must exceed: the newest of an earlier process of the same
    owner, whose clock may have been ahead of ours. `shard` is where what the ids name is at home.
    """

    __slots__ = ("_last_tick", "_low_bits", "_now_us", "_pool", "_pool_at", "_random")

    def __init__(
        self,
        now_us: Callable[[], int],
        random: Callable[[int], bytes],
        *,
        above: bytes = b"",
        shard: int = 0,
    ) -> None:
        if not 0 <= shard < SHARDS_MAX:
            raise ValueError(f"a shard is a number from 0 to {SHARDS_MAX - 1}")
        self._now_us = now_us
        self._random = random
        self._last_tick = _tick_of(above) if above else -1
        self._low_bits = _VARIANT_RFC | shard << _SHARD_SHIFT
        self._pool = b""
        self._pool_at = 0

    def next(self) -> bytes:
        """The next id, 16 bytes."""
        tick = self._last_tick = self._next_tick()
        at = self._pool_at
        if at == len(self._pool):
            self._pool = self._random(_RANDOM_REFILL_BYTES)
            at = 0
        self._pool_at = at + 8
        (noise,) = _HALF.unpack_from(self._pool, at)
        return _HALVES.pack(_high_half(tick), self._low_bits | noise & _RANDOM_MASK)

    def take(self, count: int) -> list[bytes]:
        """The next `count` ids in order, for a batch: a third of the cost of one by one."""
        first = self._next_tick()
        self._last_tick = first + count - 1
        noises = unpack(f"!{count}Q", self._random(8 * count))
        pack_id, low_bits = _HALVES.pack, self._low_bits
        return [
            pack_id(_high_half(tick), low_bits | noise & _RANDOM_MASK)
            for tick, noise in enumerate(noises, first)
        ]

    def _next_tick(self) -> int:
        milliseconds, microseconds = divmod(self._now_us(), 1_000)
        return max(milliseconds << 12 | (microseconds << 12) // 1_000, self._last_tick + 1)


def _high_half(tick: int) -> int:
    """The first eight bytes of an id: milliseconds, version, fraction."""
    return (tick >> 12) << 16 | _VERSION_7 | tick & _FRACTION_MASK


def _tick_of(id_: bytes) -> int:
    """Milliseconds and fraction of an id as one number, in 1/4096 ms."""
    return int.from_bytes(id_[:6]) << 12 | int.from_bytes(id_[6:8]) & _FRACTION_MASK


def shard_of(id_: bytes) -> int:
    """The shard where the payment intent of this id is at home, 0 to 255."""
    return (id_[8] & 0x3F) << 2 | id_[9] >> 6


def uuid7_time_us(id_: bytes) -> int:
    """When a UUIDv7 of ours was issued, in microseconds since 1970 (exact to one)."""
    fraction = int.from_bytes(id_[6:8]) & _FRACTION_MASK
    return int.from_bytes(id_[:6]) * 1_000 + (fraction * 1_000 >> 12)


def lowest_id_at(at_us: int) -> bytes:
    """The lowest sixteen bytes that an id issued in the millisecond of `at_us` can have.

    Bounds partitions and time filters: an id is at or above it exactly if it is not older.
    """
    return (at_us // 1_000).to_bytes(6) + bytes(10)


def public_id(prefix: Prefix, id_: bytes) -> str:
    """The outer form, such as `pi_01hN…`: prefix, underscore, 22 base62 digits."""
    # Halves first: nearly all divisions are then of numbers that fit a machine word.
    high, low = divmod(int.from_bytes(id_), 62**12)
    a, high = divmod(high, 62**6)
    a, b = divmod(a, _PAIR_BASE)
    c, high = divmod(high, 62**4)
    d, e = divmod(high, _PAIR_BASE)
    middle, low = divmod(low, 62**6)
    f, middle = divmod(middle, 62**4)
    g, h = divmod(middle, _PAIR_BASE)
    i, low = divmod(low, 62**4)
    j, k = divmod(low, _PAIR_BASE)
    of = _PAIRS
    return f"{prefix}_{of[a]}{of[b]}{of[c]}{of[d]}{of[e]}{of[f]}{of[g]}{of[h]}{of[i]}{of[j]}{of[k]}"


def parse_id(prefix: Prefix, text: str) -> bytes:
    """The sixteen bytes behind a public id.

    Raises:
        IdError: wrong prefix, wrong length, a character outside base62, or a value past 2^128.
    """
    head = len(prefix) + 1
    if not text.startswith(prefix + "_"):
        raise IdError(f"does not start with {prefix}_")
    if len(text) != head + PUBLIC_DIGITS:
        raise IdError(f"is not {PUBLIC_DIGITS} characters after {prefix}_")
    try:
        digits = int.from_bytes(text[head:].encode("ascii").translate(_DIGIT_VALUES))
    except UnicodeEncodeError:
        raise IdError("holds a character outside base62") from None
    if digits & _NO_DIGITS:
        raise IdError("holds a character outside base62")
    try:
        return _join_digits(digits).to_bytes(ID_BYTES)
    except OverflowError:
        raise IdError("is past 128 bits") from None


def _join_digits(digits: int) -> int:
    """The number that base62 digits, one a byte, stand for.

    All neighbors are joined at once: bytes to pairs, pairs to fours, fours to eights, each in a
    lane wide enough for it. Digit by digit, or with a table of pairs that the cache does not hold,
    it takes three times as long, and every request brings an id.
    """
    pairs = (digits >> 8 & _EVERY_2ND_BYTE) * 62 + (digits & _EVERY_2ND_BYTE)
    fours = (pairs >> 16 & _EVERY_2ND_16_BITS) * 62**2 + (pairs & _EVERY_2ND_16_BITS)
    eights = (fours >> 32 & _EVERY_2ND_32_BITS) * 62**4 + (fours & _EVERY_2ND_32_BITS)
    high, middle, low = eights >> 128, eights >> 64 & _LOW_64_BITS, eights & _LOW_64_BITS
    return (high * 62**8 + middle) * 62**8 + low


def event_id(table: str, key: bytes, version: int = 0) -> bytes:
    """The id of the event that one row version is (design 5).

    `version` is the intent's; of an outcome it is `outcome_number`, of other rows a number of their
    key, or 0.

    It depends on nothing but the table, the primary key and, for the mutable intent row, the
    version; so it survives fail-over and repair from the tables. Not a UUIDv7: it holds no time.
    """
    return blake2b(
        key + version.to_bytes(8), digest_size=ID_BYTES, person=table.encode()[:16]
    ).digest()


def outcome_number(phase: int, intent_version: int) -> int:
    """What tells an outcome's event from every other of its attempt: see `event_id`.

    An attempt has at most one outcome of each phase, but a ledger that is restored from a backup
    may come to another one than it had before. Versions of intents go on behind those that are lost
    (`ledger.relay.restores`), so with the intent's version both have names of their own.
    """
    return intent_version << 2 | phase
