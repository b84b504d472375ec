"""Whether what a replica answered is as new as the question. Pure.

Theory of operation
-------------------
A replica is always a little behind, and nobody knows by how much. So each read asks the primary
first how far it is: the *read index* of Raft (Ongaro, Consensus: Bridging Theory and Practice,
section 6.4).

    1. primary   F = pg_current_wal_flush_lsn()
    2. replica   R = pg_last_wal_replay_lsn()        one pipeline: these are three statements,
                 the rows                            executed in this order
                 pg_is_in_recovery()

and the rows are good if R >= F and the replica has no more than the primary has: where R > F, the
primary is asked once more, after the replica. Proof, for any write W that had been answered, to
anyone, before the read was asked for:

- *W is at or below F.* With `synchronous_commit = on`, which every session has that moves payments,
  Postgres flushes a commit's record before it makes the commit visible or answers (`XLogFlush`
  precedes `ProcArrayEndTransaction` in `CommitTransaction`). F is asked for afterwards, and the
  flush position only grows. Nobody has to remember who wrote what: switch, sweeper, late answer
  and operator are alike.
- *R >= F means that the replica's readers see W.* R is the end of the last record that was replayed
  wholly; it is moved on after the record's effects, for a commit after its transaction has become
  visible (`ApplyWalRecord`: `rm_redo`, then `lastReplayedEndRecPtr`).
- *The rows are read after R.* The server handles a pipeline's messages one after the other. The
  sessions are READ COMMITTED, so the snapshot of the second statement is taken when it is bound:
  after the first one has been executed. Were R asked for in the same statement as the rows, the
  snapshot could be older than R, and the proof would not hold.
- *It is the same history.* Positions of two clusters, or of two timelines of one, say nothing about
  each other. Both sides name system identifier and timeline each time. A replica's timeline is that
  of its last restart point, and of the place that it must recover to; both must be the primary's.
- *And nothing that the primary has lost.* A ledger whose disk was set back to a snapshot goes on in
  the same timeline, and a replica may have replayed what is no more. Only what is flushed is sent
  to a replica, so R is never above a flush position that was asked for after it; else it is a
  stranger's. Once the primary has written past R again, positions tell no more: whoever runs a
  replica looks before that (`ledger.embedded.replica`), or has it built anew.
- *It was a replica throughout.* A promoted server takes writes of its own. Promotion is for good
  while a server runs, so being in recovery after the rows means having been so before.

Not covered are sessions with `synchronous_commit = off`: what they commit is visible before it is
flushed. Postings are booked so; balances are therefore read on the primary.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple

from ledger.queries import Query

READ_INDEX: Final = Query(
    "read_index",
    "SELECT (f.lsn - '0/0')::bigint, c.system_identifier,"
    " ('x' || left(pg_walfile_name(f.lsn), 8))::bit(32)::integer"
    " FROM pg_current_wal_flush_lsn() AS f (lsn), pg_control_system() AS c",
)
REPLAYED: Final = Query(
    "replayed",
    "SELECT (pg_last_wal_replay_lsn() - '0/0')::bigint, s.system_identifier,"
    " c.timeline_id, r.min_recovery_end_timeline"
    " FROM pg_control_system() AS s, pg_control_checkpoint() AS c, pg_control_recovery() AS r",
)
IN_RECOVERY: Final = Query("in_recovery", "SELECT pg_is_in_recovery()")


class ReadIndex(NamedTuple):
    """What the primary says before a read.

    Attributes:
        flushed_lsn: every commit that was visible is at or below it.
        system_identifier: of its cluster.
        timeline: of its WAL.
    """

    flushed_lsn: int
    system_identifier: int
    timeline: int


class Replayed(NamedTuple):
    """What a replica says before it reads.

    Attributes:
        replayed_lsn: the end of what its readers see; None before it has replayed anything.
        system_identifier: of its cluster.
        checkpoint_timeline: of its last restart point.
        recovery_timeline: of the place that it would have to recover to; 0 where there is none.
    """

    replayed_lsn: int | None
    system_identifier: int
    checkpoint_timeline: int
    recovery_timeline: int


class Standing(enum.Enum):
    """What a replica's answer is worth; the value is the word for the log."""

    CURRENT = "is current"
    AHEAD = "is ahead of what the primary said"  # which must be asked again, see `judge_ahead`
    BEHIND = "is behind"
    PROMOTED = "is no replica any more"
    STRANGER = "is of another history"


def judge(index: ReadIndex, replayed: Replayed, *, in_recovery: bool) -> Standing:
    """Whether an answer may be given.

    Args:
        index: of the primary, asked for after the read was.
        replayed: of the replica, asked for before the rows.
        in_recovery: likewise, after the rows.
    """
    if not in_recovery:
        return Standing.PROMOTED
    timelines = {index.timeline, replayed.checkpoint_timeline}
    if replayed.recovery_timeline:
        timelines.add(replayed.recovery_timeline)
    if len(timelines) > 1 or replayed.system_identifier != index.system_identifier:
        return Standing.STRANGER
    if replayed.replayed_lsn is None or replayed.replayed_lsn < index.flushed_lsn:
        return Standing.BEHIND
    return Standing.CURRENT if replayed.replayed_lsn == index.flushed_lsn else Standing.AHEAD


def judge_ahead(later: ReadIndex, replayed: Replayed) -> Standing:
    """Whether an answer that was ahead of the primary's first word may be given: current, or not.

    Args:
        later: of the primary, asked for after `replayed` was.
        replayed: of the replica, ahead of the earlier index.
    """
    if judge(later, replayed, in_recovery=True) in (Standing.CURRENT, Standing.BEHIND):
        return Standing.CURRENT
    return Standing.STRANGER
