"""Giving back cards that the ledger keeps: what captures, refunds and reversals need.

It is not `open_cards` with another input. Opening needs a card that its holder has just sealed,
and a thief has none; releasing needs only the ledger's rows, and a thief in the switch has them
all. So every batch leaves an audit line that is durable before the cards leave, and no more than a
set number leave within any minute. Why the two are apart: docs/adr/0011.

The workers of one HSM do not know of each other, so each keeps to its share of the limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from hsm_sim.audit import Entry
from hsm_sim.seal import UnsealError, card_context, key_version
from hsm_sim.vault import Vault
from hsm_sim.wire import CardToRelease, ReleaseCards, ReleasedCard, ReleaseRefused

UNDECRYPTABLE: Final = ReleaseRefused("card_undecryptable")
SHREDDED: Final = ReleaseRefused("card_shredded")
WINDOW_S: Final = 60
IDS_PER_LINE: Final = 32  # as many as a detail of the audit log holds
_EXPIRY_CHARS: Final = 4


class ReleaseLimit:
    """At most so many releases within any 60 seconds, to the second.

    Args:
        per_minute_max: the bound.
    """

    def __init__(self, per_minute_max: int) -> None:
        self._max = per_minute_max
        self._seconds: deque[tuple[int, int]] = deque()  # second, releases within it
        self._total = 0

    def take(self, count: int, *, now: float) -> bool:
        """Take leave for `count` releases, all or none.

        Args:
            count: releases wanted.
            now: seconds of a clock that never goes back.
        """
        second = int(now)
        seconds = self._seconds
        while seconds and seconds[0][0] <= second - WINDOW_S:
            self._total -= seconds.popleft()[1]
        if self._total + count > self._max:
            return False
        if seconds and seconds[-1][0] == second:
            count_before = seconds.pop()[1]
            seconds.append((second, count_before + count))
        else:
            seconds.append((second, count))
        self._total += count
        return True


def release_cards(
    vault: Vault, cards: Sequence[CardToRelease], *, now_s: int
) -> list[ReleasedCard | ReleaseRefused]:
    """Unseal each card, or refuse it; one bad card never affects its neighbors.

    Args:
        vault: the keys.
        cards: in order; the answer has the same order.
        now_s: decides which keys live, seconds since 1970.
    """
    return [_release(vault, card, now_s) for card in cards]


def _release(vault: Vault, card: CardToRelease, now_s: int) -> ReleasedCard | ReleaseRefused:
    until_s = vault.cards_until.get(key_version(card.sealed))
    if until_s is not None and now_s >= until_s:
        return SHREDDED
    try:
        clear = vault.cards.unseal(card.sealed, card_context(card.intent_id, card.merchant_id))
    except UnsealError:
        return UNDECRYPTABLE
    text = clear.decode("ascii")  # expiry and number, as `open_cards` wrote them
    return ReleasedCard(pan=text[_EXPIRY_CHARS:], expiry=text[:_EXPIRY_CHARS])


def audit_entries(request: ReleaseCards, *, uid: int, refused: int) -> list[Entry]:
    """What the audit log says of a batch: how many, for what, for whom, for which intents.

    A line holds 32 ids (hex, the way Postgres shows a uuid but for the dashes); a larger batch
    has several lines, each with its own count. The first one carries the refusals.
    """
    ids = [card.intent_id.hex() for card in request.cards]
    entries: list[Entry] = []
    for start in range(0, len(ids), IDS_PER_LINE):
        here = ids[start : start + IDS_PER_LINE]
        entries.append(
            (
                "cards_released",
                {
                    "purpose": request.purpose,
                    "count": len(here),
                    "refused": 0 if start else refused,
                    "uid": uid,
                    "intents": ",".join(here),
                },
            )
        )
    return entries
