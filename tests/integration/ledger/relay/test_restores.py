"""A ledger that was set back: what is lost is found, and nothing later shares its names."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from chassis.settings.tree import Settings
from ledger.relay.restores import Restore, lost_range, newest_mark, take_note
from ledger.stream.backend import Batch
from ledger.stream.cursors import lost_ranges
from ledger.stream.events import EventDecoder
from ledger.stream.open import stream_reader, stream_writer
from ledger.stream.record import Mark
from tests.support.relay import (
    ATTEMPTS_SQL,
    BUMP_SQL,
    INTENTS_SQL,
    OUTCOMES_SQL,
    SEGMENTS,
    RelayHarness,
)
from tests.support.stream import DESCRIPTOR, record

SYSTEM = 42
BEHIND_SQL = "SELECT min(version), max(version) FROM payment_intents"


async def _write(folder: Path, *batches: tuple[int, list[int]]) -> Settings:
    """A stream of batches, each a timeline and the LSNs of its records' commits."""
    settings = Settings(stream=SEGMENTS)
    writer = stream_writer(settings, folder)
    await writer.open()
    number, given = 0, [DESCRIPTOR]
    for timeline, lsns in batches:
        records = []
        for lsn in lsns:
            records.append(record(number, commit_lsn=lsn))
            number += 1
        await writer.append(Batch(records, given, Mark(SYSTEM, timeline, lsns[-1] + 8)))
        given = []
    await writer.aclose()
    return settings


@pytest.mark.parametrize(
    ("batches", "known", "lost"),
    [
        ([(1, [100, 200, 300])], {1: 200}, range(1, 3)),
        ([(1, [100, 200]), (1, [300, 400])], {1: 350}, range(3, 4)),
        ([(1, [100, 200])], {1: 900}, range(2, 2)),
        ([(1, [100, 200])], {1: 50}, range(2)),
        # Set back twice: what the first restore has lost is behind what counts, and not told again.
        ([(1, [100, 300, 400]), (2, [200, 250, 260])], {1: 200, 2: 255}, range(5, 6)),
        # Set back a second time, to a state before the first.
        ([(1, [100, 300]), (2, [200, 250])], {1: 150}, range(1, 4)),
    ],
    ids=["middle", "later batch", "nothing", "everything", "twice", "before the first"],
)
async def test_what_the_ledger_lacks_stands_at_the_end(
    tmp_path: Path, batches: list[tuple[int, list[int]]], known: dict[int, int], lost: range
) -> None:
    """Behind the last record whose commit lies on a timeline that the ledger went along."""
    settings = await _write(tmp_path, *batches)
    async with stream_reader(settings, tmp_path) as reader:
        mark = await newest_mark(reader)
        assert mark is not None
        assert await lost_range(reader, mark.timeline, known) == lost


async def test_an_empty_stream_has_lost_nothing(tmp_path: Path) -> None:
    """There is no mark to compare with, and no record."""
    async with stream_reader(Settings(stream=SEGMENTS), tmp_path) as reader:
        assert await newest_mark(reader) is None
        assert await lost_range(reader, 1, {1: 5}) == range(0)


async def _unseen(relaying: RelayHarness, *statements: str) -> None:
    """Set the ledger back: nothing of it goes through the stream."""
    tables = "payment_intents, attempts, outcomes"
    await relaying.sql(f"ALTER PUBLICATION turnout_events DROP TABLE {tables}")
    for sql in statements:
        await relaying.sql(sql)
    await relaying.sql(f"ALTER PUBLICATION turnout_events ADD TABLE {tables}")


async def _set_back(relaying: RelayHarness) -> Restore:
    """Four payments with attempts; their outcomes and later versions are streamed, then lost."""
    async with relaying.running() as relay:
        await relaying.sql(INTENTS_SQL.format(count=4))
        await relaying.sql(ATTEMPTS_SQL)
        await relaying.caught_up(relay)
        kept = relay.writer.next_offset
        await relaying.sql(OUTCOMES_SQL)
        await relaying.sql(BUMP_SQL)
        await relaying.sql(BUMP_SQL)
        await relaying.sql(INTENTS_SQL.format(count=2))
        await relaying.caught_up(relay)
        end = relay.writer.next_offset
    await _unseen(
        relaying,
        "DELETE FROM outcomes",
        "DELETE FROM payment_intents WHERE version = 1",
        "UPDATE payment_intents SET version = 1",
    )
    return Restore(SYSTEM, 1, 2, range(kept, end), "ops", "the drill")


