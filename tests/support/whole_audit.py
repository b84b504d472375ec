"""A small run of a whole stack with everything that an auditor gets, and copies of it to spoil."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import psycopg
import trio
from attrs import define

from chassis.settings import Settings
from ledger.audit.folders import AUDIT_FOLDER, WITNESS_FOLDER
from ledger.stream.segments.files import FOLDER, shard_folder
from ledger.stream.segments.high_water import NAME as HIGH_WATER
from stack.audit import verify_all
from stack.options import Place
from stack.temporary import TemporaryStack
from tests.support.whole_stack import merchant_of

# Segments that some seconds' work fills; a heartbeat soon after the last change.
OVERRIDES: Final = {
    "log.level": "warning",
    "stream.segment_bytes": "524288",
    "stream.batch_bytes_max": "262144",
    "relay.batch_records_max": "512",
    "relay.heartbeat_s": "0.5",
}
PAYMENTS: Final = 12
FILLING: Final = 2_800  # intents that fill a segment and more
SIGNED_WITHIN_S: Final = 30.0
FILLING_SQL: Final = """
INSERT INTO payment_intents (id, merchant_id, amount_minor, live, currency)
SELECT uuidv7(), gen_random_uuid(), 100, false, 'usd' FROM generate_series(1, 400)
"""


@define
class Recorded:
    """A stack that has worked and is idle now.

    Attributes:
        stack: it runs on.
        place: of its data directory.
    """

    stack: TemporaryStack
    place: Place

    def copy(self, folder: Path) -> Place:
        """What an auditor gets, to be spoiled: no database."""
        data_dir = self.stack.data_dir
        stream = shard_folder(data_dir, 0)
        copied = folder / stream.relative_to(data_dir)
        copied.mkdir(parents=True)
        shutil.copy2(stream / HIGH_WATER, copied)  # first: it may say too little, never too much
        for name in (FOLDER, AUDIT_FOLDER, WITNESS_FOLDER):
            shutil.copytree(
                data_dir / name,
                folder / name,
                dirs_exist_ok=True,
                ignore=shutil.ignore_patterns(HIGH_WATER, "*.key", "spare"),
            )
        for path in folder.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        return Place(Settings(), folder)


async def work(stack: TemporaryStack) -> None:
    """Charge some payments, fill a segment, and wait until everything is signed and witnessed."""
    async with merchant_of(stack) as whole:
        async with trio.open_nursery() as nursery:
            for number in range(PAYMENTS):
                nursery.start_soon(whole.pay, f"42424200{number:08d}")
        await whole.rest()
        await trio.to_thread.run_sync(_fill, whole.superuser())
    await settled(Place(Settings(), stack.data_dir))


def _fill(session: psycopg.Connection[tuple[Any, ...]]) -> None:
    with session:
        for _ in range(FILLING // 400):
            session.execute(FILLING_SQL)
            session.commit()


async def settled(place: Place) -> None:
    """Wait until nothing more comes, and all that came is under a cosigned checkpoint."""
    before = -1
    with trio.fail_after(SIGNED_WITHIN_S):
        while True:
            document = await trio.to_thread.run_sync(verify_all, place, lambda _done, _total: None)
            events = document["checked"]["events"]
            if events == before == document["witnessed"] and not document["unsigned"]:
                return
            before = events
            await trio.sleep(0.5)
