"""Which disks must have room before anything new is recorded."""

from __future__ import annotations

from pathlib import Path

from chassis.free_space import FreeSpace
from chassis.settings.tree import Ledger
from ledger.embedded.cluster import Layout


def watched_storage(data_dir: Path, limits: Ledger) -> FreeSpace:
    """The file systems of a stack's data directory, and of its own Postgres where it has one.

    Somebody else's Postgres keeps watch over its own disk.
    """
    places = [place for place in (data_dir, Layout(data_dir).home) if place.exists()]
    return FreeSpace(places, bytes_min=limits.free_bytes_min)
