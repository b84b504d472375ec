"""Two streams held to each other: what is alike is proved, what differs is named."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ledger.audit.merkle import leaf_hash
from ledger.comparison.comparing import Comparison
from ledger.comparison.differences import (
    BYTES,
    DAMAGE,
    ONLY_FIRST,
    ONLY_SECOND,
    ORDER,
    ROW,
    Difference,
)
from ledger.comparison.range_tree import RangeTree
from ledger.comparison.ranges import Range
from ledger.comparison.rows import Rows
from ledger.relay.positions import format_lsn
from ledger.stream.backend import Batch
from ledger.stream.record import REPAIR, descriptor_id
from ledger.stream.segments.files import segment_path, shard_folder
from tests.support.comparing import (
    compare,
    first_start,
    mark,
    proceed,
    repair,
    sides,
    wal,
    write,
)
from tests.support.stream import UUID, descriptor, record

INT4 = 23


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Of the first and of the second stream."""
    return tmp_path / "first", tmp_path / "second"


def _lsn(number: int) -> str:
    return format_lsn(64 * (number + 1))


def _root(first: int, count: int) -> str:
    tree = RangeTree()
    tree.extend(leaf_hash(record(number)) for number in range(first, first + count))
    return tree.root().hex()


def _record_at(place: str) -> bytes:
    """The 48 bytes at a place that was named."""
    path, _, at = place.rpartition(":")
    return Path(path).read_bytes()[int(at) : int(at) + 48]


async def test_the_same_wal_in_other_batches_has_one_root(folders: tuple[Path, Path]) -> None:
    """Batches, idle marks and further segments are each stream's own business."""
    first, second = folders
    await write(first, *first_start(), wal(0, 700), wal(700, 1_300))
    marks = [Batch([], [], mark(64 * 700 + 40)), Batch([], [], mark(64 * 700 + 48))]
    await write(second, *first_start(), *(wal(n, 7) for n in range(0, 700, 7)), *marks)
    await write(second, *(wal(n, 100) for n in range(700, 2_000, 100)))
    found = compare(first, second)
    assert found.differences == []
    assert found.current_range() == Range("0/20", _lsn(1_999), 2_000, _root(0, 2_000))
    assert len(list(shard_folder(first, 0).glob("*.seg"))) > 1


async def test_what_one_side_has_not_taken_in_yet_is_waited_for(
    folders: tuple[Path, Path],
) -> None:
    """A mark says how far a stream is; nothing behind it is missing."""
    first, second = folders
    await write(first, *first_start(), wal(0, 10))
    await write(second, *first_start(), wal(0, 4))
    found = compare(first, second)
    assert (found.leaves, found.differences) == (4, [])
    await write(second, wal(4, 6))
    proceed(found)
    assert (found.leaves, found.differences) == (10, [])


async def test_a_stream_that_began_later_is_compared_from_there(
    folders: tuple[Path, Path],
) -> None:
    """Before that the rows that it read from the tables are those that the other streamed."""
    first, second = folders
    await write(first, *first_start(), wal(0, 50))
    await write(second, *first_start(range(30), up_to=29), wal(30, 20))
    found = compare(first, second)
    assert found.differences == []
    assert found.current_range() == Range(format_lsn(64 * 30 + 32), _lsn(49), 20, _root(30, 20))
    (gap,) = found.gaps
    assert (gap.repaired_first, gap.repaired_second, gap.compared) == (0, 30, True)


@pytest.mark.parametrize("which", [0, 1])
async def test_a_repair_on_one_side_is_understood(folders: tuple[Path, Path], which: int) -> None:
    """The range ends before it and another begins behind it; in between the rows are alike."""
    repaired, other = folders[which], folders[1 - which]
    await write(other, *first_start(), wal(0, 30))
    gap = repair(range(10, 20), up_to=19, old_lsn=64 * 10 + 32)
    await write(repaired, *first_start(), wal(0, 10), *gap, wal(20, 10))
    found = compare(*folders)
    assert found.differences == []
    assert found.ranges == [Range("0/20", _lsn(9), 10, _root(0, 10))]
    assert found.current_range().root == _root(20, 10)
    counts = (found.gaps[-1].repaired_first, found.gaps[-1].repaired_second)
    assert counts == ((10, 0) if which == 0 else (0, 10))


