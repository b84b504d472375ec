"""The database's part of `turnout archive run`: months of the tables that are dropped, or stay."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from attrs import frozen

from chassis.clock import now_us
from chassis.supervisor import StartError
from ledger.archive.catalog import FOLDER, archived, old_end, read_catalog, work_folder
from ledger.archive.entries import ArchivedRecords
from ledger.archive.holds import Register
from ledger.archive.months import Dropped, MonthDropper
from ledger.archive.store import Store
from ledger.archive.trimming import DAY_US
from ledger.audit.findings import Findings
from ledger.audit.keys import KeyPair
from ledger.audit.notes import VerifierKey
from ledger.audit.segment_entries import Entries
from ledger.connection import Connection
from ledger.errors import LedgerError
from ledger.partitions import detached_months
from ledger.roles import OWNER, READER
from stack.archive_needs import ask, event_readers
from stack.deeds import login_name
from stack.endpoints import NotRunningError
from stack.options import Place

Document = dict[str, Any]
Progress = Callable[[int, int], None]

SHARD: Final = 0
DAY_S: Final = 86_400
SCAN_S: Final = (
    3_600.0  # for a statement that reads a month; those that payments wait for have less
)


@frozen
class MonthsPlace:
    """Where months are dropped, and with what.

    Attributes:
        place: the stack's.
        store: of its archive.
        pair: the archive's key.
        log_key: the log's.
    """

    place: Place
    store: Store
    pair: KeyPair
    log_key: VerifierKey

    def drop(self, progress: Progress, *, dry: bool) -> Document:
        """Drop the months that may go; what was done, and what stays and why."""
        if not self.place.settings.archive.database_days and not self._is_begun():
            return untouched("archive.database_days is 0: months stay in the tables")
        work = work_folder(self.place.data_dir, SHARD)
        grace_us = round(self.place.settings.archive.grace_days * DAY_US)
        end = old_end(archived(read_catalog(work)), now_us() - grace_us)
        behind = _behind(event_readers(self.place), end)
        try:
            done = ask(
                self.place,
                OWNER,
                partial(self._drop, end=end, behind=behind, progress=progress, dry=dry),
                answer_timeout_s=SCAN_S,
            )
        except NotRunningError:
            return untouched("no stack runs on this data directory")
        except (StartError, LedgerError) as error:
            return untouched(str(error))
        return {
            "dropped_months": done.months,
            "rows": done.rows,
            "kept_months": done.kept,
            "kept": None,
            "broken_off": done.broken_off or None,
        }

    def _is_begun(self) -> bool:
        """Whether a run that was to drop months has left one detached: it is attached again."""
        try:
            return bool(ask(self.place, READER, detached_months))
        except (NotRunningError, StartError, LedgerError):
            return False

    async def _drop(
        self, session: Connection, *, end: int, behind: str, progress: Progress, dry: bool
    ) -> Dropped:
        settings, work = self.place.settings, work_folder(self.place.data_dir, SHARD)
        records = ArchivedRecords(self.store, SHARD, self.pair.public, self.log_key)

        def read(findings: Findings) -> Iterator[Entries]:
            return records.read(end, findings)

        return await MonthDropper(
            session=session,
            work=work,
            store=self.store,
            pair=self.pair,
            read=read,
            behind=behind,
            holds=Register(self.place.data_dir / FOLDER, self.pair.public),
            days=settings.archive.database_days,
            refund_days=settings.hsm.card_key_decrypt_only_s / DAY_S,
            keys_max=settings.audit.verify_keys_max,
            operator=login_name(),
            now_us=now_us,
            shard=SHARD,
        ).run(progress, dry=dry)


def _behind(needs: dict[str, int] | str, end: int) -> str:
    """Say who has not taken in all that months rely on; empty if everybody has."""
    if isinstance(needs, str):
        return f"nobody can tell how far the consumers are: {needs}"
    for who, needed in sorted(needs.items(), key=lambda one: one[1]):
        if needed < end:
            return f"{who} has taken in no more than the records before {needed}, of {end}"
    return ""


def untouched(reason: str) -> Document:
    """Nothing was looked at, and why."""
    return {"dropped_months": [], "rows": 0, "kept_months": {}, "kept": reason, "broken_off": None}
