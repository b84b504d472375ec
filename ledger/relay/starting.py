"""Whether the relay may go on where the stream ends: a table of cases, decided before it starts.

Theory of operation
-------------------
The stream knows how far it has taken in whose WAL (its mark). The server knows who it is, and how
far our slot was acknowledged. Acknowledgments follow what is durable in the stream, so in good
order the slot lies at the mark or before it, and everything between is sent again and dropped.
Every other case means that the stream lacks something, or holds something the database lacks. Then
nothing is streamed past it: what is missing is read from the tables first (`ledger.relay.repair`).

Where the database is provably the one whose changes the stream holds, and only the slot's memory
is gone, a repair can do no harm and the relay makes it by itself, loudly. Where the database is
another one, or is older than the stream, the relay waits: it may be the wrong database, a backup
restored by mistake, or an old primary that came back. An operator says which it is, and that word
is good for exactly this case: `Refusal.id` is made of everything that was found.
"""

from __future__ import annotations

import enum
from hashlib import sha256
from typing import Final

import msgspec

from ledger.relay.positions import Identity, Slot
from ledger.stream.record import Mark


class Finding(enum.Enum):
    """What is out of order; the value is the word that operators read."""

    FIRST_START = "first_start"
    SLOT_MISSING = "slot_missing"
    SLOT_LOST = "slot_lost"
    SLOT_AHEAD = "slot_ahead"
    STREAM_MISSING = "stream_missing"
    OTHER_SLOT = "other_slot"
    OTHER_SYSTEM = "other_system"
    OTHER_TIMELINE = "other_timeline"
    STREAM_AHEAD = "stream_ahead"


EXPLANATIONS: Final = {
    Finding.FIRST_START: "the stream is new; it begins with what the tables hold",
    Finding.SLOT_MISSING: "the replication slot is gone, and with it the changes since",
    Finding.SLOT_LOST: "the server gave the slot up and removed WAL that the stream lacks",
    Finding.SLOT_AHEAD: "the slot was made anew or moved on; the stream lacks what lies between",
    Finding.STREAM_MISSING: "the slot exists, but the stream that it fed is gone",
    Finding.OTHER_SLOT: "a slot of that name exists that is not the relay's",
    Finding.OTHER_SYSTEM: "this is another database cluster than the one the stream was fed from",
    Finding.OTHER_TIMELINE: "the database took another turn than the stream: a restore, or a "
    "promotion that left commits behind which the stream holds",
    Finding.STREAM_AHEAD: "the database is older than the stream: it lost commits that the stream "
    "holds, or was restored",
}
# The database is the right one beyond doubt: a repair adds what is missing, and changes nothing.
_HARMLESS: Final = frozenset(
    {Finding.FIRST_START, Finding.SLOT_MISSING, Finding.SLOT_LOST, Finding.SLOT_AHEAD}
)


# It is the right one, and older than the stream: what the stream has of a later state is lost.
SET_BACK: Final = frozenset({Finding.OTHER_TIMELINE, Finding.STREAM_AHEAD})


class Stream(msgspec.Struct, frozen=True):
    """In order: let the changes flow, and drop what lies before `after_lsn`."""

    after_lsn: int


class Repair(msgspec.Struct, frozen=True):
    """Make the slot anew and read from the tables what the stream lacks; then stream."""

    finding: Finding


class Refusal(msgspec.Struct, frozen=True):
    """Stream nothing before an operator has agreed to a repair.

    Attributes:
        finding: what is out of order.
        id: sixteen bytes that name this case, and no other.
    """

    finding: Finding
    id: bytes


Decision = Stream | Repair | Refusal


def decide(
    mark: Mark | None,
    identity: Identity,
    history: dict[int, int],
    slot: Slot | None,
    *,
    approved: bytes | None = None,
    found_ahead: Mark | None = None,
) -> Decision:
    """Decide how to start.

    Args:
        mark: the stream's; None where it has never been written to.
        identity: of the cluster that answers.
        history: where the ancestors of its timeline were left.
        slot: ours, as the server shows it; None where there is none.
        approved: the case that an operator has agreed to repair, if any.
        found_ahead: the mark that this database was found to be older than, if it was noted there.
            Its WAL goes on, and reaches that mark some time, with other commits than the stream's.
    """
    finding = examine(mark, identity, history, slot, found_ahead)
    if finding is None:
        assert mark is not None
        return Stream(mark.end_lsn)
    case = case_id(finding, mark, identity)
    if finding in _HARMLESS or case == approved:
        return Repair(finding)
    return Refusal(finding, case)


def examine(
    mark: Mark | None,
    identity: Identity,
    history: dict[int, int],
    slot: Slot | None,
    found_ahead: Mark | None,
) -> Finding | None:
    """Find what is out of order; None when nothing is. The first of several counts."""
    if slot is not None and not slot.is_ours:
        return Finding.OTHER_SLOT
    if mark is None:
        return Finding.FIRST_START if slot is None else Finding.STREAM_MISSING
    found = _examine_database(mark, identity, history, found_ahead)
    return found or _examine_slot(mark, slot)


def _examine_database(
    mark: Mark, identity: Identity, history: dict[int, int], found_ahead: Mark | None
) -> Finding | None:
    """Whether this database has committed what the stream holds, and nothing else before it."""
    if mark.system_identifier != identity.system_identifier:
        return Finding.OTHER_SYSTEM
    if mark.timeline == identity.timeline:
        is_ahead = mark.end_lsn > identity.flushed_lsn or mark == found_ahead
        return Finding.STREAM_AHEAD if is_ahead else None
    # A promotion begins a timeline: ours must have been left no sooner than where the stream ends.
    left_at = history.get(mark.timeline, -1)
    return Finding.OTHER_TIMELINE if mark.end_lsn > left_at else None


def _examine_slot(mark: Mark, slot: Slot | None) -> Finding | None:
    """Whether the server still has everything after the mark."""
    if not mark.end_lsn:  # a first start that did not come to its end
        return Finding.FIRST_START
    if slot is None:
        return Finding.SLOT_MISSING
    if slot.lost:
        return Finding.SLOT_LOST
    return Finding.SLOT_AHEAD if slot.confirmed_lsn > mark.end_lsn else None


def case_id(finding: Finding, mark: Mark | None, identity: Identity) -> bytes:
    """Name a case, so that an operator's word about it serves for no other."""
    words = [finding.value, str(identity.system_identifier), str(identity.timeline)]
    if mark is not None:
        words += [str(mark.system_identifier), str(mark.timeline), str(mark.end_lsn)]
    return sha256(" ".join(words).encode()).digest()[:16]