async def test_repairs_that_overlap_are_one_gap(folders: tuple[Path, Path]) -> None:
    """Each has as changes what the other has as rows."""
    first, second = folders
    gap = repair(range(10, 20), up_to=19, old_lsn=64 * 10 + 32)
    await write(first, *first_start(), wal(0, 10), *gap, wal(20, 20))
    gap = repair(range(15, 30), up_to=29, old_lsn=64 * 15 + 32)
    await write(second, *first_start(), wal(0, 15), *gap, wal(30, 10))
    found = compare(first, second)
    assert found.differences == []
    assert [one.end for one in found.gaps] == ["0/20", format_lsn(64 * 30 + 32)]
    assert found.current_range().root == _root(30, 10)


@pytest.mark.parametrize(
    ("rows", "kinds"),
    [
        ([10, 11, 12, 14, 15, 16, 17, 18, 19], [13]),
        ([*range(10, 20), 77], [77]),
    ],
    ids=["left_out", "put_in"],
)
async def test_a_repair_hides_no_row(
    folders: tuple[Path, Path], rows: list[int], kinds: list[int]
) -> None:
    """A row that only one side has, as change or as repaired row, is named."""
    first, second = folders
    await write(first, *first_start(), wal(0, 30))
    gap = repair(rows, up_to=19, old_lsn=64 * 10 + 32)
    await write(second, *first_start(), wal(0, 10), *gap, wal(20, 10))
    found = compare(first, second)
    assert [one.kind for one in found.differences] == [ROW]
    (wanted,) = kinds
    assert f"intent_id=00000000-0000-0000-0000-0000000000{wanted:02x}" in found.differences[0].row


async def test_a_mark_that_was_moved_hides_nothing(folders: tuple[Path, Path]) -> None:
    """What a stream says to have taken in, and does not hold, is missing."""
    first, second = folders
    await write(first, *first_start(), wal(0, 10))
    await write(second, *first_start(), wal(0, 8), Batch([], [], mark(64 * 10 + 32)))
    found = compare(first, second)
    assert [one.kind for one in found.differences] == [ONLY_FIRST, ONLY_FIRST]
    assert [one.first_offset for one in found.differences] == [8, 9]


Change = Callable[[list[bytes]], list[bytes]]


def _flip(records: list[bytes]) -> list[bytes]:
    changed = bytearray(records[20])
    changed[-1] ^= 1
    return [*records[:20], bytes(changed), *records[21:]]


def _drop(records: list[bytes]) -> list[bytes]:
    return [*records[:20], *records[21:]]


def _insert(records: list[bytes]) -> list[bytes]:
    return [*records[:20], record(999), *records[20:]]


def _swap(records: list[bytes]) -> list[bytes]:
    return [*records[:20], records[21], records[20], *records[22:]]


def _repeat(records: list[bytes]) -> list[bytes]:
    return [*records[:21], *records[20:]]


@pytest.mark.parametrize("which", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("size", [40, 3], ids=["large_batches", "small_batches"])
@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        (_flip, (BYTES, BYTES)),
        (_drop, (ONLY_SECOND, ONLY_FIRST)),
        (_insert, (ONLY_FIRST, ONLY_SECOND)),
        (_swap, (ORDER, ORDER)),
        (_repeat, (ONLY_FIRST, ONLY_SECOND)),
    ],
)
async def test_whatever_was_done_to_a_record_is_one_difference_and_named(
    folders: tuple[Path, Path], which: int, size: int, change: Change, kinds: tuple[str, str]
) -> None:
    """With row, LSN and both places; what lies before and behind is compared all the same."""
    honest = [record(number) for number in range(60)]
    for folder, records in ((folders[which], change(honest)), (folders[1 - which], honest)):
        batches = [
            Batch(records[at : at + size], [], mark(64 * (at + size) + 32))
            for at in range(0, len(records), size)
        ]
        last = msgspec.structs.replace(batches[-1], mark=mark(64 * 61))
        await write(folder, *first_start(), *batches[:-1], last)
    found = compare(*folders)
    assert found.differences_total == 1
    (one,) = found.differences
    assert one.kind == kinds[which]
    assert one.row.startswith("outcomes intent_id=00000000-0000-0000-0000-0000000")
    offsets = (one.first_offset, one.second_offset)
    for place, offset, records in zip(
        (one.first, one.second),
        offsets,
        (change(honest), honest) if which == 0 else (honest, change(honest)),
        strict=True,
    ):
        assert place
        if offset is not None:
            assert offset in {20, 21}
            assert _record_at(place) == records[offset][:48]
    assert found.leaves >= 58
    assert found.ranges[0].root == _root(0, found.ranges[0].leaves)


