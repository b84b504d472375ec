"""What the networks' journals say beside the ledger's record."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from network_sim.journal import NEVER_MS, Entry
from stack.telling import read_by_rrn, say_decision

ENTRY = Entry(
    decided_at_us=1_767_323_045_123_456,
    acquirer_id="400001",
    stan="000123",
    de7="0102030405",
    rrn="00253HVJ6Z4C",
    card_acceptor_id="DEMOSHOP0000001",
    mti="0200",
    processing_code="000000",
    amount="000000002499",
    currency="840",
    masked_pan="424242******4242",
    response_code="00",
    approval_code="321000",
    answer_delay_ms=0,
    original="",
)
WANTED = frozenset({ENTRY.rrn})


@pytest.mark.parametrize(
    ("delay_ms", "sent"),
    [(0, "answered at once"), (2750, "answered 2750 ms later"), (NEVER_MS, "never answered")],
)
def test_a_decision_says_when_and_whether_it_was_answered(delay_ms: int, sent: str) -> None:
    """The code, the time of day in UTC, and what became of the answer."""
    entry = msgspec.structs.replace(ENTRY, answer_delay_ms=delay_ms)
    assert say_decision(entry) == f"00 at 03:04:05.123, {sent}"


def test_a_journal_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    """A network without a record contradicts every story instead of ending the demo."""
    assert read_by_rrn(tmp_path / "vsim.log", WANTED) == {}


def test_a_journal_that_cannot_be_read_holds_nothing(tmp_path: Path) -> None:
    """The same for a file that is no journal."""
    path = tmp_path / "vsim.log"
    path.write_text("not\ta\tjournal\n")
    assert read_by_rrn(path, WANTED) == {}


def test_only_the_messages_asked_for_are_kept(tmp_path: Path) -> None:
    """The control, beside another payment of the same network."""
    path = tmp_path / "vsim.log"
    other = msgspec.structs.replace(ENTRY, rrn="00253HVJ6Z4D")
    for entry in (ENTRY, other):
        with path.open("a") as file:
            file.write("\t".join(str(column) for column in msgspec.structs.astuple(entry)) + "\n")
    assert read_by_rrn(path, WANTED) == {(ENTRY.rrn, ENTRY.stan, ENTRY.de7): ENTRY}


def test_what_stands_before_the_stories_is_not_read_again(tmp_path: Path) -> None:
    """A journal of years costs a story nothing."""
    path = tmp_path / "vsim.log"
    line = "\t".join(str(column) for column in msgspec.structs.astuple(ENTRY)) + "\n"
    path.write_text("of another time\n" + line)
    start = len("of another time\n")
    assert read_by_rrn(path, WANTED, start=start) == {(ENTRY.rrn, ENTRY.stan, ENTRY.de7): ENTRY}
    assert read_by_rrn(path, WANTED, start=start + len(line)) == {}
