"""A relay in a process of its own, to be killed; its arguments are named below."""

from __future__ import annotations

import sys
import time
from functools import partial
from pathlib import Path

import msgspec
import trio

from chassis.crash_points import follow_arming
from chassis.settings import Settings
from ledger.pool import Pool
from ledger.relay.relay import Relay
from ledger.stream.open import stream_reader, stream_writer
from tests.support.relay import LEDGER, LIMITS, SEGMENTS


async def _main(dsn: str, folder: Path, slot: str, batch_records_max: int) -> None:
    limits = msgspec.structs.replace(LIMITS, slot=slot, batch_records_max=batch_records_max)
    settings = Settings(relay=limits, stream=SEGMENTS, ledger=LEDGER)
    pool = Pool(dsn, 2, settings=LEDGER, role_settings={})
    relay = Relay(
        dsn=dsn,
        runner=pool,
        writer=stream_writer(settings, folder),
        open_reader=partial(stream_reader, settings, folder),
        limits=limits,
        ledger=LEDGER,
        now_us=lambda: time.time_ns() // 1_000,
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(pool.serve)
        nursery.start_soon(relay.run)


if __name__ == "__main__":
    dsn, folder, slot, arming, batch_records_max = sys.argv[1:]
    follow_arming(Path(arming))
    trio.run(_main, dsn, Path(folder), slot, int(batch_records_max))
