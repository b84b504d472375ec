"""What some outcomes of commit 2 bring with them, in the same transaction.

An unknown opens a doubt and a late answer ends it; an authorization may be captured for a time; a
decline is remembered; an automatic charge on a dual-message network is completed by a message of
its own. Most batches of approvals bring none of this and are one statement, as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Final

from ledger.connection import Step
from ledger.pgtypes import (
    int2_array,
    int8_array,
    text_array,
    timestamptz_array,
    uuid_array,
)
from ledger.records import OutcomeToRecord
from ledger.statements import QUERIES

_OPEN: Final = QUERIES["open_verifications"]
_CLOSE: Final = QUERIES["close_verifications"]
_EXPIRE: Final = QUERIES["expire_authorizations"]
_DECLINES: Final = QUERIES["remember_settled_declines"]
_COMPLETIONS: Final = QUERIES["record_completions"]
_DAY_0: Final = date(2000, 1, 1).toordinal()


@lru_cache(maxsize=64)
def settlement_day(settles_on: str) -> int | None:
    """Days since 2000-01-01 of a settlement date, YYYY-MM-DD.

    What is no date is none: an outcome is not lost for a network's bad DE 15.
    """
    try:
        return date.fromisoformat(settles_on).toordinal() - _DAY_0
    except ValueError:
        return None


def further_steps(rows: Sequence[OutcomeToRecord], head: Sequence[bytes]) -> list[Step]:
    """The statements that follow `settle_outcomes` for these rows; `head` is switch and epoch."""
    steps: list[Step] = []
    if doubts := [row for row in rows if row.verify_at_us]:
        instants = [row.verify_at_us for row in doubts], [row.verify_until_us for row in doubts]
        steps.append((_OPEN, [*head, *_ids(doubts), *map(timestamptz_array, instants)]))
    if late := [row for row in rows if row.phase == 2]:
        steps.append((_CLOSE, _ids(late)))
    if lapsing := [row for row in rows if row.capture_before_us]:
        instants_ = timestamptz_array([row.capture_before_us for row in lapsing])
        steps.append((_EXPIRE, [*_ids(lapsing), _phases(lapsing), instants_]))
    if declined := [row for row in rows if row.decline_class]:
        classes = text_array([row.decline_class for row in declined])
        steps.append((_DECLINES, [*_ids(declined), _phases(declined), classes]))
    if completed := [row for row in rows if row.completion is not None]:
        steps.append(_completions(completed, head))
    return steps


def _completions(rows: Sequence[OutcomeToRecord], head: Sequence[bytes]) -> Step:
    messages = [row.completion for row in rows if row.completion is not None]
    return _COMPLETIONS, [
        *head,
        *_ids(rows),
        _phases(rows),
        uuid_array([message.attempt_id for message in messages]),
        text_array([message.mti for message in messages]),
        text_array([message.stan for message in messages]),
        text_array([message.de7 for message in messages]),
        timestamptz_array([message.due_at_us for message in messages]),
        int8_array([row.approved_minor for row in rows]),
    ]


def _ids(rows: Sequence[OutcomeToRecord]) -> list[bytes]:
    return [
        uuid_array([row.intent_id for row in rows]),
        uuid_array([row.attempt_id for row in rows]),
    ]


def _phases(rows: Sequence[OutcomeToRecord]) -> bytes:
    return int2_array([row.phase for row in rows])
