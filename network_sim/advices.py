"""Captures and reversals: what an issuer makes of a message about an earlier one. Pure.

A capture (0220) takes from the hold of its payment, found by DE 32, 37 and 42:

    no such hold                                     25, nothing found
    the authorization was reversed                   12, nothing to capture any more
    another card or currency than the hold's         12
    nothing, or more than is held                    13
    otherwise                                        00: held becomes posted

A reversal (0400, 0420) undoes the message that DE 90 names:

    it never came                                    25; should it come, it is declined (3.11)
    it was declined, or is reversed already          21, no action
    an authorization with captures, wholly           12: money that was taken is refunded instead
    an authorization                                 00: what is held is released
    a sale, a refund, a capture                      00: what it posted goes back

With an amount in DE 95, a part: so much of what was approved stays, captures included. It can only
become less, and not less than what was captured; anything else is answered 12.
"""

from __future__ import annotations

from collections.abc import Mapping

from network_sim.books import Books
from network_sim.holds import Hold, hold_key
from network_sim.memory import Decided
from network_sim.messages import (
    AMOUNT_DIGITS,
    APPROVED,
    CAPTURES,
    INVALID_AMOUNT,
    INVALID_TRANSACTION,
    NO_ACTION,
    NOT_FOUND,
)

Fields = Mapping[int, str]
Verdict = tuple[str, int, int]  # DE 39; minor units more held, and more posted


def capture(books: Books, fields: Fields, masked_pan: str) -> Verdict:
    """Decide an 0220 that is new."""
    hold = books.holds.get(hold_key(fields[32], fields[37], fields[42]))
    amount = int(fields[4])
    if hold is None:
        return NOT_FOUND, 0, 0
    if hold.reversed or hold.card != masked_pan or hold.currency != fields[49]:
        return INVALID_TRANSACTION, 0, 0
    if not 0 < amount <= hold.held:
        return INVALID_AMOUNT, 0, 0
    hold.held -= amount
    hold.captured += amount
    books.today(fields[32], fields[49]).add(amount)
    return APPROVED, -amount, amount


def original_of(fields: Fields) -> str:
    """DE 11 and DE 7 of the message that a reversal or inquiry names in DE 90."""
    return fields[90][4:20]


def remaining_of(fields: Fields) -> str:
    """The amount of DE 95 that stays, twelve digits; empty for a whole reversal."""
    text = fields.get(95, "")[:AMOUNT_DIGITS]
    return text if text.strip("0 ") else ""


def named_original(fields: Fields) -> str:
    """What a reversal is of, as the record has it (`journal.Entry.original`)."""
    return original_of(fields) + remaining_of(fields)


def reverse(books: Books, fields: Fields) -> Verdict:
    """Decide a reversal that is new."""
    origin = original_of(fields)
    identity = books.identity(fields[32], origin[:6], origin[6:], fields[37], fields[42])
    original = books.messages.get(identity)
    hold = _hold_of(books, fields, original, origin)
    remaining = remaining_of(fields)
    if hold is not None:
        verdict = _release(hold, remaining)
    elif original is not None and original.body:
        verdict = _undo(books, fields, original, remaining)
    else:
        verdict = (NOT_FOUND, 0, 0)
    if not remaining and verdict[0] in (APPROVED, NOT_FOUND):
        books.mark_reversed(identity)
    return verdict


def _hold_of(books: Books, fields: Fields, original: Decided | None, origin: str) -> Hold | None:
    """The hold of the authorization that is reversed, also where the message is forgotten."""
    if original is not None and original.body:
        return original.hold
    hold = books.holds.get(hold_key(fields[32], fields[37], fields[42]))
    return hold if hold is not None and hold.origin == origin else None


def _release(hold: Hold, remaining: str) -> Verdict:
    """Let go what an authorization holds, or a part of it."""
    if hold.reversed:
        return NO_ACTION, 0, 0
    if not remaining and hold.captured:
        return INVALID_TRANSACTION, 0, 0
    stays = int(remaining) - hold.captured if remaining else 0
    released = hold.held - stays
    if not 0 <= released <= hold.held:
        return INVALID_TRANSACTION, 0, 0
    hold.held = stays
    hold.reversed = not remaining
    return APPROVED, -released, 0


def _undo(books: Books, fields: Fields, original: Decided, remaining: str) -> Verdict:
    """Give back what a sale, a refund or a capture posted, or a part of it."""
    if original.reversed or not original.posted:
        return NO_ACTION, 0, 0
    stays = int(remaining or 0)
    mti, _, _, currency, _ = original.body.split("\t")
    if stays > abs(original.posted) or currency != fields[49]:
        return INVALID_TRANSACTION, 0, 0
    change = stays - original.posted if original.posted > 0 else -stays - original.posted
    original.posted += change
    books.today(fields[32], currency).add_reversal(change)
    hold = books.holds.get(hold_key(fields[32], fields[37], fields[42]))
    if mti not in CAPTURES or hold is None:
        return APPROVED, 0, change
    hold.captured += change
    hold.held -= change
    return APPROVED, -change, change
