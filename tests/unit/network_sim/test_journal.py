"""The network's own record on disk."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from network_sim.journal import (
    COLUMNS,
    LINE_BYTES_MAX,
    Entry,
    Journal,
    JournalError,
    format_line,
    message_body,
    message_key,
    read_journal,
)

WIDEST_KEY = message_key("9" * 11, "9" * 6, "9" * 10, "Z" * 12, "Z" * 15)
WIDEST_BODY = message_body("0200", "9" * 6, "9" * 12, "999", "4" * 19)


def _line(stan: int, at_us: int = 1_700_000_000_000_000) -> str:
    key = message_key("400001", f"{stan:06d}", "1122071002", "0ABCDEF12345", "MERCHANT0000001")
    body = message_body("0200", "000000", "000000002499", "840", "4242424242424242")
    return format_line(at_us, key, body, {39: "00", 38: "321000"}, 0, "", "2026-11-22", 0, 2499)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """An empty record."""
    journal = Journal(tmp_path / "vsim.log")
    yield journal
    journal.close()


def test_a_line_says_what_was_written() -> None:
    """Formatting and parsing are inverse, column by column."""
    entry = Entry.parse(_line(123).rstrip("\n"))
    assert (entry.stan, entry.amount, entry.masked_pan) == (
        "000123",
        "000000002499",
        "424242******4242",
    )
    assert (entry.response_code, entry.approval_code, entry.original) == ("00", "321000", "")
    assert (entry.settles, entry.held_change, entry.posted_change) == ("1122", 0, 2499)
    assert entry.key in _line(123)
    assert entry.body in _line(123)


def test_a_reversal_of_a_part_says_what_remains() -> None:
    """STAN and DE 7 of the original, then the amount that stays; all of it belongs to the body."""
    original = "0001231122071002" + "000000000400"
    line = format_line(10, WIDEST_KEY, WIDEST_BODY, {39: "00"}, 0, original, "2026-11-22", -600, 0)
    entry = Entry.parse(line.rstrip("\n"))
    assert entry.remaining == "000000000400"
    assert entry.original_key.split("\t")[1:3] == ["000123", "1122071002"]
    assert entry.body.endswith(f"\t{original}")


@pytest.mark.parametrize(("delay_ms", "until_us"), [(0, 0), (-1, 0), (750, 750_010)])
def test_an_answer_is_under_way_until_it_leaves(delay_ms: int, until_us: int) -> None:
    """At once and never have no such time."""
    line = format_line(10, WIDEST_KEY, WIDEST_BODY, {39: "00"}, delay_ms, "", "", 0, 0)
    assert Entry.parse(line.rstrip("\n")).under_way_until_us == until_us


def test_lines_from_before_there_were_books_are_read() -> None:
    """They say nothing of money; the columns they have are the first ones."""
    old = "\t".join(_line(123).rstrip("\n").split("\t")[:15])
    entry = Entry.parse(old)
    assert (entry.stan, entry.settlement_date, entry.posted_change) == ("000123", "", 0)


def test_columns_are_the_fields_of_an_entry() -> None:
    """The documented columns, the record and the text have one order."""
    assert Entry.__struct_fields__ == COLUMNS
    assert len(_line(1).split("\t")) == len(COLUMNS)


def test_the_widest_line_fits() -> None:
    """A last line that was cut short is looked for in so many bytes."""
    line = format_line(
        10**16 - 1,
        WIDEST_KEY,
        WIDEST_BODY,
        {39: "00", 38: "9" * 6},
        999_999,
        "9" * 28,
        "2026-11-22",
        -(10**12 - 1),
        -(10**12 - 1),
    )
    assert len(line) <= LINE_BYTES_MAX


@pytest.mark.parametrize(
    ("pan", "shown"),
    [
        ("4242424242424242", "424242******4242"),
        ("4222222222222", "*********2222"),
        ("4000000000000000006", "400000*********0006"),
    ],
)
def test_card_numbers_are_masked(pan: str, shown: str) -> None:
    """Never more than the first six and the last four digits."""
    assert message_body("0200", "000000", "000000000001", "840", pan).endswith(f"\t{shown}")


def test_a_repeat_has_the_body_of_its_first_try() -> None:
    """The repeat digit of the MTI does not count."""
    arguments = ("000000", "000000000001", "840", "4242424242424242")
    assert message_body("0201", *arguments) == message_body("0200", *arguments)


def test_what_was_written_is_read_by_the_next_process(tmp_path: Path, journal: Journal) -> None:
    """In order, batch after batch."""
    journal.write([_line(1), _line(2)])
    journal.write([_line(3)])
    journal.close()
    successor = Journal(tmp_path / "vsim.log")
    assert [entry.stan for entry in successor.entries()] == ["000001", "000002", "000003"]
    successor.close()
    assert [entry.stan for entry in read_journal(tmp_path / "vsim.log")] == [
        "000001",
        "000002",
        "000003",
    ]


@pytest.mark.parametrize("cut", [1, 20, 100])
def test_a_line_cut_short_is_removed(tmp_path: Path, cut: int) -> None:
    """It was never answered, and the next line must not be appended to it."""
    path = tmp_path / "vsim.log"
    path.write_text(_line(1) + _line(2)[:-cut])
    journal = Journal(path)
    assert [entry.stan for entry in journal.entries()] == ["000001"]
    journal.write([_line(3)])
    journal.close()
    assert path.read_text() == _line(1) + _line(3)


def test_a_damaged_line_is_an_error(tmp_path: Path) -> None:
    """A whole line that cannot be read is no kill's doing."""
    path = tmp_path / "vsim.log"
    path.write_text(_line(1) + "not a line\n")
    with pytest.raises(JournalError, match="line 2: 1 columns instead of 18"):
        list(read_journal(path))
    journal = Journal(path)
    with pytest.raises(JournalError, match="1 columns instead of 18"):
        list(journal.entries())
    journal.close()


def test_the_record_is_its_owners_alone(tmp_path: Path, journal: Journal) -> None:
    """Nobody else reads what moved on a network."""
    assert (tmp_path / "vsim.log").stat().st_mode & 0o777 == 0o600


def test_a_record_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(JournalError, match=r"missing/vsim\.log: No such file"):
        Journal(tmp_path / "missing" / "vsim.log")


def test_a_write_that_does_not_fit_is_an_error(journal: Journal) -> None:
    """The kernel's limit on file size is met once in part of a line, then with nothing at all."""
    line = _line(1)
    journal.write([line])
    with _file_size_limit(len(line) + 10):
        with pytest.raises(JournalError, match=f"10 of {len(line)} bytes were written"):
            journal.write([line])
        with pytest.raises(JournalError, match="File too large"):
            journal.write([line])


@contextmanager
def _file_size_limit(size_bytes: int) -> Iterator[None]:
    """Python ignores SIGXFSZ, so going over the limit is an error of the write."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
