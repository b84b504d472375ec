"""Looking at the server from beside the flow: lag, slot, heartbeats, alarms.

It asks in sessions of its own, so it sees a flow that hangs. A server that does not answer leaves
the last positions standing, and the lag measured from them grows.
"""

from __future__ import annotations

from typing import Final, Never

import trio

from chassis.log import get_logger
from chassis.settings.tree import Relay as Limits
from ledger.errors import DatabaseError, PoolOverloadError
from ledger.relay.health import Health
from ledger.relay.ledger_side import read_positions, server_version, write_heartbeat
from ledger.relay.positions import Slot, format_lsn
from ledger.statements import Runner

REMIND_S: Final = 60.0  # between two log lines about the same lag
# Shares of what a slot may pin, and how loudly each is told (durability.md 2).
_PINNED_LEVELS: Final = ((0.8, "critical"), (0.6, "error"), (0.25, "warning"))

_log = get_logger(__name__)


class Monitor:
    """Keeps a relay's `Health` true.

    Args:
        runner: ordinary sessions on the same database.
        health: written to.
        limits: the relay's settings.
        pinned_bytes_max: what the server lets a slot pin; 0 where it sets no limit.
    """

    def __init__(
        self, runner: Runner, health: Health, limits: Limits, *, pinned_bytes_max: int
    ) -> None:
        self._runner = runner
        self._health = health
        self._limits = limits
        self._pinned_bytes_max = pinned_bytes_max
        self._version = 0
        self._next_heartbeat_at = 0.0
        self._next_reminder_at = 0.0
        self._pinned_level = ""

    async def run(self) -> Never:
        """Look, and sleep, until canceled."""
        while True:
            try:
                await self._look()
            except (DatabaseError, PoolOverloadError) as error:
                _log.debug("relay_monitor", reason=str(error))
                self._health.measure(trio.current_time())
            self._judge_lag(trio.current_time())
            await trio.sleep(self._limits.sample_interval_s)

    async def _look(self) -> None:
        health = self._health
        now = trio.current_time()
        if now >= self._next_heartbeat_at:
            self._version = self._version or await server_version(self._runner)
            await write_heartbeat(self._runner, self._version)
            health.heartbeats_total += 1
            self._next_heartbeat_at = now + self._limits.heartbeat_s
        flushed_lsn, slot = await read_positions(self._runner, self._limits.slot)
        health.sample(now, flushed_lsn)
        health.pinned_bytes = 0 if slot is None else slot.pinned_bytes
        health.wal_status = "absent" if slot is None else slot.wal_status
        self._judge_pinned(slot)

    def _judge_lag(self, now: float) -> None:
        health = self._health
        alarmed = health.lag_s >= self._limits.lag_alarm_s
        if alarmed and (not health.alarmed or now >= self._next_reminder_at):
            self._next_reminder_at = now + REMIND_S
            _log.error(
                "stream_lags",
                lag_s=round(health.lag_s, 1),
                lag_bytes=health.lag_bytes,
                stream=format_lsn(health.reached_lsn),
                database=format_lsn(health.flushed_lsn),
                state=health.state,
                finding=health.finding,
                trouble=health.trouble,
            )
        elif health.alarmed and not alarmed:
            _log.warning("stream_has_caught_up")
        health.alarmed = alarmed

    def _judge_pinned(self, slot: Slot | None) -> None:
        level = ""
        if slot is not None and self._pinned_bytes_max:
            share = slot.pinned_bytes / self._pinned_bytes_max
            level = next((name for least, name in _PINNED_LEVELS if share >= least), "")
        if level != self._pinned_level and level:
            log = {"critical": _log.critical, "error": _log.error, "warning": _log.warning}[level]
            log(
                "slot_pins_wal",
                pinned_bytes=self._health.pinned_bytes,
                allowed_bytes=self._pinned_bytes_max,
            )
        self._pinned_level = level