async def test_a_damaged_byte_is_named_by_its_file(folders: tuple[Path, Path]) -> None:
    """A frame that does not match its CRC: nothing behind it is compared before it is mended."""
    first, second = folders
    for folder in folders:
        await write(folder, *first_start(), wal(0, 10), wal(10, 10))
    path = segment_path(shard_folder(second, 0), 0)
    whole = path.read_bytes()
    data = bytearray(whole)
    data[data.rindex(record(15)[:48]) + 40] ^= 1
    path.write_bytes(data)
    found = compare(first, second)
    proceed(found)
    assert found.damage is not None
    assert found.damage.kind == DAMAGE
    assert found.damage.second.startswith(f"{path}:")
    assert (found.leaves, found.differences) == (10, [])
    path.write_bytes(whole)
    proceed(found)
    assert (found.leaves, found.damage) == (20, None)


@pytest.mark.parametrize("segment", [0, 1_000], ids=["the first", "behind records not compared"])
async def test_a_damaged_header_is_damage_until_it_is_mended(
    folders: tuple[Path, Path], segment: int
) -> None:
    """Also where records before it were read when it was met: they are compared, and it stands."""
    first, second = folders
    for folder in folders:
        await write(folder, *first_start(), wal(0, 1_000), wal(1_000, 1_000))
    path = segment_path(shard_folder(second, 0), segment)
    whole = path.read_bytes()
    path.chmod(0o640)
    path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
    found = Comparison(*sides(first, second))
    for _ in range(3):
        while found.advance(10_000):
            pass
        assert found.damage is not None
        assert found.damage.second == f"{path}:0"
        assert (found.leaves, found.differences) == (segment, [])
    path.write_bytes(whole)
    proceed(found)
    assert (found.leaves, found.damage) == (2_000, None)


async def test_a_repaired_record_that_cannot_be_read_stands_in_the_way(
    folders: tuple[Path, Path],
) -> None:
    """It is damage at every look; its batch is not gone past as if it had been compared."""
    first, second = folders
    begin, repaired, end = first_start(range(10), up_to=9)
    odd = [*repaired.records]
    odd[5] = b"\x7f" + odd[5][1:]
    await write(first, begin, repaired, end, wal(10, 5))
    await write(second, begin, msgspec.structs.replace(repaired, records=odd), end, wal(10, 5))
    found = compare(first, second)
    for _ in range(2):
        proceed(found)
        assert found.damage is not None
        assert (found.gaps_total, found.leaves) == (0, 0)


async def test_what_was_repaired_is_counted_where_rows_are_too_many(
    folders: tuple[Path, Path],
) -> None:
    """They are not compared then, and how many there were is told all the same."""
    await write(folders[0], *first_start(range(10), up_to=9))
    side, _ = sides(*folders)
    rows = Rows(8)
    assert side.pass_gap(rows, 1_000) == 10
    assert (rows.repaired, rows.overfull) == (10, True)
    side.tape.close()


async def test_a_stream_cut_short_is_named(folders: tuple[Path, Path]) -> None:
    """The high water says what must be there."""
    first, second = folders
    for folder in folders:
        await write(folder, *first_start(), wal(0, 10))
    path = segment_path(shard_folder(first, 0), 0)
    path.write_bytes(path.read_bytes()[:900])
    found = compare(first, second)
    assert found.damage is not None
    assert found.damage.first.startswith(f"{path}:")


async def test_no_more_differences_are_kept_than_anybody_reads(
    folders: tuple[Path, Path],
) -> None:
    """The others are counted."""
    first, second = folders
    await write(first, *first_start(), wal(0, 400), wal(1_000))
    await write(second, *first_start(), wal(1_000))
    found = compare(first, second)
    assert (len(found.differences), found.differences_total) == (100, 400)
    assert found.current_range().leaves == 1


