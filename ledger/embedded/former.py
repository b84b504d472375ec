"""What an earlier run with a replica has left, where the ledger is to have none.

A supervisor that was killed leaves its replica running: it would go on following the primary, and
take its slot again as soon as that was dropped. So its processes are ended before the primary
starts, and the file goes with which it logs in. The copy stays: it may be large, and removing it is
the operator's to decide.

Nothing here keeps a primary from starting. A slot that stays pins no more WAL than
`ledger.max_slot_wal_keep_size`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from chassis.log import get_logger
from ledger.connection import Connection
from ledger.embedded.cluster import Layout
from ledger.embedded.identity import Identity
from ledger.embedded.orphans import clear_orphans
from ledger.embedded.slot import drop_slot
from ledger.errors import DatabaseError, EmbeddedPostgresError

ORPHANS_WAIT_S: Final = 1.0  # for processes of a replica, after each signal

_log = get_logger(__name__)


def password_file(data_dir: Path) -> Path:
    """Where a replica finds how it logs in at the primary."""
    return data_dir / "replica.pgpass"


async def end_former_replica(data_dir: Path, identity: Identity) -> None:
    """End the processes of a replica that is no more, and forget how it logs in.

    Args:
        data_dir: whose ledger is to have no replica; the caller holds its server's lock.
        identity: who both servers run as.

    Raises:
        OSError: The file cannot be removed.
    """
    try:
        await clear_orphans(
            Layout(data_dir, "replica").data,
            identity,
            stop_timeout_s=0.0,
            kill_wait_s=ORPHANS_WAIT_S,
        )
    except EmbeddedPostgresError as error:
        _log.error("a former replica cannot be ended", reason=str(error))
    password_file(data_dir).unlink(missing_ok=True)


async def drop_former_slot(session: Connection) -> None:
    """Have the primary keep no more WAL for it."""
    try:
        await drop_slot(session)
    except DatabaseError as error:  # still in use, by whomever
        _log.error("the slot of a former replica cannot be dropped", reason=str(error))
