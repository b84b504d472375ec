"""The relay process: sessions to Postgres, the stream's writer, the flow between them.

It is ready as soon as it runs: payments never wait for it. Whether changes flow is told by
`/readyz` (checks `streaming`, `lag`), by metrics and by the log. Asked to drain, it takes in what
was committed before, since nobody commits any more by then, and ends. A failure to write the stream
ends the process, whose next start recovers; what the database has not been told to be durable is
sent again.
"""

from __future__ import annotations

from functools import partial
from typing import Final

import trio

from chassis.clock import now_us
from chassis.log import get_logger
from chassis.service import Service
from ledger.errors import DatabaseError, PoolOverloadError
from ledger.pool import Pool
from ledger.relay.ledger_side import allowed_pinned_bytes, read_positions
from ledger.relay.metrics import register, register_attempts
from ledger.relay.monitor import Monitor
from ledger.relay.relay import Relay
from ledger.relay.second import SECOND_INDEX, drop_unused_slot, limits_of_second, second_folder
from ledger.stream.attempt_monitor import Figures, watch_attempts
from ledger.stream.open import stream_reader, stream_writer
from ledger.stream.recent import RECENT_BYTES_MAX, RecentReader, RecentWriter

POOL_SIZE: Final = 3  # the monitors, and the relay's own questions
DRAIN_S: Final = 5.0  # for what was committed to reach the stream; the next start does the rest
_POLL_S: Final = 0.02

_log = get_logger(__name__)


async def serve(service: Service) -> None:
    """Run the relay until asked to drain; the second one if that is its index."""
    settings, data_dir = service.settings, service.data_dir
    is_second = service.index == SECOND_INDEX
    limits = settings.relay
    if is_second:
        limits, data_dir = limits_of_second(limits), second_folder(limits, data_dir)
    dsn = service.secrets["database_dsn"]
    session_settings = {"statement_timeout": str(settings.ledger.statement_timeout_ms)}
    pool = Pool(dsn, POOL_SIZE, settings=settings.ledger, role_settings=session_settings)
    writer = RecentWriter(stream_writer(settings, data_dir), 0 if is_second else RECENT_BYTES_MAX)
    relay = Relay(
        dsn=dsn,
        runner=pool,
        writer=writer,
        open_reader=partial(stream_reader, settings, data_dir),
        limits=limits,
        ledger=settings.ledger,
        now_us=now_us,
        is_second=is_second,
    )
    health = relay.health
    register(service.metrics, health, buffer_records_max=limits.buffer_records_max)
    attempts = Figures()
    if not is_second:
        register_attempts(service.metrics, attempts)
    service.checks["streaming"] = lambda: health.state == "streaming"
    service.checks["lag"] = lambda: not health.alarmed
    try:
        async with trio.open_nursery() as background:
            await background.start(pool.serve)
            service.ready()
            await background.start(relay.run)
            allowed_bytes = await allowed_pinned_bytes(pool)
            monitor = Monitor(pool, health, limits, pinned_bytes_max=allowed_bytes)
            background.start_soon(monitor.run)
            if not is_second:
                await drop_unused_slot(pool, limits)
                background.start_soon(
                    partial(
                        watch_attempts,
                        lambda: RecentReader(writer, stream_reader(settings, data_dir)),
                        pool,
                        limits=settings.stream,
                        now_us=now_us,
                        figures=attempts,
                    )
                )
            await service.draining.wait()
            await _drain(pool, relay)
            background.cancel_scope.cancel(reason="the relay has drained")
    finally:
        with trio.CancelScope(shield=True):
            await writer.aclose()


async def _drain(pool: Pool, relay: Relay) -> None:
    """Wait until everything that is committed now is in the stream; bounded."""
    health = relay.health
    with trio.move_on_after(DRAIN_S) as waiting:
        try:
            flushed_lsn, _ = await read_positions(pool, relay.limits.slot)
        except (DatabaseError, PoolOverloadError) as error:
            _log.warning("drain_without_position", reason=str(error))
            return
        while health.state == "streaming" and health.reached_lsn < flushed_lsn:  # noqa: ASYNC110
            await trio.sleep(_POLL_S)
    if waiting.cancelled_caught:
        _log.warning("drain_cut_short", lag_bytes=health.lag_bytes)