async def test_a_restore_begins_a_new_history_on_both_sides(folders: tuple[Path, Path]) -> None:
    """The WAL goes back; each relay repairs when it is told to, and until then one waits."""
    first, second = folders
    restored = Batch([], [], mark(64 * 5, timeline=2))

    def later(number: int, count: int) -> Batch:
        return msgspec.structs.replace(
            wal(number, count), mark=mark(64 * (number + count) + 32, timeline=2)
        )

    await write(first, *first_start(), wal(0, 10), restored, later(6, 10))
    await write(second, *first_start(), wal(0, 10))
    found = compare(first, second)
    assert (found.leaves, found.differences) == (10, [])
    await write(second, restored, later(6, 10))
    proceed(found)
    assert (found.leaves, found.differences) == (20, [])
    assert found.gaps_total == 2  # the beginning, and the restore


@pytest.mark.parametrize("ahead", [0, 1], ids=["the first", "the second"])
async def test_what_a_relay_had_not_seen_when_the_ledger_was_set_back_is_no_difference(
    folders: tuple[Path, Path], ahead: int
) -> None:
    """The other had; the ledger may have lost it, and then nobody has it any more."""
    restored = Batch([], [], mark(64 * 5, timeline=2))
    later = msgspec.structs.replace(wal(6, 10), mark=mark(64 * 16 + 32, timeline=2))
    await write(folders[ahead], *first_start(), wal(0, 10), restored, later)
    await write(folders[1 - ahead], *first_start(), wal(0, 8), restored, later)
    found = compare(*folders)
    assert (found.leaves, found.differences) == (18, [])
    assert found.is_aligned


def _after_restore(number: int, count: int) -> Batch:
    """Records of a second timeline, at the places that numbers have on the first."""
    records = [record(500 + n, commit_lsn=64 * (n + 1)) for n in range(number, number + count)]
    return Batch(records, [], mark(64 * (number + count) + 32, timeline=2))


def _note(timeline_before: int, *, lsn: int, end_lsn: int, flags: int = 0) -> Batch:
    """A row that says that the ledger was set back, in a batch of the first timeline."""
    notes = descriptor("restores", ("id", UUID), ("timeline_before", INT4), oid=16_500)
    cells = ((77).to_bytes(16), timeline_before.to_bytes(4))
    row = record(
        77, flags=flags, commit_lsn=lsn, row=cells, oid=16_500, descriptor=descriptor_id(notes)
    )
    return Batch([row], [notes], mark(end_lsn))


@pytest.mark.parametrize("ahead", [0, 1], ids=["the first", "the second"])
async def test_a_relay_that_was_level_with_the_restore_has_a_gap_all_the_same(
    folders: tuple[Path, Path], ahead: int
) -> None:
    """Its marks never go back; what the other had behind there is no difference."""
    restored = Batch([], [], mark(64 * 5 + 32, timeline=2))
    await write(folders[1 - ahead], *first_start(), wal(0, 5), restored, _after_restore(5, 10))
    await write(folders[ahead], *first_start(), wal(0, 10), restored, _after_restore(5, 10))
    found = compare(*folders)
    assert (found.leaves, found.differences, found.is_aligned) == (15, [], True)


@pytest.mark.parametrize("ahead", [0, 1], ids=["the first", "the second"])
async def test_a_promotion_hides_no_row(folders: tuple[Path, Path], ahead: int) -> None:
    """The relays hear of it at other places of the WAL; between these rows are compared."""
    first = msgspec.structs.replace(wal(10, 5), mark=mark(64 * 15 + 32, timeline=2))
    other = msgspec.structs.replace(wal(8, 7), mark=mark(64 * 15 + 32, timeline=2))
    forged = msgspec.structs.replace(other, records=other.records[1:])
    await write(folders[ahead], *first_start(), wal(0, 10), first)
    await write(folders[1 - ahead], *first_start(), wal(0, 8), other)
    found = compare(*folders)
    assert (found.leaves, found.differences, found.is_aligned) == (13, [], True)
    shutil.rmtree(folders[1 - ahead])
    await write(folders[1 - ahead], *first_start(), wal(0, 8), forged)
    assert [one.kind for one in compare(*folders).differences] == [ROW]
    shutil.rmtree(folders[ahead])
    planted = _note(1, lsn=64 * 10 + 8, end_lsn=64 * 10 + 32)
    await write(folders[ahead], *first_start(), wal(0, 10), planted, first)
    found = compare(*folders)
    assert [one.kind for one in found.differences] == [ROW, ROW]  # the note excuses neither