async def _note(relaying: RelayHarness, restore: Restore) -> int:
    async with stream_reader(relaying.settings(), relaying.folder) as reader:
        return await take_note(relaying.superuser, reader, restore)


async def _event_ids(relaying: RelayHarness) -> Counter[tuple[str, bytes]]:
    found: Counter[tuple[str, bytes]] = Counter()
    decoder = EventDecoder()
    async with stream_reader(relaying.settings(), relaying.folder) as reader:
        end = (await reader.high_water()).get(0, 0)
        at = 0
        while at < end:
            page = await reader.read({0: at}, 1_000, 1_000_000)
            for _, offset, data in page.records:
                event = decoder.decode(0, offset, data, page.descriptors)
                found[event.table, event.id] += 1
            at = page.cursor[0]
    return found


async def test_after_a_restore_no_change_has_the_name_of_a_lost_one(
    relaying: RelayHarness,
) -> None:
    """Every later change reaches the stream, once and under an id of its own."""
    restore = await _set_back(relaying)
    assert await _note(relaying, restore) == 4
    assert await relaying.rows(BEHIND_SQL) == [(4, 4)]  # behind the lost 2 and 3
    await relaying.drop_slot()  # a restored server has none
    await relaying.sql(
        OUTCOMES_SQL.replace("'approved'", "'declined'").replace("2, 1, 1", "5, 1, 1")
    )
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.sql(BUMP_SQL)
        await relaying.caught_up(relay)
    found = await _event_ids(relaying)
    assert set(found.values()) == {1}
    tables = Counter(table for table, _ in found)
    assert tables == {
        "payment_intents": 4 + 4 + 4 + 2 + 4 + 4,  # versions 1, 2, 3, the lost two; then 4, 5
        "attempts": 4,
        "outcomes": 4 + 4,
        "restores": 1,
    }


async def test_a_restore_that_is_noted_again_is_one(relaying: RelayHarness) -> None:
    """The relay after the command: nothing that counts is behind it any more."""
    restore = await _set_back(relaying)
    assert await _note(relaying, restore) == 4
    assert await _note(relaying, restore) == 0
    assert await lost_ranges(relaying.superuser) == [restore.lost]
    assert await relaying.rows(BEHIND_SQL) == [(4, 4)]


async def test_a_second_restore_of_one_copy_is_another(relaying: RelayHarness) -> None:
    """Where a copy begins no timeline, only what was lost tells the two apart."""
    restore = await _set_back(relaying)
    first = msgspec.structs.replace(restore, timeline=1)
    second = msgspec.structs.replace(first, lost=range(restore.lost.start + 1, restore.lost.stop))
    assert await _note(relaying, first) == 4
    assert await _note(relaying, second) == 4
    assert await lost_ranges(relaying.superuser) == [first.lost, second.lost]


async def test_a_row_with_the_key_of_a_lost_record_is_repaired(relaying: RelayHarness) -> None:
    """The same outcome again, after the restore: the stream's record of it stands for nothing."""
    restore = await _set_back(relaying)
    await _note(relaying, restore)
    await relaying.drop_slot()
    await relaying.sql(OUTCOMES_SQL)
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        repaired = relay.health.repaired_records_total
        assert relay.health.repairs_total == 1
    assert repaired == 4 + 4 + 1  # versions, outcomes, the note
    told = await relaying.value(
        "SELECT (detail ->> 'not_in_tables')::integer FROM exceptions WHERE kind = 'relay_repaired'"
    )
    assert told == 0  # of the two lost payments only versions are known, and those are not counted


async def test_a_new_stream_has_lost_nothing(relaying: RelayHarness) -> None:
    """Offsets of a restore are the old stream's: no consumer passes over records of the new one."""
    restore = await _set_back(relaying)
    await _note(relaying, restore)
    shutil.rmtree(relaying.folder / "stream")
    await relaying.drop_slot()
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
    assert await lost_ranges(relaying.superuser) == []
    tables = [table for table, _ in await relaying.stream()]
    assert tables.index("restores") == 0  # before every record that an auditor could take for lost
    assert len(tables) == 1 + 4 + 4
