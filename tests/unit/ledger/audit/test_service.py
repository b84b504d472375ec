"""How the process that signs stands while its log does not fit."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from trio.testing import MockClock

from ledger.audit.log import AuditLogError
from ledger.audit.service import Signing
from ledger.stream.errors import StreamCorruptError


async def test_what_does_not_fit_is_looked_at_until_it_does(autojump_clock: MockClock) -> None:
    """Told once for each kind of reason; the process lives on, and says that it refuses."""
    signing = Signing()
    damaged = StreamCorruptError(Path("7.seg"), 64, "a frame does not match its CRC")
    reasons: list[Exception] = [AuditLogError("5 are left"), AuditLogError("6 are left"), damaged]
    stood: list[str] = []

    async def look() -> str:
        stood.append(signing.refused)
        if reasons:
            raise reasons.pop(0)
        return "the log"

    with capture_logs() as lines:
        assert await signing.once_it_fits(look) == "the log"
    assert stood == ["", "5 are left", "6 are left", str(damaged)]
    assert [line.get("reason") for line in lines] == ["5 are left", str(damaged), None]
    assert lines[-1]["event"] == "signing again"
    assert signing.refused == ""


async def test_a_full_disk_is_told_until_something_is_signed(autojump_clock: MockClock) -> None:
    """That the files could be opened again is no proof of room: it would be told each second."""
    signing = Signing()

    async def look() -> str:
        return "the log"

    with capture_logs() as lines:
        for _ in range(3):
            await signing.refuse(OSError(errno.ENOSPC, "No space left on device"))
            await signing.once_it_fits(look)
        assert signing.refused
        signing.signed()
    assert signing.refused == ""
    assert [line["event"] for line in lines] == ["nothing is signed", "signing again"]


async def test_what_is_no_matter_of_the_log_ends_the_process() -> None:
    """A disk that cannot be written to is not waited for here."""
    signing = Signing()

    async def look() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        await signing.once_it_fits(look)
