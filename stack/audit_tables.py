"""The database's part of `turnout audit`: a running stack's tables held to its stream."""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import trio
from attrs import frozen

from chassis.log import configure_logging
from chassis.supervisor import StartError
from ledger.archive.catalog import work_folder
from ledger.archive.errors import ArchiveError
from ledger.archive.month_notes import read_month
from ledger.audit.comparison import Compared
from ledger.audit.findings import Findings
from ledger.audit.keys import KeyFileError, load_public
from ledger.audit.verify_rows import Progress, RowsError, RowsPlace, verify_rows
from ledger.audit.whole_stream import WholeStream
from ledger.connection import Connection
from ledger.errors import ConnectionLostError, LedgerError
from ledger.partitions import Month
from ledger.roles import READER
from stack.archive_place import KEY_STEM
from stack.audit_restores import restores
from stack.database import dsn_of_running
from stack.endings import EXIT_FAULT
from stack.endpoints import NotRunningError
from stack.options import EXIT_CANNOT_START, Place, quiet_log
from stack.running import RunningStack, find_running

EXITS: Final[dict[type[Exception], int]] = {
    NotRunningError: EXIT_CANNOT_START,
    StartError: EXIT_CANNOT_START,  # the database's passwords are the supervisor's
    ConnectionLostError: EXIT_CANNOT_START,
    RowsError: EXIT_CANNOT_START,
    LedgerError: EXIT_FAULT,
}
SHARD: Final = 0


@frozen
class Beside:
    """What a verification of the log could say of the tables.

    Attributes:
        compared: None where they were not compared.
        reason: why not; empty if they were.
    """

    compared: Compared | None
    reason: str = ""

    @property
    def rows(self) -> int:
        """How many were compared."""
        return self.compared.rows if self.compared else 0

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "compared": self.compared is not None,
            "reason": self.reason or None,
            "not_compared": sorted(self.compared.not_compared) if self.compared else [],
            "restores": restores(self.compared) if self.compared else [],
            "restores_unproven": self.compared.restores_unproven if self.compared else 0,
        }


def beside(place: Place, stream: WholeStream, findings: Findings, progress: Progress) -> Beside:
    """Compare the tables if that is possible now; say why if it is not."""
    try:
        return Beside(compare(place, stream, findings, progress))
    except NotRunningError:
        return Beside(None, "no stack runs on this data directory")
    except (StartError, LedgerError, OSError) as error:
        return Beside(None, str(error))


def compare(place: Place, stream: WholeStream, findings: Findings, progress: Progress) -> Compared:
    """Compare every row of a running stack with the stream.

    Raises:
        NotRunningError: no stack runs there.
        StartError: its passwords are not ours to read.
        LedgerError: or one of its children, such as `RowsError`.
        OSError: the stream is not ours to read.
    """
    stack = find_running(place.settings, place.data_dir)
    configure_logging(quiet_log(place.settings.log), process="audit")
    return trio.run(partial(_compare, stack, stream, findings, progress))


async def _compare(
    stack: RunningStack, stream: WholeStream, findings: Findings, progress: Progress
) -> Compared:
    settings = stack.settings
    session = await Connection.open(
        dsn_of_running(settings, stack.data_dir, stack.endpoints, READER),
        connect_timeout_s=settings.ledger.connect_timeout_s,
    )
    try:
        return await verify_rows(
            RowsPlace(
                session,
                stream,
                settings.relay.slot,
                settings.audit.verify_keys_max,
                settings.audit.verify_wait_s,
                partial(_unsigned, stack),
            ),
            findings,
            progress,
        )
    finally:
        await session.aclose()


def _unsigned(stack: RunningStack, month: Month) -> str:
    """Why the archive's key has not signed that a month was dropped; empty if it has."""
    work = work_folder(stack.data_dir, SHARD)
    try:
        read_month(work, load_public(work.parent / f"{KEY_STEM}.pub"), month.label)
    except (ArchiveError, KeyFileError, OSError) as error:
        return f"it was dropped, and nobody has signed that: {error}"
    return ""
