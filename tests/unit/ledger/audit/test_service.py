"""How the process that signs stands while its log does not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from ledger.audit.log import AuditLogError
from ledger.audit.service import Signing
from ledger.stream.errors import StreamCorruptError


async def test_what_does_not_fit_is_looked_at_until_it_does(autojump_clock: MockClock) -> None:
    """Told once for each reason; the process lives on meanwhile, and says that it refuses."""
    signing = Signing()
    damaged = StreamCorruptError(Path("7.seg"), 64, "a frame does not match its CRC")
    reasons: list[Exception] = [AuditLogError("cut short"), AuditLogError("cut short"), damaged]
    stood: list[str] = []

    async def look() -> str:
        stood.append(signing.refused)
        if reasons:
            raise reasons.pop(0)
        return "the log"

    with capture_logs() as lines:
        assert await signing.once_it_fits(look) == "the log"
    assert stood == ["", "cut short", "cut short", str(damaged)]
    assert [line["reason"] for line in lines] == ["cut short", str(damaged)]
    assert signing.refused == ""


async def test_what_is_no_matter_of_the_log_ends_the_process() -> None:
    """A disk that cannot be written to is not waited for here."""
    signing = Signing()

    async def look() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        await signing.once_it_fits(look)
