"""Messages that ask and move nothing: inquiries (0600) and reconciliation (0500). Pure.

An inquiry names one earlier message by DE 32, 37 and 42 and, in DE 90, its MTI, DE 11 and DE 7. It
must also agree with it in card, amount and currency. The answer's DE 39 is about the inquiry:

    the message never came, or was another           25
    its answer is still under way                    09
    it was decided                                   00, and DE 62 tells how

An 0500 tells the acquirer's totals of one settlement date (DE 15) and currency (DE 50). The answer
holds the network's own, and DE 66: 1 where every count and sum is equal, otherwise 2.
"""

from __future__ import annotations

from collections.abc import Mapping

from network_sim.advices import original_of
from network_sim.books import Books
from network_sim.journal import message_body
from network_sim.messages import (
    APPROVALS,
    APPROVED,
    IN_PROGRESS,
    NOT_FOUND,
    found,
    plain_answer,
)
from network_sim.totals import BALANCED, OUT_OF_BALANCE, Totals

Fields = Mapping[int, str]


def inquire(books: Books, fields: Fields, now_us: int) -> dict[int, str]:
    """The 0610 to a complete 0600."""
    origin = original_of(fields)
    identity = books.identity(fields[32], origin[:6], origin[6:], fields[37], fields[42])
    decided = books.messages.get(identity)
    if decided is None or not decided.body:
        return plain_answer(fields, NOT_FOUND)
    asked = message_body(fields[90][:4], fields[3], fields[4], fields[49], fields[2]).split("\t")
    known = decided.body.split("\t")[:5]
    del asked[1], known[1]  # the processing code: an inquiry may have its own
    if asked != known:
        return plain_answer(fields, NOT_FOUND)
    if now_us < decided.under_way_until_us:
        return plain_answer(fields, IN_PROGRESS)
    approved = decided.response_code in APPROVALS
    return found(
        plain_answer(fields, APPROVED),
        response_code=decided.response_code,
        approval_code=origin[5::-1] if approved else "",
        approved=decided.approved,
        reversed_=decided.reversed,
    )


def reconcile(books: Books, fields: Fields) -> dict[int, str]:
    """The 0510 to a complete 0500, the 0530 to a complete 0520."""
    day = books.date_of(fields[15])
    totals = books.totals(fields[32], fields[50], day) if day else Totals()
    code = BALANCED if totals.agrees_with(fields) else OUT_OF_BALANCE
    return {
        **plain_answer(fields, APPROVED),
        15: fields[15],
        50: fields[50],
        66: code,
        **totals.elements(),
    }
