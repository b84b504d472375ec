"""Faults that do not come about are told of, whatever kept them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trio
import trio.testing

from chaos.faults import Saboteur
from chaos.schedule import Fault


class Shop:
    """A shop with nothing under way, whose payments are never taken."""

    under_way = 0

    async def play(self, _story: Any) -> bool:
        """Wait for an answer that does not come."""
        await trio.sleep_forever()
        return False


async def test_what_a_run_did_not_get_to_is_missed(
    autojump_clock: trio.testing.MockClock, tmp_path: Path
) -> None:
    """One that waits, one whose payment is under way, one behind both: none was done."""
    del autojump_clock
    saboteur = Saboteur(
        None,  # type: ignore[arg-type]  never asked for a process
        Shop(),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        crash_point=tmp_path / "armed",
        seed=1,
    )
    marked = Fault(index=0, at_s=0.1, kind="drop", target="vsim", amount=1_001)
    waiting = Fault(index=1, at_s=0.2, kind="kill", target="api")
    behind = Fault(index=2, at_s=0.3, kind="kill", target="hsm-0")
    with trio.move_on_after(5.0):
        async with trio.open_nursery() as stories:
            await saboteur.follow([marked, waiting, behind], stories)
    assert saboteur.done == []
    assert sorted(fault.index for fault in saboteur.missed) == [0, 1, 2]
