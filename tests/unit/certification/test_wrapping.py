"""More messages than STANs: the tries count what they should, on a small scale."""

from __future__ import annotations

from pathlib import Path

import pytest

from certification import wrapping
from certification.wrapping import on_the_core, over_the_link
from switch.iso8583 import load_dialect
from tests.support.network import sale


def test_a_wrap_on_the_core_clashes_with_nothing() -> None:
    """Every message in flight for its window, its STAN used again meanwhile."""
    assert on_the_core(3_000, pending_s=20.0, per_s=100.0) == (0, 0)


def test_numbers_that_repeat_too_soon_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the second that tells two uses of a STAN apart, the second use clashes."""

    class Forgetful(wrapping.StanAllocator):
        """Gives the same STANs again at once."""

        def next(self, now_s: int) -> tuple[str, str]:
            stan, _ = super().next(now_s)
            return f"{int(stan) % 100:06d}", "0101000000"

    monkeypatch.setattr(wrapping, "StanAllocator", Forgetful)
    clashes, wrong = on_the_core(150, pending_s=20.0, per_s=100.0)
    assert (clashes, wrong) == (50, 0)


async def test_every_message_on_a_link_gets_its_own_answer(tmp_path: Path) -> None:
    """All of them in flight at once, answered in another order."""
    dialect = load_dialect("net87b")
    fields = dialect.decode(dialect.encode(sale()))
    assert await over_the_link(tmp_path, dialect, fields, seed=3, total=200) == (200, 0)
