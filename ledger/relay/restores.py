"""A ledger that was set back, and a stream that was not: what of the stream counts no more.

Theory of operation
-------------------
A restored ledger lacks what was committed after its backup, and the stream has it. Payments go on
from the older state, and what they do next would have the names of what is lost: the next version
of an intent, the outcome of an attempt that was under way. Consumers go by these names, so both
would be the same event to them. Three things keep them apart:

- *The lost records are named.* They stand together at the stream's end (`lost_range`), and a row of
  the published table `restores` says from where to where. So the stream tells by itself, and the
  audit log signs it. Consumers whose effects are in the ledger pass over these records; a repair
  appends what the tables have, whatever a lost record of the same name says.
- *Versions go on behind them.* Each payment of which a record is lost, and which the ledger still
  has, gets a version behind every lost one (`raise_versions`), by an update that is streamed like
  any other: the event that tells consumers what the restored ledger says. Ids of outcomes are made
  of that version, too (`ledger.ids.outcome_number`).
- *That comes first*: `turnout ledger restore` does it before anything else starts on the ledger.
  Where the restore was made by other means, the relay does it once an operator has agreed to the
  repair; what payments did in the meantime is in the stream as the repair finds it.

*Which are lost.* A record counts where its commit lies on a timeline that the ledger went through,
before that was left. The last record that counts is looked for from the stream's end backwards;
what stands behind it is lost. How far the ledger had gone along its present timeline is taken as it
was when its server last started, and when the relay first found it older: payments never wait, so
its WAL grows past lost commits before anybody agrees to a repair. Erring early does no harm: a
repair appends again what the tables have. Erring late would take rows for told that nobody is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Final

import msgspec

from ledger.pgoutput import INSERT, TUPLE_AT, UPDATE, RowShape, read_relation, read_tuple
from ledger.pgtypes import int4_, int4_array, int8_, text_, uuid_, uuid_array
from ledger.relay.event_keys import VERSION_COLUMNS
from ledger.statements import QUERIES, Runner
from ledger.stream.backend import Page, Reader
from ledger.stream.errors import StreamMissingError
from ledger.stream.record import DESCRIPTOR_ID, HEAD_BYTES, NO_INTENT, Mark, position_of

WINDOW_RECORDS: Final = 8_192
READ_BYTES: Final = 8_388_608
TABLE: Final = "restores"
_BOOKS: Final = "postings"  # nothing of theirs is named by a version
_INTENT: Final = slice(32, 48)  # of a record

_NOTE: Final = QUERIES["note_restore"]
_IS_NOTED: Final = QUERIES["restore_is_noted"]
_RAISE: Final = QUERIES["raise_versions"]


class Restore(msgspec.Struct, frozen=True):
    """One time that a ledger was set back.

    Attributes:
        system_identifier: of the cluster.
        timeline_before: that the stream's end is of.
        timeline: that the ledger is on now.
        lost: offsets of the records that count no more.
        operator: whose word it was.
        note: theirs.
    """

    system_identifier: int
    timeline_before: int
    timeline: int
    lost: range
    operator: str
    note: str

    @property
    def id(self) -> bytes:
        """Sixteen bytes; the same for the same restore, whoever notes it."""
        place = (self.system_identifier, self.timeline_before, self.timeline, self.lost.start)
        words = ("restore", *place)
        return sha256(" ".join(map(str, words)).encode()).digest()[:16]


async def lost_range(reader: Reader, timeline: int, known: Mapping[int, int]) -> range:
    """Find the records at a stream's end that a ledger does not have.

    Args:
        reader: of the stream, entered.
        timeline: of the stream's mark.
        known: up to which LSN the ledger went along each timeline.

    Raises:
        StreamCorruptError: the stream cannot be read.
    """
    until = (await reader.high_water()).get(0, 0)
    at = until
    while at:
        start = max(0, at - WINDOW_RECORDS)
        try:
            pages = await _pages(reader, start, at)
        except StreamMissingError:  # what is older was archived and let go
            return range(at, until)
        for page in reversed(pages):
            timeline = page.mark.timeline if page.mark is not None else timeline
            limit = known.get(timeline, 0)
            for _, offset, data in reversed(page.records):
                if offset < at and position_of(data).commit_lsn < limit:
                    return range(offset + 1, until)
        at = start
    return range(until)


async def newest_mark(reader: Reader) -> Mark | None:
    """The mark of the newest records of a stream; None where it has none."""
    until = (await reader.high_water()).get(0, 0)
    if not until:
        return None
    return (await reader.read({0: until - 1}, 1, READ_BYTES)).mark


async def _pages(reader: Reader, start: int, end: int) -> list[Page]:
    pages: list[Page] = []
    while start < end:
        page = await reader.read({0: start}, end - start, READ_BYTES)
        if not page.records:
            break
        pages.append(page)
        start = page.cursor[0]
    return pages


async def take_note(runner: Runner, reader: Reader, restore: Restore) -> int:
    """Raise the versions of payments of which something is lost, then write the restore down.

    May be done again: nothing more is done once it is noted. Role: turnout_relay, or the superuser.

    Returns:
        Of how many payments the version was raised.

    Raises:
        StreamError, DatabaseError: or their children.
    """
    if (await runner.run(_IS_NOTED, [uuid_(restore.id)])).column(0)[0]:
        return 0
    raised = 0
    versions = _Versions()
    at = restore.lost.start
    while at < restore.lost.stop:
        wanted = min(WINDOW_RECORDS, restore.lost.stop - at)
        page = await reader.read({0: at}, wanted, READ_BYTES)
        if not page.records:
            break
        newest = versions.newest(page)
        if newest:
            params = [uuid_array(list(newest)), int4_array(list(newest.values()))]
            raised += (await runner.run(_RAISE, params)).column(0)[0]
        at = page.cursor[0]
    params = [
        uuid_(restore.id),
        int8_(restore.lost.start),
        int8_(restore.lost.stop),
        int4_(restore.timeline_before),
        int4_(restore.timeline),
        text_(str(restore.system_identifier)),
        text_(restore.operator),
        text_(restore.note),
    ]
    await runner.run(_NOTE, params)
    return raised


class _Versions:
    """Reads from records which payments they are of, and which version."""

    def __init__(self) -> None:
        self._shapes: dict[bytes, RowShape] = {}

    def newest(self, page: Page) -> dict[bytes, int]:
        """The payments of a page, each with its newest version there; 0 where it tells none.

        Raises:
            PgoutputError: a record does not fit its descriptor.
        """
        found: dict[bytes, int] = {}
        for _, _, data in page.records:
            intent_id = bytes(data[_INTENT])
            shape = self._shape(bytes(data[DESCRIPTOR_ID]), page)
            if intent_id == NO_INTENT or shape.table in (_BOOKS, TABLE):
                continue
            version = _version(data, shape)
            found[intent_id] = max(version, found.get(intent_id, 0))
        return found

    def _shape(self, name: bytes, page: Page) -> RowShape:
        if (shape := self._shapes.get(name)) is None:
            _, shape = read_relation(page.descriptors[name])
            self._shapes[name] = shape
        return shape


def _version(data: bytes, shape: RowShape) -> int:
    change = data[HEAD_BYTES:]
    name = VERSION_COLUMNS.get(shape.table)
    if name is None or change[0] not in (INSERT, UPDATE):
        return 0
    place = [column.name for column in shape.columns].index(name)
    at = TUPLE_AT
    if change[at] in b"KO":
        _, at = read_tuple(change, at + 1, shape, shape.table)
    cells, _ = read_tuple(change, at + 1, shape, shape.table, columns_max=place + 1)
    return int.from_bytes(cells[place] or b"", signed=True)
