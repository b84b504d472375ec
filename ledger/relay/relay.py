"""One relay: session after session, from deciding how to start to the flow itself.

connect ─▶ decide ─┬─▶ stream ───────────▶ until the session ends ─▶ connect
                   ├─▶ repair ───────────▶ connect, to stream from the new mark
                   └─▶ refuse, wait for an operator or the right database ─▶ connect
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Never

import attrs
import trio

from chassis.backoff import Backoff
from chassis.log import get_logger
from chassis.settings.tree import Ledger
from chassis.settings.tree import Relay as Limits
from ledger.connection import Connection
from ledger.errors import DatabaseError, PgoutputError, PoolOverloadError
from ledger.relay.connection import ReplicationSession
from ledger.relay.errors import RelayError
from ledger.relay.flow import Flow
from ledger.relay.health import Health
from ledger.relay.ledger_side import (
    open_exception,
    read_approval,
    read_slot,
    read_state,
    write_state,
)
from ledger.relay.positions import Identity, format_lsn, parse_history
from ledger.relay.repair import Found, OpenReader, Repair
from ledger.relay.restores import Restore, lost_range, take_note
from ledger.relay.starting import (
    EXPLANATIONS,
    SET_BACK,
    Decision,
    Finding,
    Refusal,
    Stream,
    decide,
)
from ledger.relay.starting import Repair as RepairDecision
from ledger.relay.transactions import Assembler, Tampering
from ledger.statements import Runner
from ledger.stream.backend import Batch, Writer
from ledger.stream.cursors import reset_cursors
from ledger.stream.errors import StreamFullError
from ledger.stream.record import Mark

# A repair holds one transaction open for as long as it takes, and scans whole tables.
_SNAPSHOT_SETTINGS: Final = {
    "statement_timeout": "600000",
    "idle_in_transaction_session_timeout": "0",
    "jit": "off",
}
_SNAPSHOT_ANSWER_S: Final = 660.0
# What ends a session and not the process: another session may fare better.
PASSING: Final = (
    DatabaseError,
    PgoutputError,
    PoolOverloadError,
    RelayError,
    StreamFullError,
)
_SHARD: Final = 0
TAMPERING_TOLD_MAX: Final = 16  # exceptions opened for one batch; the log and the metric have all

_log = get_logger(__name__)


@attrs.define(kw_only=True)
class Relay:
    """The relay of one database.

    Attributes:
        dsn: of role turnout_relay.
        runner: ordinary sessions of the same role.
        writer: of the stream; opened by `run`.
        open_reader: opens a reader of the same stream, for repairs.
        limits: its settings.
        ledger: time-outs for reaching the database.
        now_us: Unix microseconds.
        is_second: whether it feeds a second stream, which no consumer and no note in the ledger
            is about.
        health: how it stands.
    """

    dsn: str = attrs.field(repr=False)
    runner: Runner
    writer: Writer
    open_reader: OpenReader
    limits: Limits
    ledger: Ledger
    now_us: Callable[[], int]
    is_second: bool = False
    health: Health = attrs.field(factory=Health)
    _mark: Mark | None = None
    _given: set[bytes] = attrs.field(factory=set)
    _told: bytes | None = None  # the refusal that was told last

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> Never:
        """Feed the stream until canceled; started once the stream is open.

        Raises:
            StreamError: the stream cannot be written; the process has to end.
        """
        self._mark = await self.writer.open()
        self._note_mark()
        task_status.started()
        backoff = Backoff(min_s=self.limits.reconnect_min_s, max_s=self.limits.reconnect_max_s)
        while True:
            try:
                await self._session(backoff)
            except PASSING as error:
                self.health.trouble = str(error)
                _log.warning("relay_interrupted", reason=str(error))
                self.health.state = "connecting"
                await trio.sleep(backoff.next_delay_s())

    async def _session(self, backoff: Backoff) -> None:
        session = await ReplicationSession.open(
            self.dsn,
            connect_timeout_s=self.ledger.connect_timeout_s,
            sender_timeout_s=self.limits.sender_timeout_s,
        )
        try:
            self.health.sessions_total += 1
            identity = await session.identify()
            decision = await self._decide(session, identity)
            match decision:
                case Stream(after_lsn):
                    await self._stream(session, identity, after_lsn, backoff)
                case RepairDecision(finding):
                    await self._repair(session, identity, finding)
                case Refusal():
                    await self._refuse(identity, decision)
        finally:
            with trio.CancelScope(shield=True):
                await session.aclose()

    async def _decide(self, session: ReplicationSession, identity: Identity) -> Decision:
        history = await self._history(session, identity)
        slot = await read_slot(self.runner, self.limits.slot)
        state = await read_state(self.runner, self.limits.slot)
        if state is None:
            return decide(self._mark, identity, history, slot)
        ahead = state.mark if state.finding == Finding.STREAM_AHEAD.value else None
        approved = state.approved_case
        return decide(self._mark, identity, history, slot, approved=approved, found_ahead=ahead)

    # ----------------------------------------------------------------------------------- in order

    async def _stream(
        self, session: ReplicationSession, identity: Identity, after_lsn: int, backoff: Backoff
    ) -> None:
        assert self._mark is not None
        mark = Mark(identity.system_identifier, identity.timeline, after_lsn)
        await session.start(self.limits.slot)
        await self._tell_state("streaming", mark=mark)
        self.health.trouble = self.health.finding = ""
        self._told = None
        _log.info("streaming", after=format_lsn(after_lsn), next_offset=self.writer.next_offset)
        flow = Flow(
            session,
            self.writer,
            mark,
            Assembler(
                after_lsn=after_lsn,
                last=self.writer.last,
                portion_records_max=self.limits.batch_records_max,
            ),
            self._given,
            limits=self.limits,
            health=self.health,
            now_us=self.now_us,
            on_tampering=self._report_tampering,
        )
        began = trio.current_time()
        try:
            await flow.run()
        finally:
            self._mark = flow.mark
            if trio.current_time() - began > self.limits.reconnect_max_s:
                backoff.reset()

    # ------------------------------------------------------------------------------- out of order

    async def _repair(
        self, session: ReplicationSession, identity: Identity, finding: Finding
    ) -> None:
        """Make the slot anew and append what the stream lacks; then the next session streams."""
        health, limits = self.health, self.limits
        first = finding is Finding.FIRST_START
        log = _log.info if first else _log.error
        log("repair_begins", finding=finding.value, explanation=EXPLANATIONS[finding])
        health.finding = finding.value
        set_back_to = await self._tell_state("repairing", finding=finding.value)
        if self._mark is None:  # so that a death on the way is told from a stream that was lost
            forgotten = 0 if self.is_second else await reset_cursors(self.runner, _SHARD)
            if forgotten:
                _log.error("parked_events_forgotten", events=forgotten)
                detail = {"finding": finding.value, "parked_forgotten": forgotten}
                await open_exception(self.runner, "relay_repaired", detail)
            begin = Mark(identity.system_identifier, identity.timeline, 0)
            await self.writer.append(Batch([], [], begin))
            self._mark = begin
        lost = None
        if self.is_second:  # the ledger's notes are of records of the first stream
            lost = []
            if finding in SET_BACK:
                lost = [await self._lost(session, identity, self._mark, set_back_to)]
        elif finding in SET_BACK:
            await self._note_restore(session, identity, self._mark, set_back_to)
        if await read_slot(self.runner, limits.slot) is not None:
            await session.drop_slot(limits.slot, timeout_s=limits.slot_timeout_s)
        slot = await session.create_slot(limits.slot, timeout_s=limits.slot_timeout_s)
        new = Mark(identity.system_identifier, identity.timeline, slot.consistent_lsn)
        found = await self._compare(slot.snapshot, self._mark, new, lost)
        self._mark = new
        health.forget_samples()
        health.reached_lsn = 0
        self._note_mark()
        health.repairs_total += 1
        health.repaired_records_total += found.records
        log("repair_ended", records=found.records, not_in_tables=found.not_in_tables)
        if not first or found.records:
            await self._tell_repair(finding, found, new)

    async def _note_restore(
        self, session: ReplicationSession, identity: Identity, mark: Mark, set_back_to: int
    ) -> None:
        """Before the slot is made: what comes through it has names that nothing lost has."""
        lost = await self._lost(session, identity, mark, set_back_to)
        if not lost:
            return
        operator, note = await read_approval(self.runner, self.limits.slot)
        async with self.open_reader() as reader:
            restore = Restore(
                identity.system_identifier, mark.timeline, identity.timeline, lost, operator, note
            )
            payments = await take_note(self.runner, reader, restore)
        _log.error("ledger_was_set_back", lost=len(lost), first=lost.start, payments=payments)

    async def _lost(
        self, session: ReplicationSession, identity: Identity, mark: Mark, set_back_to: int
    ) -> range:
        """Offsets of what the stream holds of a state that the ledger was set back from."""
        known = await self._history(session, identity)
        known[identity.timeline] = set_back_to  # what it wrote since then is its own
        async with self.open_reader() as reader:
            return await lost_range(reader, mark.timeline, known)

    async def _history(self, session: ReplicationSession, identity: Identity) -> dict[int, int]:
        """Where the ancestors of the database's timeline were left, if the stream is of one."""
        if self._mark is None or self._mark.timeline == identity.timeline:
            return {}
        return parse_history(await session.timeline_history(identity.timeline))

    async def _compare(
        self, snapshot: str, old: Mark, new: Mark, lost: list[range] | None
    ) -> Found:
        connection = await Connection.open(
            self.dsn,
            role_settings=_SNAPSHOT_SETTINGS,
            connect_timeout_s=self.ledger.connect_timeout_s,
            answer_timeout_s=_SNAPSHOT_ANSWER_S,
        )
        try:
            await connection.script(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
                f"SET TRANSACTION SNAPSHOT '{snapshot}'"
            )
            repair = Repair(
                self.writer,
                self.open_reader,
                self._given,
                window_intents=self.limits.repair_window_intents,
                keys_max=self.limits.repair_keys_max,
                now_us=self.now_us,
                lost=lost,
            )
            return await repair.run(connection, old, new)
        finally:
            with trio.CancelScope(shield=True):
                await connection.aclose()

    async def _refuse(self, identity: Identity, refusal: Refusal) -> None:
        """Stream nothing; look again after a while, or once an operator has agreed."""
        self.health.finding = refusal.finding.value
        await self._tell_state("refused", finding=refusal.finding.value, case_id=refusal.id)
        if self._told != refusal.id:
            _log.critical(
                "relay_refuses_to_stream",
                finding=refusal.finding.value,
                explanation=EXPLANATIONS[refusal.finding],
                system_identifier=identity.system_identifier,
                timeline=identity.timeline,
                remedy="turnout relay status",
            )
            detail = {"finding": refusal.finding.value, "case": refusal.id.hex()}
            await open_exception(self.runner, "relay_refused", detail)
            self._told = refusal.id
        await trio.sleep(self.limits.refusal_check_s)

    # ------------------------------------------------------------------------------------ telling

    async def _tell_state(
        self,
        state: str,
        *,
        finding: str = "",
        case_id: bytes | None = None,
        mark: Mark | None = None,
    ) -> int:
        self.health.state = state
        return await write_state(
            self.runner,
            self.limits.slot,
            state,
            finding=finding,
            case_id=case_id,
            mark=mark or self._mark,
            next_offset=self.writer.next_offset,
        )

    async def _tell_repair(self, finding: Finding, found: Found, new: Mark) -> None:
        detail: dict[str, str | int] = {
            "finding": finding.value,
            "up_to": format_lsn(new.end_lsn),
            "not_in_tables": found.not_in_tables,
        }
        detail |= {f"repaired_{table}": count for table, count in found.repaired.items()}
        await open_exception(self.runner, "relay_repaired", detail)

    async def _report_tampering(self, found: list[Tampering]) -> None:
        for item in found:
            _log.critical(
                "history_was_changed",
                kind=item.kind,
                table=item.table,
                commit=format_lsn(item.commit_lsn),
                ordinal=item.ordinal,
            )
        try:
            for item in found[:TAMPERING_TOLD_MAX]:
                detail: dict[str, str | int] = {
                    "kind": item.kind,
                    "table": item.table,
                    "commit": format_lsn(item.commit_lsn),
                    "ordinal": item.ordinal,
                }
                await open_exception(self.runner, "history_changed", detail)
        except (DatabaseError, PoolOverloadError) as error:  # the log has told, the stream goes on
            _log.error("exception_not_opened", reason=str(error))

    def _note_mark(self) -> None:
        health, mark = self.health, self._mark
        health.durable_lsn = 0 if mark is None else mark.end_lsn
        health.reached_lsn = max(health.reached_lsn, health.durable_lsn)
        health.next_offset = self.writer.next_offset
