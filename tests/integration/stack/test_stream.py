"""What `turnout stream` asks the ledger: consumers' cursors, and parked events, by an operator."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import cast

import pytest
import trio

from ledger.connection import Connection
from ledger.ids import public_id
from ledger.operators import OperatorError
from ledger.queries import Query
from ledger.stream.cursors import reset_cursor
from ledger.stream.parking import park_step, parked_to_retry
from stack.running import RunningStack
from stack.stream import consumers, parked, retry
from tests.support.postgres import LedgerDSN
from tests.support.stream import SegmentsBackend, batch, record

NO_STACK = cast("RunningStack", Path("/nowhere"))  # what the stack is makes no difference here
GROUP = "postings"
AUDITED = Query("audited", "SELECT operator, action, resolution, note FROM operator_actions")


@pytest.fixture
async def admin(ledger_dsn: LedgerDSN) -> AsyncIterator[Connection]:
    """A session as the command has it; two events are parked."""
    owner = await Connection.open(ledger_dsn.superuser, connect_timeout_s=10)
    await owner.script("DELETE FROM stream_parked; DELETE FROM stream_cursors")
    await reset_cursor(owner, GROUP, 0, {0: 12})
    for offset in (3, 7):
        await owner.pipeline([park_step(GROUP, 0, 0, offset, record(offset), "it is odd")])
    await owner.aclose()
    session = await Connection.open(ledger_dsn("turnout_admin"), connect_timeout_s=10)
    yield session
    await session.aclose()


async def test_consumers_are_listed_with_their_cursors(admin: Connection) -> None:
    """Group, place and when it last moved."""
    [one] = await consumers(NO_STACK, admin)
    assert (one["group"], one["shard"], one["partition"], one["next_offset"]) == (GROUP, 0, 0, 12)


async def test_parked_events_are_listed_with_their_reason(admin: Connection) -> None:
    """By place, with the payment; a list that is cut says so."""
    document = await parked(NO_STACK, admin, group="", limit=10)
    assert [(one["offset"], one["tries"], one["retry_at"]) for one in document["parked"]] == [
        *((3, 1, None), (7, 1, None))
    ]
    assert document["parked"][0]["payment_intent"] == public_id("pi", (3).to_bytes(16))
    assert document["parked"][0]["reason"] == "it is odd"
    cut = await parked(NO_STACK, admin, group=GROUP, limit=1)
    assert (len(cut["parked"]), cut["more"]) == (1, True)
    assert await parked(NO_STACK, admin, group="another", limit=1) == {"parked": [], "more": False}


async def test_a_retry_is_asked_for_and_audited(admin: Connection) -> None:
    """The operator's role may do just this; name and note are kept."""
    await retry(NO_STACK, admin, group=GROUP, offset=7, operator="anna", note="mended")
    assert await parked_to_retry(admin, GROUP, 0) == [(0, 7)]
    assert (await admin.run(AUDITED)).rows() == [("anna", "stream_retry", "postings 7", "mended")]
    with pytest.raises(OperatorError, match="no such event is parked"):
        await retry(NO_STACK, admin, group=GROUP, offset=8, operator="anna", note="")


async def test_following_shows_events_as_they_come(tmp_path: Path) -> None:
    """One line each, at once, until Ctrl-C, which is no fault."""
    writer = SegmentsBackend(tmp_path).writer()
    await writer.open()
    await writer.append(batch(0, 2, known=False))
    command = [sys.executable, "-m", "turnout", "stream", "tail", "--follow", "--json"]
    with trio.fail_after(20):
        process = await trio.lowlevel.open_process(
            [*command, "--data-dir", str(tmp_path)], stdout=subprocess.PIPE
        )
        try:
            assert process.stdout is not None
            seen = await _lines(process.stdout, 2)
            await writer.append(batch(2, 3))
            seen += await _lines(process.stdout, 3)
            process.send_signal(signal.SIGINT)
            assert await process.wait() == 0
        finally:
            process.kill()
    assert [json.loads(line)["position"]["offset"] for line in seen] == list(range(5))
    await writer.aclose()


async def _lines(stream: trio.abc.ReceiveStream, count: int) -> list[bytes]:
    data = b""
    while data.count(b"\n") < count:
        data += await stream.receive_some()
    return data.splitlines()
