"""The register of legal holds: what is noted stays, and nobody else's word is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from ledger.archive.errors import ArchiveError
from ledger.archive.holds import NAME, Line, Register, holds_of
from ledger.audit.keys import make_pair
from ledger.audit.notes import ED25519

PAIR = make_pair("turnout.example/0/archive", ED25519, bytes(range(32)))
OTHER = make_pair("turnout.example/0/archive", ED25519, bytes(range(1, 33)))
MERCHANT = b"\x07" * 16
INTENT = b"\x01" * 16


@pytest.fixture
def register(tmp_path: Path) -> Register:
    """An empty one."""
    return Register(tmp_path, PAIR.public)


def _line(**what: object) -> Line:
    fields: dict[str, object] = {"number": 0, "action": "add", "at_us": 1, "operator": "ada"}
    return Line(**(fields | {"reason": "case"} | what))  # type: ignore[arg-type]


def test_holds_are_numbered_and_hold_until_released(register: Register) -> None:
    """A number is never given twice, released or not."""
    assert register.active() == []
    for _ in range(2):
        register.add(PAIR, _line(intent=INTENT.hex()))
    released = register.release(PAIR, _line(number=2, operator="bo", reason="over"))
    assert (released.action, released.intent, released.reason) == ("release", INTENT.hex(), "over")
    assert register.add(PAIR, _line(merchant=MERCHANT.hex())).number == 3
    assert [one.number for one in register.active()] == [1, 3]
    assert [one.action for one in register.lines()] == ["add", "add", "release", "add"]


def test_what_is_not_held_is_not_released(register: Register) -> None:
    """A hold that never was, or is over, is refused; nothing is noted."""
    register.add(PAIR, _line(begin_us=1, end_us=2))
    register.release(PAIR, _line(number=1))
    for number in (1, 2):
        with pytest.raises(ArchiveError, match=f"there is no legal hold {number}"):
            register.release(PAIR, _line(number=number))
    assert len(register.lines()) == 2


def test_a_torn_last_line_was_never_acknowledged(register: Register, tmp_path: Path) -> None:
    """A death while a hold was noted leaves the register as it was; the next one goes on."""
    register.add(PAIR, _line(intent=INTENT.hex()))
    path = tmp_path / NAME
    whole = path.read_bytes()
    path.write_bytes(whole + whole[: len(whole) // 2])
    assert len(register.active()) == 1
    register.add(PAIR, _line(merchant=MERCHANT.hex()))
    assert [one.number for one in register.active()] == [1, 2]


@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_line_that_was_taken_out_or_changed_is_named(
    register: Register, tmp_path: Path, which: int
) -> None:
    """All but the loss of the last lines shows."""
    for number in range(4):
        register.add(PAIR, _line(begin_us=number, end_us=number + 1))
    path = tmp_path / NAME
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:which] + lines[which + 1 :]))
    with pytest.raises(ArchiveError, match=rf"line {which + 1}"):
        register.active()
    lines[which] = lines[which].replace(b'"ada"', b'"bob"')
    path.write_bytes(b"".join(lines))
    with pytest.raises(ArchiveError, match=rf"line {which + 1} is not what"):
        register.active()


def test_another_key_notes_nothing_that_counts(register: Register, tmp_path: Path) -> None:
    """A seal is the archive's, or the line is refused; without the key there is no telling."""
    Register(tmp_path, OTHER.public).add(OTHER, _line(intent=INTENT.hex()))
    with pytest.raises(ArchiveError, match="is not what the archive's key signed"):
        register.active()
    with pytest.raises(ArchiveError, match="public key is missing"):
        Register(tmp_path, None).active()


@pytest.mark.parametrize(
    ("merchant", "intent", "held"),
    [
        (MERCHANT, b"\x02" * 16, True),
        (b"\x08" * 16, INTENT, True),
        (b"\x08" * 16, b"\x02" * 16, False),
        (None, b"\x02" * 16, True),
    ],
)
def test_a_payment_is_held_by_itself_or_by_its_merchant(
    merchant: bytes | None, intent: bytes, *, held: bool
) -> None:
    """Where nobody knows the merchant any more, any merchant's hold counts."""
    lines = [_line(merchant=MERCHANT.hex()), _line(intent=INTENT.hex())]
    assert (holds_of(lines, merchant, intent) is not None) == held
    assert holds_of(lines[1:], None, b"\x02" * 16) is None
