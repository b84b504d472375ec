"""Paths and bundles as C2SP tlog-tiles spells them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.audit.tiles import EntryError, pack_entries, tile_path, tiles_of, unpack_entries


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 273, 256, "tile/0/273"),
        (1, 1, 17, "tile/1/001.p/17"),
        (0, 1_234_067, 256, "tile/0/x001/x234/067"),
        ("entries", 1_000, 112, "tile/entries/x001/000.p/112"),
    ],
)
def test_paths_are_the_specification_s(
    level: int | str, number: int, width: int, path: str
) -> None:
    """Its own examples among them."""
    assert tile_path(level, number, width) == path


def test_the_tiles_of_a_tree_are_those_of_the_specification() -> None:
    """Its example: 70,000 leaves have 274 tiles at level 0, the last one partial; 2 and 1 above."""
    tiles = list(tiles_of(70_000))
    assert len([tile for tile in tiles if tile[0] == 0]) == 274
    assert [tile for tile in tiles if tile[0] > 0 or tile[1] == 273] == [
        (0, 273, 112),
        (1, 0, 256),
        (1, 1, 17),
        (2, 0, 1),
    ]
    assert list(tiles_of(0)) == []
    assert list(tiles_of(256)) == [(0, 0, 256), (1, 0, 1)]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_entries_come_back(records: list[bytes]) -> None:
    """Empty ones too."""
    assert unpack_entries(pack_entries(records)) == records


def test_entries_that_do_not_fit_are_refused() -> None:
    """One byte over; and a bundle cut anywhere but between two entries."""
    assert unpack_entries(pack_entries([bytes(65_535)])) == [bytes(65_535)]
    with pytest.raises(EntryError, match="65536 bytes is too long"):
        pack_entries([bytes(65_536)])
    whole = pack_entries([b"one", b"two"])
    for end in (1, 4, 6, 9):
        with pytest.raises(EntryError, match=f"at byte {0 if end < 5 else 5}"):
            unpack_entries(whole[:end])
