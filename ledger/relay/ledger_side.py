"""What the relay asks the ledger, and tells it, in ordinary sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ledger.operators import check_answer, check_texts
from ledger.pgtypes import int4_, int8_, jsonb_, text_, text_array, uuid_
from ledger.relay.positions import Slot
from ledger.statements import QUERIES, Runner
from ledger.stream.record import Mark

FLUSHING_SINCE: Final = 170_000  # server version that can flush a message at once

_SLOT: Final = QUERIES["relay_slot"]
_FLUSHED: Final = QUERIES["relay_flushed"]
_HEARTBEAT: Final = QUERIES["relay_heartbeat"]
_HEARTBEAT_16: Final = QUERIES["relay_heartbeat_16"]
_SERVER_VERSION: Final = QUERIES["relay_server_version"]
_PINNED: Final = QUERIES["relay_pinned_share"]
_STATE: Final = QUERIES["relay_state"]
_SET_STATE: Final = QUERIES["set_relay_state"]
_OPEN_EXCEPTION: Final = QUERIES["open_relay_exception"]
_APPROVE: Final = QUERIES["approve_relay_repair"]
_APPROVED_BY: Final = QUERIES["approved_by"]


class RelayState(msgspec.Struct, frozen=True):
    """How a relay said that it stands, when that last changed."""

    state: str
    since_us: int
    finding: str
    case_id: bytes | None
    approved_case: bytes | None
    system_identifier: str
    timeline: int
    mark_lsn: int
    next_offset: int

    @property
    def mark(self) -> Mark | None:
        """The stream's mark then; None where it had none."""
        if not self.system_identifier:
            return None
        return Mark(int(self.system_identifier), self.timeline, self.mark_lsn)


async def read_slot(runner: Runner, name: str) -> Slot | None:
    """Our slot as the server shows it; None where there is none."""
    return _slot((await runner.run(_SLOT, [text_(name)])).rows())


async def read_positions(runner: Runner, name: str) -> tuple[int, Slot | None]:
    """How far the server's WAL is on disk, and our slot."""
    flushed, slots = await runner.pipeline([(_FLUSHED, ()), (_SLOT, [text_(name)])])
    return flushed.column(0)[0], _slot(slots.rows())


def _slot(rows: list[tuple[Any, ...]]) -> Slot | None:
    if not rows:
        return None
    confirmed_lsn, pinned_bytes, is_ours, lost, wal_status, active = rows[0]
    return Slot(confirmed_lsn, pinned_bytes, is_ours, lost, wal_status, active)


async def server_version(runner: Runner) -> int:
    """The server's version as a number, such as 180006."""
    version: int = (await runner.run(_SERVER_VERSION)).column(0)[0]
    return version


async def write_heartbeat(runner: Runner, version: int) -> None:
    """Write a word into the WAL that is on disk at once."""
    await runner.run(_HEARTBEAT if version >= FLUSHING_SINCE else _HEARTBEAT_16)


async def pinned_share(runner: Runner, slots: list[str]) -> float:
    """How much of its allowance the slot that pins most has used up; 0 where there is no limit."""
    pinned_bytes, allowed_bytes = (await runner.run(_PINNED, [text_array(slots)])).rows()[0]
    return float(pinned_bytes / allowed_bytes) if allowed_bytes > 0 else 0.0


async def allowed_pinned_bytes(runner: Runner) -> int:
    """How much WAL the server lets a slot pin; 0 where it sets no limit."""
    allowed_bytes: int = (await runner.run(_PINNED, [text_array([])])).column(1)[0]
    return max(0, allowed_bytes)


async def read_state(runner: Runner, slot: str) -> RelayState | None:
    """How the relay of a slot stands; None where it has never started."""
    rows = (await runner.run(_STATE, [text_(slot)])).rows()
    return RelayState(*rows[0]) if rows else None


async def write_state(
    runner: Runner,
    slot: str,
    state: str,
    *,
    finding: str = "",
    case_id: bytes | None = None,
    mark: Mark | None,
    next_offset: int,
) -> int:
    """Note how the relay stands. Role: turnout_relay.

    Returns:
        The LSN up to which the ledger had gone at most, if it was set back: as it was when the
        finding was first noted, however far it has gone since.
    """
    params = [
        text_(slot),
        text_(state),
        text_(finding),
        None if case_id is None else uuid_(case_id),
        text_("" if mark is None else str(mark.system_identifier)),
        int4_(0 if mark is None else mark.timeline),
        (0 if mark is None else mark.end_lsn).to_bytes(8),
        int8_(next_offset),
    ]
    set_back_to: int = (await runner.run(_SET_STATE, params)).column(0)[0]
    return set_back_to


async def open_exception(runner: Runner, kind: str, detail: Mapping[str, str | int]) -> None:
    """Open an exception about the stream, unless the same one is open. Role: turnout_relay."""
    document = msgspec.json.encode(dict(detail))
    await runner.run(_OPEN_EXCEPTION, [text_(kind), jsonb_(document)])


async def read_approval(runner: Runner, slot: str) -> tuple[str, str]:
    """Whose word it was last that a relay may repair, and their note; empty if nobody's."""
    rows = (await runner.run(_APPROVED_BY, [text_(slot)])).rows()
    return (rows[0][0], rows[0][1]) if rows else ("", "")


async def approve_repair(
    runner: Runner, slot: str, case_id: bytes, *, operator: str, note: str
) -> None:
    """An operator's word that the relay may repair what it found; audited. Role: turnout_admin.

    Raises:
        OperatorError: the relay does not wait for that word, or the texts are too long.
    """
    check_texts(operator, note)
    params = [text_(slot), uuid_(case_id), text_(operator), text_(note)]
    check_answer((await runner.run(_APPROVE, params)).column(0)[0])
