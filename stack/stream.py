"""What `turnout stream` shows: the event stream as its files hold it, and its consumers.

Reading needs no running stack and no database, only the right to read the files. What consumers
have come to stands in the ledger.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import trio
from attrs import frozen

from chassis.masking import mask_text
from ledger.connection import Connection
from ledger.errors import LedgerError
from ledger.ids import public_id
from ledger.statements import QUERIES
from ledger.stream.backend import Cursor, Page, Reader
from ledger.stream.errors import RecordError, StreamMissingError
from ledger.stream.events import Event, EventDecoder, PreviousVersions
from ledger.stream.open import stream_reader
from ledger.stream.parking import ParkedEvent, ask_for_retry, list_parked
from ledger.stream.segments.files import SPARE, list_segments, segment_path, shard_folder
from stack.acting import Document
from stack.endings import EXIT_FAULT
from stack.instants import rfc3339
from stack.options import EXIT_CANNOT_START, Place
from stack.running import RunningStack

EXITS: Final[dict[type[Exception], int]] = {
    StreamMissingError: EXIT_CANNOT_START,
    OSError: EXIT_CANNOT_START,
    LedgerError: EXIT_FAULT,
}
SHARD: Final = 0  # as each ledger counts: its own stream is all that it knows
PAGE_RECORDS: Final = 1_000
PAGE_BYTES: Final = 1_048_576
_CURSORS: Final = QUERIES["list_stream_cursors"]
# Ids and instants hold many digits and no card number; the rest of an event's texts is masked.
_NO_CARD: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
    r"|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"
)

Progress = Callable[[int, int], None]  # how many of how many records


@frozen(kw_only=True)
class Selection:
    """Which events `tail` shows.

    Attributes:
        start: offset of the first one; None: the last `limit` ones.
        limit: how many at most; None: all there are.
        follow: wait for more when those are shown.
        payment: only of this payment intent.
    """

    start: int | None = None
    limit: int | None = None
    follow: bool = False
    payment: bytes | None = None


async def tail(
    place: Place, selection: Selection, show: Callable[[Document], None], progress: Progress
) -> None:
    """Show events, oldest first, one at a time.

    Raises:
        StreamCorruptError, StreamMissingError: the stream cannot be read.
        OSError: its files are not ours to read.
    """
    _must_be_there(place)
    versions = PreviousVersions()
    decoder = EventDecoder(shard=place.shard, before=versions.find)
    async with stream_reader(place.settings, place.data_dir) as reader:
        end = _only(await reader.high_water())
        at = selection.start if selection.start is not None else _last(end, selection)
        shown = 0
        while selection.follow or at < end:
            page = await reader.read({0: at}, PAGE_RECORDS, PAGE_BYTES)
            for event in _events(page, decoder, selection.payment):
                if isinstance(event, Event):
                    versions.note(event)
                show(_document(event, place.shard))
                shown += 1
                if (
                    selection.limit is not None
                    and shown == selection.limit
                    and not (selection.follow)
                ):
                    return
            at = _only(page.cursor)
            progress(at, max(at, end))


async def show(place: Place, offset: int) -> Document:
    """One event in full.

    Raises:
        StreamMissingError: there is none at this offset.
    """
    _must_be_there(place)
    async with stream_reader(place.settings, place.data_dir) as reader:
        if offset >= _only(await reader.high_water()):
            raise StreamMissingError(f"the stream has no record {offset} yet")
        page = await reader.read({0: offset}, 1, 1)
    [event] = _events(page, EventDecoder(shard=place.shard), None)
    return _document(event, place.shard)


async def status(place: Place) -> Document:
    """How much there is, and where.

    Raises:
        StreamMissingError: there is no stream.
        OSError: its files are not ours to read.
    """
    _must_be_there(place)
    folder = shard_folder(place.data_dir, SHARD)
    async with stream_reader(place.settings, place.data_dir) as reader:
        end = _only(await reader.high_water())
        segments = await trio.to_thread.run_sync(_segments, folder)
        oldest = segments[0]["first_offset"] if segments else 0
        return {
            "folder": str(folder),
            "records": end,
            "oldest_offset": oldest,
            "oldest_at": await _committed_at(reader, oldest, end),
            "newest_at": await _committed_at(reader, end - 1, end),
            "segments": len(segments),
            "bytes": sum(segment["bytes"] for segment in segments),
            "spare": (folder / SPARE).exists(),
        }


def _must_be_there(place: Place) -> None:
    """A reader waits for a stream that is not there yet; a person has mistyped a folder.

    Raises:
        StreamMissingError: no relay has ever run here.
    """
    folder = shard_folder(place.data_dir, SHARD)
    if not folder.exists():
        raise StreamMissingError(f"there is no stream in {folder}; is it another --data-dir?")


async def consumers(_stack: RunningStack, session: Connection) -> list[Document]:
    """How far each consumer group has come."""
    return [
        {
            "group": group,
            "shard": shard,
            "partition": partition,
            "next_offset": offset,
            "updated_at": rfc3339(updated_at_us),
        }
        for group, shard, partition, offset, updated_at_us in (await session.run(_CURSORS)).rows()
    ]


async def parked(_stack: RunningStack, session: Connection, *, group: str, limit: int) -> Document:
    """What consumers have put aside."""
    found = await list_parked(session, group=group, limit=limit + 1)
    return {"parked": [_parked(one) for one in found[:limit]], "more": len(found) > limit}


async def retry(
    _stack: RunningStack,
    session: Connection,
    *,
    group: str,
    offset: int,
    operator: str,
    note: str,
) -> Document:
    """Have a group try a parked event again."""
    await ask_for_retry(
        session,
        group=group,
        shard=SHARD,
        partition=0,
        offset=offset,
        operator=operator,
        note=note,
    )
    return {"group": group, "offset": offset, "retry": True}


def line(document: Document) -> str:
    """An event in one line."""
    position = document["position"]
    if "error" in document:
        return f"{position['offset']:>10}  {document['error']}"
    words = [document["committed_at"][:23] + "Z", f"{document['operation']:<8}"]
    words += [f"{document['table']:<16}", document["payment_intent"] or "-"]
    if document["version"] is not None:
        words.append(f"v{document['version']}")
    after = document["after"] or {}
    words += [
        str(after[name]) for name in ("type", "kind", "mti", "result", "status") if after.get(name)
    ]
    if "amount_minor" in after:
        words.append(f"{after['amount_minor']} {after.get('currency', '')}".rstrip())
    if document["repair"]:
        words.append("(repair)")
    return f"{position['offset']:>10}  {'  '.join(words)}"


def masked(document: Document) -> Document:
    """The rows of an event with their texts masked, as everything that is shown."""
    for part in ("before", "after"):
        if document[part] is not None:
            document[part] = {name: _mask(value) for name, value in document[part].items()}
    return document


def _last(end: int, selection: Selection) -> int:
    """Where to begin so that what is shown ends at the end; of one payment, at the beginning."""
    if selection.payment is not None or selection.limit is None:
        return 0
    return max(0, end - selection.limit)


def _events(
    page: Page, decoder: EventDecoder, payment: bytes | None
) -> Iterator[Event | tuple[int, RecordError]]:
    """The events of a page; one that cannot be read is told, not passed over."""
    for partition, offset, record in page.records:
        if payment is not None and record[32:48] != payment:
            continue
        try:
            yield decoder.decode(partition, offset, record, page.descriptors)
        except RecordError as error:
            yield offset, error


def _document(event: Event | tuple[int, RecordError], shard: int) -> Document:
    if isinstance(event, Event):
        try:
            return masked(event.document())
        except RecordError as error:
            return _unreadable(shard, event.place.offset, error)
    return _unreadable(shard, *event)


def _unreadable(shard: int, offset: int, error: RecordError) -> Document:
    return {"position": {"shard": shard, "offset": offset}, "error": str(error)}


def _mask(value: Any) -> Any:
    if isinstance(value, str) and not _NO_CARD.fullmatch(value):
        return mask_text(value)
    return value


async def _committed_at(reader: Reader, offset: int, end: int) -> str | None:
    if not 0 <= offset < end:
        return None
    page = await reader.read({0: offset}, 1, 1)
    return rfc3339(int.from_bytes(page.records[0][2][16:24], signed=True))


def _segments(folder: Path) -> list[Document]:
    if not folder.exists():
        return []
    paths = {first: segment_path(folder, first) for first in list_segments(folder)}
    return [{"first_offset": first, "bytes": path.stat().st_size} for first, path in paths.items()]


def _parked(one: ParkedEvent) -> Document:
    return {
        "group": one.group,
        "shard": one.shard,
        "partition": one.partition,
        "offset": one.offset,
        "parked_at": rfc3339(one.parked_at_us),
        "retry_at": rfc3339(one.retry_at_us) if one.retry_at_us is not None else None,
        "payment_intent": public_id("pi", one.intent_id) if one.intent_id else None,
        "tries": one.tries,
        "reason": one.reason,
    }


def _only(cursor: Cursor) -> int:
    return cursor.get(0, 0)
