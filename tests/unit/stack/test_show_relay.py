"""The relay as people see it."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from ledger.relay.ledger_side import RelayState
from ledger.relay.positions import Slot
from stack import show_relay
from stack.relay import _slot_document, _state_document

STATE = RelayState(
    state="streaming",
    since_us=1_780_000_000_000_000,
    finding="",
    case_id=None,
    approved_case=None,
    system_identifier="77",
    timeline=1,
    mark_lsn=0x1_0000_00A0,
    next_offset=12,
)
REFUSED = msgspec.structs.replace(
    STATE, state="refused", finding="other_system", case_id=bytes(15) + b"\x01"
)
SLOT = Slot(
    confirmed_lsn=0x100, pinned_bytes=640, is_ours=True, lost="", wal_status="reserved", active=True
)


def _shown(
    capsys: pytest.CaptureFixture[str],
    state: RelayState | None,
    slot: Slot | None,
    *,
    allowed_bytes: int = 1_000,
    **changes: Any,
) -> str:
    document: dict[str, Any] = {"slot": "turnout_relay_0", "enabled": True, "running": True}
    document |= _state_document(state)
    document |= {"server": _slot_document(slot, 0x180, allowed_bytes)}
    show_relay.status(document | changes)
    return capsys.readouterr().out


def test_a_relay_in_order_shows_where_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    """State, stream, slot, and how much WAL the slot pins of what it may."""
    shown = _shown(capsys, STATE, SLOT)
    for words in (
        "streaming since 2026-",
        "12 records, up to 1/A0",
        "system 77, timeline 1",
        "reserved, in use",
        "0/100, 128 bytes behind",
        "640 bytes, 64.0% of the allowed",
    ):
        assert words in shown
    assert "repair" not in shown


def test_a_refusal_says_what_was_found_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence that explains it, and the command; once that was given, to wait."""
    shown = _shown(capsys, REFUSED, SLOT)
    assert "other_system: this is another database cluster" in shown
    assert "turnout relay repair --note" in shown
    agreed = msgspec.structs.replace(REFUSED, approved_case=REFUSED.case_id)
    shown = _shown(capsys, agreed, SLOT)
    assert "begins within seconds" in shown
    assert "relay repair" not in shown
    other = msgspec.structs.replace(REFUSED, approved_case=bytes(16))
    assert "turnout relay repair --note" in _shown(capsys, other, SLOT)


def test_what_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """No slot, no process, no start yet, no limit."""
    assert "never started" in _shown(capsys, None, None)
    assert "slot" in _shown(capsys, None, None)
    assert "absent" in _shown(capsys, STATE, None)
    assert "does not run" in _shown(capsys, STATE, SLOT, running=False)
    assert "switched off" in _shown(capsys, STATE, SLOT, enabled=False)
    assert "of the allowed" not in _shown(capsys, STATE, SLOT, allowed_bytes=0)
