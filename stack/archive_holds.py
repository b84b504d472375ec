"""What `turnout archive hold` does: says what may be removed from nowhere, and who said so."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from chassis.clock import now_us
from ledger.archive.catalog import FOLDER, make_work_folder
from ledger.archive.errors import ArchiveError
from ledger.archive.holds import Line, Register
from ledger.audit.keys import KeyFileError, KeyPair, load_public
from ledger.ids import public_id
from ledger.operators import OperatorError, check_texts
from stack.archive_place import archive_key_stem, archive_pair
from stack.endings import EXIT_FAULT
from stack.instants import rfc3339
from stack.log_key import log_key_of
from stack.options import EXIT_CANNOT_START, Place

Document = dict[str, Any]

SHARD: Final = 0
EXITS: Final[dict[type[Exception], int]] = {
    KeyFileError: EXIT_CANNOT_START,
    OSError: EXIT_CANNOT_START,
    ArchiveError: EXIT_FAULT,
    OperatorError: EXIT_FAULT,
}


def add(
    place: Place,
    *,
    operator: str,
    reason: str,
    merchant: bytes | None = None,
    intent: bytes | None = None,
    span_us: tuple[int, int] | None = None,
) -> Document:
    """Hold a merchant's payments, one payment, or all that was committed in a span of time.

    Raises:
        OperatorError: the texts cannot be kept.
        ArchiveError: what was noted before is not what was signed.
        KeyFileError: there is no audit log, or the archive's key cannot be used.
        OSError: it cannot be noted.
    """
    check_texts(operator, reason)
    begin_us, end_us = span_us or (None, None)
    line = Line(
        number=0,
        action="add",
        at_us=now_us(),
        operator=operator,
        reason=reason,
        merchant=None if merchant is None else merchant.hex(),
        intent=None if intent is None else intent.hex(),
        begin_us=begin_us,
        end_us=end_us,
    )
    pair = _pair(place)
    return _document(_register(place, pair).add(pair, line))


def release(place: Place, *, number: int, operator: str, reason: str) -> Document:
    """Let go of a hold; raises as `add`, and where there is none of this number."""
    check_texts(operator, reason)
    line = Line(number=number, action="release", at_us=now_us(), operator=operator, reason=reason)
    pair = _pair(place)
    return _document(_register(place, pair).release(pair, line))


def list_holds(place: Place, *, released_too: bool) -> Document:
    """The holds that hold; with `released_too` every deed there ever was."""
    public = archive_key_stem(place).with_suffix(".pub")
    register = Register(place.data_dir / FOLDER, load_public(public) if public.exists() else None)
    lines = register.lines() if released_too else register.active()
    return {"holds": [_document(line) for line in lines]}


def _pair(place: Place) -> KeyPair:
    log_key = log_key_of(place)
    make_work_folder(place.data_dir, SHARD)
    return archive_pair(place, log_key)


def _register(place: Place, pair: KeyPair) -> Register:
    folder: Path = place.data_dir / FOLDER
    return Register(folder, pair.public)


def _document(line: Line) -> Document:
    return {
        "hold": line.number,
        "action": line.action,
        "at": rfc3339(line.at_us),
        "operator": line.operator,
        "reason": line.reason,
        "merchant": line.merchant and public_id("mer", bytes.fromhex(line.merchant)),
        "intent": line.intent and public_id("pi", bytes.fromhex(line.intent)),
        "begin": None if line.begin_us is None else rfc3339(line.begin_us),
        "end": None if line.end_us is None else rfc3339(line.end_us),
    }
