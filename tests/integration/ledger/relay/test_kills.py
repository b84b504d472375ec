"""The relay and its database die at the steps that matter; nothing is lost, nothing comes twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
import trio

from chassis.crash_points import (
    AFTER_APPEND,
    AFTER_FEEDBACK,
    BEFORE_APPEND,
    DURING_REPAIR,
    RELAY_POINTS,
    arm,
    disarm,
    is_armed,
)
from chassis.log import get_logger
from ledger.connection import Connection
from ledger.embedded import EmbeddedPostgres
from ledger.migrate import migrate
from ledger.roles import OWNER, ROLES, ensure_roles
from tests.support.postgres import (
    TEST_SETTINGS,
    LedgerDSN,
    open_folder,
    password_of,
    server_uid,
)
from tests.support.relay import (
    ATTEMPTS_SQL,
    BUMP_SQL,
    INTENTS_SQL,
    LIMITS,
    OUTCOMES_SQL,
    WITHIN_S,
    RelayHarness,
)

ROOT = Path(__file__).parents[4]


@asynccontextmanager
async def _process(
    relaying: RelayHarness, arming: Path, batch_records_max: int
) -> AsyncIterator[trio.Process]:
    """Run a relay in a process of its own; it is killed at the end if it still runs."""
    command = [
        *(sys.executable, "-m", "tests.support.relay_process"),
        *(relaying.dsn("turnout_relay"), str(relaying.folder), relaying.slot),
        *(str(arming), str(batch_records_max)),
    ]
    process = await trio.lowlevel.open_process(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        with trio.CancelScope(shield=True):
            await process.wait()


def test_every_point_is_tried() -> None:
    """A crash point that is added to the relay is added to the tests below."""
    assert set(RELAY_POINTS) == {BEFORE_APPEND, AFTER_APPEND, AFTER_FEEDBACK, DURING_REPAIR}


@pytest.mark.parametrize("point", [BEFORE_APPEND, AFTER_APPEND, AFTER_FEEDBACK])
async def test_a_relay_killed_at_a_step_goes_on_where_the_stream_ends(
    relaying: RelayHarness, point: str, tmp_path: Path
) -> None:
    """Also in the middle of a transaction that takes several batches."""
    arming = tmp_path / "arming"
    disarm(arming)
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
    await relaying.sql(INTENTS_SQL.format(count=25))
    await relaying.sql(ATTEMPTS_SQL)
    arm(arming, point)
    async with _process(relaying, arming, 10) as process:
        with trio.fail_after(WITHIN_S):
            await process.wait()
        assert process.returncode == -signal.SIGKILL
        assert not is_armed(arming)
    await relaying.sql(OUTCOMES_SQL)
    async with relaying.running(batch_records_max=10) as relay:
        await relaying.sql(BUMP_SQL)
        await relaying.caught_up(relay)
        assert relay.health.repairs_total == 0
    assert not any(record.is_repair for _, record in await relaying.stream())
    await relaying.prove()


async def test_a_repair_killed_half_way_is_made_again_and_adds_nothing_twice(
    relaying: RelayHarness, tmp_path: Path
) -> None:
    """What it had appended is found in the stream."""
    arming = tmp_path / "arming"
    disarm(arming)
    await relaying.sql(INTENTS_SQL.format(count=25))
    await relaying.sql(ATTEMPTS_SQL)
    arm(arming, DURING_REPAIR)
    async with _process(relaying, arming, 10) as process:
        with trio.fail_after(WITHIN_S):
            await process.wait()
        assert process.returncode == -signal.SIGKILL
    await relaying.sql(OUTCOMES_SQL)
    async with relaying.running() as relay:
        await relaying.until(relay, "streaming")
        await relaying.caught_up(relay)
    found = await relaying.stream()
    assert len(found) == 75
    assert all(record.is_repair for _, record in found)
    await relaying.prove()


@pytest.fixture(scope="module")
def own_server() -> Iterator[LedgerDSN]:
    """A server that may be killed, and gives slots up that hold two segments of WAL."""
    with open_folder() as folder:
        server = EmbeddedPostgres(
            data_dir=folder / "data",
            socket_dir=folder / "run",
            settings=msgspec.structs.replace(
                TEST_SETTINGS, max_slot_wal_keep_size="24MB", stop_timeout_s=0.1
            ),
            uid=server_uid(),
        )
        trio.run(_prepare, server)
        try:
            yield LedgerDSN(server, "turnout")
        finally:
            trio.run(server.stop)


async def _prepare(server: EmbeddedPostgres) -> None:
    await server.start()
    await ensure_roles(server.superuser_dsn(), {role: password_of(role) for role in ROLES})
    await migrate(server.dsn(OWNER, password_of(OWNER)), log=get_logger("tests"))


@asynccontextmanager
async def _relaying(dsn: LedgerDSN, folder: Path, slot: str) -> AsyncIterator[RelayHarness]:
    limits = msgspec.structs.replace(LIMITS, slot=slot)
    superuser = await Connection.open(dsn.superuser, connect_timeout_s=10)
    relaying = RelayHarness(dsn, folder, slot, limits, superuser)
    try:
        yield relaying
    finally:
        with trio.CancelScope(shield=True):
            await relaying.drop_slot()
            await relaying.superuser.aclose()


@pytest.mark.slow
async def test_a_killed_postgres_is_followed_when_it_is_back(
    own_server: LedgerDSN, tmp_path: Path
) -> None:
    """Crash recovery brings back what was committed, and the slot with it."""
    server = own_server._server
    async with _relaying(own_server, tmp_path, "turnout_relay_killed") as relaying:
        async with relaying.running() as relay:
            await relaying.until(relay, "streaming")
            await relaying.sql(INTENTS_SQL.format(count=25))
            process_id = server.process_id
            assert process_id is not None
            os.kill(process_id, signal.SIGKILL)
            await server.died()
            await server.stop()
            await server.start()
            await relaying.superuser.aclose()
            relaying.superuser = await Connection.open(own_server.superuser, connect_timeout_s=10)
            await relaying.sql(ATTEMPTS_SQL)
            await relaying.sql(BUMP_SQL)
            await relaying.caught_up(relay)
            assert relay.health.repairs_total == 1  # the first start
        await relaying.prove()
        await relaying.sql("TRUNCATE payment_intents, attempts")


@pytest.mark.slow
async def test_a_slot_that_the_server_gave_up_is_made_up_for(
    own_server: LedgerDSN, tmp_path: Path
) -> None:
    """Past `max_slot_wal_keep_size` the WAL is gone; the tables are not."""
    async with _relaying(own_server, tmp_path, "turnout_relay_lost") as relaying:
        async with relaying.running() as relay:
            await relaying.until(relay, "streaming")
            await relaying.sql(INTENTS_SQL.format(count=25))
            await relaying.caught_up(relay)
        await relaying.sql(ATTEMPTS_SQL)
        await relaying.sql("CREATE TABLE scratch (a integer)")
        for _ in range(4):
            await relaying.rows("SELECT pg_switch_wal()")
            await relaying.sql("INSERT INTO scratch VALUES (1)")
        await relaying.sql("CHECKPOINT")
        assert await relaying.value("SELECT wal_status FROM pg_replication_slots") == "lost"
        async with relaying.running() as relay:
            await relaying.until(relay, "streaming")
            await relaying.sql(OUTCOMES_SQL)
            await relaying.caught_up(relay)
        await relaying.prove()
        finding = "SELECT detail ->> 'finding' FROM exceptions WHERE kind = 'relay_repaired'"
        assert await relaying.value(finding) == "slot_lost"