@pytest.mark.parametrize("known", [False, True], ids=["as a promotion", "as a restore"])
async def test_a_restore_that_went_on_for_long_is_known_by_its_row(
    folders: tuple[Path, Path], *, known: bool
) -> None:
    """Its WAL is past what was lost by the time that the relays go on."""
    first, second = folders
    begins = Batch([], [], mark(64 * 20 + 32, timeline=2))
    for folder, seen in ((first, 10), (second, 8)):
        repaired = _note(1 if known else 9, flags=REPAIR, lsn=64 * 78, end_lsn=64 * seen + 32)
        await write(folder, *first_start(), wal(0, seen), repaired, begins, _after_restore(21, 5))
    found = compare(first, second)
    assert [one.kind for one in found.differences] == ([] if known else [ROW, ROW])
    assert (found.leaves, found.is_aligned) == (13, True)


async def test_much_that_a_restore_has_lost_is_gone_past(folders: tuple[Path, Path]) -> None:
    """More than is looked at ahead, and none of it below where the other side goes on."""
    first, second = folders
    restored = Batch([], [], mark(64 * 5, timeline=2))
    lost = [wal(number, 50) for number in range(10, 3_010, 50)]
    await write(first, *first_start(), wal(0, 10), restored, _after_restore(5, 10))
    await write(second, *first_start(), wal(0, 10), *lost, restored, _after_restore(5, 10))
    found = compare(first, second)
    assert (found.leaves, found.differences, found.is_aligned) == (20, [], True)


@pytest.mark.parametrize("late", [0, 1], ids=["the first", "the second"])
async def test_the_new_history_waits_for_a_side_that_began_behind_it(
    folders: tuple[Path, Path], late: int
) -> None:
    """Where that one's stretch began, on the former timeline, is no place on the new one."""
    restored = Batch([], [], mark(64 * 5, timeline=2))
    ahead = folders[1 - late]
    await write(ahead, *first_start(), wal(0, 10), restored, _after_restore(5, 10))
    await write(folders[late], *first_start(range(8), up_to=7), wal(8, 2))
    found = compare(*folders)
    assert (found.leaves, found.differences) == (2, [])
    await write(folders[late], restored, _after_restore(5, 10))
    proceed(found)
    assert (found.leaves, found.differences, found.is_aligned) == (12, [], True)


@pytest.mark.parametrize("ahead", [0, 1], ids=["the first", "the second"])
async def test_a_restore_hides_no_row(folders: tuple[Path, Path], ahead: int) -> None:
    """What a repair told only one side after the restore is a difference, wherever it committed."""
    restored = Batch([], [], mark(64 * 5, timeline=2))
    row = Batch([record(77, flags=REPAIR)], [], mark(64 * 8 + 32))
    later = msgspec.structs.replace(wal(6, 10), mark=mark(64 * 16 + 32, timeline=2))
    await write(folders[ahead], *first_start(), wal(0, 10), restored, later)
    await write(folders[1 - ahead], *first_start(), wal(0, 8), row, restored, later)
    found = compare(*folders)
    assert [one.kind for one in found.differences] == [ROW]
    assert found.is_aligned


async def test_nothing_is_compared_with_a_stream_that_is_not_there(
    folders: tuple[Path, Path],
) -> None:
    """A second relay that has not begun holds nothing up."""
    first, second = folders
    await write(first, *first_start(), wal(0, 10))
    found = Comparison(*sides(first, second))
    proceed(found)
    assert (found.leaves, found.differences, found.is_aligned) == (0, [], False)


def test_a_difference_shows_no_values() -> None:
    """Table and key, and places: that is all."""
    assert Difference.__struct_fields__ == (
        *("kind", "detail", "row", "lsn", "ordinal"),
        *("first", "second", "first_offset", "second_offset"),
    )
