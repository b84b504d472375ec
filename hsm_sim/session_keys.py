"""The life of a session MAC key, decided without I/O.

Theory of operation. Two sides that change a key cannot do it in the same instant, and the message
that would tell the other side may be lost. So a new key lives beside the old one:

    imported ──┐ verifies    confirm             promote
               ├──▶ next ───────────▶ next ─────────────▶ current ───────────────▶ previous ──▶ gone
    generated ─┘      │              (the peer has it)    makes, verifies   promote   verifies,
                      └──▶ gone: abandoned, or another next came        of another  until `expires`

A MAC is accepted by any living key, and until `promote` we make them with the old one, which the
peer accepts for the same reason. Whatever message of an exchange is lost, each side therefore
understands the other, and the exchange can be repeated or given up.

Who may promote? A key that the peer made is with the peer, so it is confirmed as soon as it is
here. A key that we made is confirmed by the peer's answer or, if that answer was lost, by the first
MAC that verifies with it.

`previous` still makes MACs too: a message may be packed with the old key's id in an instant before
the promotion and authenticated by another worker in the instant after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from hmac import compare_digest
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from hsm_sim.keys import NEVER_S
from hsm_sim.wire import KeyRefusalCode

SessionState = Literal["next", "current", "previous"]
# The order in which keys are tried and listed.
_RANKS: Final[dict[SessionState, int]] = {"current": 0, "next": 1, "previous": 2}


class KeyExchangeError(Exception):
    """A key is not accepted or cannot be moved on; `code` as in `hsm_sim.wire.KeyRefused`."""

    def __init__(self, code: KeyRefusalCode) -> None:
        super().__init__(code)
        self.code: KeyRefusalCode = code


class SessionKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One MAC key of a network; on disk everything but `wrapped` is bound to it as AAD."""

    network: str
    key_id: str
    origin: Literal["imported", "generated"]
    check_value: str
    state: SessionState
    created_at_s: int
    confirmed_at_s: int = 0
    promoted_at_s: int = 0
    expires_at_s: int = NEVER_S
    wrapped: bytes = b""


Ring = tuple[SessionKey, ...]
"""The keys of one network, at most one of them `next` and one `current`, in the order of trial."""


def living(ring: Ring, now_s: int) -> Ring:
    """The keys whose time is not over; the same object where that is all of them."""
    alive = tuple(key for key in ring if now_s < key.expires_at_s)
    return ring if len(alive) == len(ring) else alive


def find(ring: Ring, key_id: str) -> SessionKey:
    """The key of this id.

    Raises:
        KeyExchangeError: unknown_key.
    """
    for key in ring:
        if key.key_id == key_id:
            return key
    raise KeyExchangeError("unknown_key")


def install(ring: Ring, new: SessionKey) -> Ring:
    """Add a key as `next`; another `next` gives way.

    Raises:
        KeyExchangeError: key_id_in_use by a current or previous key.
    """
    kept = [key for key in ring if key.state != "next"]
    if any(key.key_id == new.key_id for key in kept):
        raise KeyExchangeError("key_id_in_use")
    return _ordered([*kept, new])


def confirm(ring: Ring, key_id: str, check_value: str, *, now_s: int) -> Ring:
    """Note that the peer holds a key; of a key beyond `next` there is nothing to note.

    Args:
        ring: the living keys.
        key_id: which.
        check_value: as the peer told it, or empty.
        now_s: seconds since 1970.

    Raises:
        KeyExchangeError: unknown_key, wrong_check_value.
    """
    key = find(ring, key_id)
    if check_value and not same_check_value(check_value, key.check_value):
        raise KeyExchangeError("wrong_check_value")
    if key.confirmed_at_s:
        return ring
    return _with(ring, replace(key, confirmed_at_s=now_s))


def promote(ring: Ring, key_id: str, *, now_s: int, overlap_s: int, previous_max: int) -> Ring:
    """Make a confirmed `next` current; the current key becomes previous for the overlap.

    Of more than `previous_max` previous keys those that expire first go at once.

    Raises:
        KeyExchangeError: unknown_key, not_confirmed, or wrong_state for a previous key.
    """
    key = find(ring, key_id)
    if key.state == "current":
        return ring
    if key.state == "previous":
        raise KeyExchangeError("wrong_state")
    if not key.confirmed_at_s:
        raise KeyExchangeError("not_confirmed")
    kept = [
        replace(each, state="previous", expires_at_s=now_s + overlap_s)
        if each.state == "current"
        else each
        for each in ring
        if each is not key
    ]
    previous = sorted(kept, key=lambda each: each.expires_at_s, reverse=True)[:previous_max]
    return _ordered([replace(key, state="current", promoted_at_s=now_s), *previous])


def abandon(ring: Ring, key_id: str) -> Ring:
    """Forget a `next`.

    Raises:
        KeyExchangeError: unknown_key, wrong_state.
    """
    key = find(ring, key_id)
    if key.state != "next":
        raise KeyExchangeError("wrong_state")
    return tuple(each for each in ring if each is not key)


def same_check_value(one: str, other: str) -> bool:
    """Whether two check values are the same, upper or lower case."""
    return compare_digest(one.upper().encode(), other.upper().encode())


def _with(ring: Ring, changed: SessionKey) -> Ring:
    return tuple(changed if key.key_id == changed.key_id else key for key in ring)


def _ordered(keys: Sequence[SessionKey]) -> Ring:
    return tuple(sorted(keys, key=lambda key: (_RANKS[key.state], -key.expires_at_s)))
