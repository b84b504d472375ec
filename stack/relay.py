"""What `turnout relay` shows and does: how the event stream is fed, and agreeing to a repair."""

from __future__ import annotations

from typing import Final

from ledger.connection import Connection
from ledger.operators import OperatorError
from ledger.relay.ledger_side import (
    RelayState,
    allowed_pinned_bytes,
    approve_repair,
    read_positions,
    read_state,
)
from ledger.relay.positions import Slot, format_lsn
from ledger.relay.starting import EXPLANATIONS
from stack.acting import Document
from stack.instants import rfc3339
from stack.running import RunningStack

NEVER_STARTED: Final = "never_started"
_WORDS: Final = {finding.value: text for finding, text in EXPLANATIONS.items()}


async def status(stack: RunningStack, session: Connection, *, second: bool = False) -> Document:
    """How the relay stands, and its slot as the server shows it now; or how the second one does."""
    name = _slot_name(stack, second=second)
    limits = stack.settings.relay
    running = ("relay-2" if second else "relay") in stack.endpoints.processes
    state = await read_state(session, name)
    flushed_lsn, slot = await read_positions(session, name)
    allowed_bytes = await allowed_pinned_bytes(session)
    return {
        "slot": name,
        "second": second,
        "enabled": limits.enabled and (limits.second or running if second else True),
        "running": running,
        **_state_document(state),
        "server": _slot_document(slot, flushed_lsn, allowed_bytes),
    }


async def repair(
    stack: RunningStack, session: Connection, *, operator: str, note: str, second: bool = False
) -> Document:
    """Agree that the relay repairs what it has found, and streams from this database.

    Raises:
        OperatorError: it does not wait for that, or the texts cannot be kept.
    """
    name = _slot_name(stack, second=second)
    state = await read_state(session, name)
    if state is None or state.case_id is None:
        raise OperatorError("the relay does not wait for an operator; see turnout relay status")
    await approve_repair(session, name, state.case_id, operator=operator, note=note)
    return {
        "slot": name,
        "action": "relay_repair",
        "finding": state.finding,
        "case": state.case_id.hex(),
        "operator": operator,
    }


def _slot_name(stack: RunningStack, *, second: bool) -> str:
    limits = stack.settings.relay
    return limits.second_slot if second else limits.slot


def _state_document(state: RelayState | None) -> Document:
    if state is None:
        return {"state": NEVER_STARTED, "since": None, "finding": None, "explanation": None}
    return {
        "state": state.state,
        "since": rfc3339(state.since_us),
        "finding": state.finding or None,
        "explanation": _WORDS.get(state.finding) if state.finding else None,
        "case": None if state.case_id is None else state.case_id.hex(),
        "approved": state.approved_case is not None and state.approved_case == state.case_id,
        "stream": {
            "system_identifier": state.system_identifier,
            "timeline": state.timeline,
            "mark_then": format_lsn(state.mark_lsn),
            "records_then": state.next_offset,
        },
    }


def _slot_document(slot: Slot | None, flushed_lsn: int, allowed_bytes: int) -> Document | None:
    if slot is None:
        return None
    ratio = slot.pinned_bytes / allowed_bytes if allowed_bytes else None
    return {
        "confirmed": format_lsn(slot.confirmed_lsn),
        "behind_bytes": max(0, flushed_lsn - slot.confirmed_lsn),
        "pinned_bytes": slot.pinned_bytes,
        "pinned_ratio": None if ratio is None else round(ratio, 4),
        "wal_status": slot.wal_status,
        "lost": slot.lost or None,
        "in_use": slot.active,
    }
