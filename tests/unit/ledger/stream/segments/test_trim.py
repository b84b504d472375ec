"""Where a stream begins whose oldest segments were removed, and what readers are told."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.stream.errors import StreamMissingError
from ledger.stream.segments.trim import NAME, Head, StreamRemovedError, missing, read_head

TEXT = (
    '{"format":"turnout-stream-head/1","shard":0,"first_offset":130,"predecessor":"%s",'
    '"removed_at_us":7,"archive":"s3://bucket/archive"}' % ("ab" * 32)
)


def _write(folder: Path, text: str) -> None:
    (folder / NAME).write_text(f"{text}\n\n— turnout.example/0/archive c2lnbmF0dXJl\n")


def test_a_stream_that_lost_nothing_has_no_head(tmp_path: Path) -> None:
    """Without the file the stream begins with its first record."""
    assert read_head(tmp_path) is None


def test_a_head_is_read_without_its_signature(tmp_path: Path) -> None:
    """Readers have no key: they take the note's word for where to send people."""
    _write(tmp_path, TEXT)
    head = read_head(tmp_path)
    assert head is not None
    assert (head.first_offset, head.archive) == (130, "s3://bucket/archive")


def test_an_offset_before_the_head_names_the_archive(tmp_path: Path) -> None:
    """The error says which record is the first, and where the others are."""
    _write(tmp_path, TEXT)
    error = missing(tmp_path, 129, [130, 207])
    assert isinstance(error, StreamRemovedError)
    assert (error.offset, error.first_offset, error.archive) == (129, 130, "s3://bucket/archive")
    assert "s3://bucket/archive; turnout archive restore" in str(error)


def test_an_offset_behind_the_head_is_missing_and_in_no_archive(tmp_path: Path) -> None:
    """What should be here and is not was not removed by us."""
    _write(tmp_path, TEXT)
    error = missing(tmp_path, 150, [207])
    assert type(error) is StreamMissingError
    assert "the oldest segment begins at 207" in str(error)


@pytest.mark.parametrize(
    "text", ["", "{}", TEXT.replace("head/1", "head/2"), TEXT.replace("130", "0"), TEXT[:-1]]
)
def test_a_damaged_head_names_no_archive(tmp_path: Path, text: str) -> None:
    """A file that is no head is refused, and a reader says only what is here."""
    _write(tmp_path, text)
    with pytest.raises(ValueError, match=r"malformed|format"):
        read_head(tmp_path)
    assert type(missing(tmp_path, 5, [130])) is StreamMissingError


def test_a_head_says_where_it_stands() -> None:
    """The error carries what a program needs to go on."""
    head = Head(
        format="turnout-stream-head/1",
        shard=0,
        first_offset=9,
        predecessor="00" * 32,
        removed_at_us=1,
        archive="/archive",
    )
    assert StreamRemovedError(3, head).first_offset == 9
