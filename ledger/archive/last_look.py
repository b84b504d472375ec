"""The last look at the legal holds before a segment is removed from anywhere.

Whoever removes looks here, and removes while this lasts: under the lock that whoever adds a hold
takes, too. So a hold that was acknowledged holds, against a run that is under way and against one
that takes up what another left undone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from chassis.durable import locked
from ledger.archive.contents import Contents, OwnersOf, contents_of, held_by
from ledger.archive.holds import Register
from ledger.archive.sealed import take_apart


@contextmanager
def last_look(
    holds: Register,
    owners_of: OwnersOf,
    read: Callable[[], bytes],
    *,
    shard: int,
    first_offset: int,
    dry: bool,
) -> Iterator[str]:
    """Say why a hold keeps a segment, empty if none does; that stays so until this is left.

    Args:
        holds: the register.
        owners_of: whose payments are whose, where the segment does not tell.
        read: the segment; called only where something is held, and before the lock if it can be.
        shard: whose segment it is.
        first_offset: of its first record.
        dry: nothing will be removed: take no lock.

    Raises:
        ArchiveError: the register, or the segment, is not what was signed.
    """

    def contents() -> Contents:
        return contents_of(take_apart(read(), shard=shard, first_offset=first_offset))

    known = contents() if holds.active() else None
    with nullcontext() if dry else locked(holds.lock):
        reason = None
        if lines := holds.active():  # one may have come meanwhile
            reason = held_by(lines, known or contents(), owners_of)
        yield f"segment {first_offset}: {reason}" if reason else ""
