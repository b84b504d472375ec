"""The second relay: the same code on a slot and a stream of its own.

It reads the same WAL and should come to the same records; `ledger.comparison` sees whether it does.
Consumers, archive and audit log know the first stream alone, so nothing but the comparison misses
the second relay. Its slot pins WAL as the first one's does, and counts for shedding as that does.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from chassis.log import get_logger
from chassis.settings.tree import Relay as Limits
from ledger.pgtypes import text_
from ledger.statements import QUERIES, Runner

SECOND_INDEX: Final = 2  # of its process, among those named `relay`
SECOND_FOLDER: Final = "second"

_DROP: Final = QUERIES["drop_unused_relay_slot"]
_log = get_logger(__name__)


def limits_of_second(limits: Limits) -> Limits:
    """The settings of the second relay: the first one's, and its own slot."""
    return msgspec.structs.replace(limits, slot=limits.second_slot)


def second_folder(limits: Limits, data_dir: Path) -> Path:
    """Where the second stream lies: its segments are in `stream/<shard>` below it."""
    return Path(limits.second_directory) if limits.second_directory else data_dir / SECOND_FOLDER


async def drop_unused_slot(runner: Runner, limits: Limits) -> None:
    """Remove the second relay's slot where there is no second relay: it would pin WAL for ever.

    One that a session uses is left alone. Role: turnout_relay.

    Raises:
        DatabaseError: the server refuses.
    """
    if not limits.second and (await runner.run(_DROP, [text_(limits.second_slot)])).row_count:
        _log.warning("slot_dropped", slot=limits.second_slot, reason="relay.second = false")
