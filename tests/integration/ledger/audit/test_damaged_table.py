"""A file of the database changed by hand: named as far as Postgres tells, beside what is well."""

from __future__ import annotations

import secrets
from pathlib import Path

import msgspec
import trio

from ledger.audit.comparison import Compared
from ledger.audit.findings import Findings
from ledger.audit.verify_rows import RowsPlace, verify_rows
from ledger.audit.whole_stream import WholeStream
from ledger.connection import Connection
from ledger.embedded import EmbeddedPostgres
from ledger.roles import READER
from ledger.stream.segments.files import shard_folder
from tests.support.postgres import SESSION_SETTINGS, LedgerDSN, PostgresServer, server_uid
from tests.support.relay import ATTEMPTS_SQL, INTENTS_SQL, LIMITS, OUTCOMES_SQL, RelayHarness

INTENTS = 20
PAGE_BYTES = 8_192
FILE_SQL = """
SELECT pg_relation_filepath(tableoid::regclass) FROM attempts LIMIT 1
"""


async def _verified(harness: RelayHarness) -> tuple[Compared, Findings]:
    findings = Findings()
    session = await Connection.open(harness.dsn(READER), connect_timeout_s=10)
    place = RowsPlace(
        session, WholeStream(shard_folder(harness.folder, 0)), harness.slot, 1_000, 10.0
    )
    try:
        return await verify_rows(place, findings, lambda _done, _total: None), findings
    finally:
        await session.aclose()


async def _harness(dsn: LedgerDSN, folder: Path, slot: str) -> RelayHarness:
    superuser = await Connection.open(dsn.superuser, connect_timeout_s=10)
    limits = msgspec.structs.replace(LIMITS, slot=slot)
    return RelayHarness(dsn, folder, slot, limits, superuser)


async def test_a_table_s_file_that_was_changed_is_named(
    open_tmp_path: Path, tmp_path: Path
) -> None:
    """With the file and the page; the rows of the other tables are compared all the same."""
    postgres = EmbeddedPostgres(
        data_dir=open_tmp_path / "data",
        socket_dir=open_tmp_path / "run",
        settings=SESSION_SETTINGS,
        uid=server_uid(),
    )
    await postgres.start()
    try:
        dsn = await trio.to_thread.run_sync(PostgresServer(postgres).create_database)
        slot = f"turnout_relay_{secrets.token_hex(4)}"
        harness = await _harness(dsn, tmp_path, slot)
        for sql in (INTENTS_SQL.format(count=INTENTS), ATTEMPTS_SQL, OUTCOMES_SQL):
            await harness.sql(sql)
        async with harness.running() as relay:
            await harness.caught_up(relay)
            compared, findings = await _verified(harness)
        assert (compared.rows, findings.found) == (INTENTS * 3, [])
        await harness.sql("CHECKPOINT")
        name = await harness.value(FILE_SQL)
        await harness.superuser.aclose()
        await postgres.stop()
        (path,) = (open_tmp_path / "data").rglob(name)
        data = bytearray(path.read_bytes())
        data[PAGE_BYTES - 20] ^= 1  # rows fill a page from its end
        path.write_bytes(data)
        await postgres.start()
        harness = await _harness(dsn, tmp_path, slot)
        async with harness.running():
            compared, findings = await _verified(harness)
        await harness.superuser.aclose()
    finally:
        await postgres.stop()
    (finding,) = findings.found
    assert (finding.kind, finding.where) == ("row", "attempts")
    assert "DataCorrupted (XX001)" in finding.detail
    assert f'invalid page in block 0 of relation "{name}"' in finding.detail
    assert compared.rows == INTENTS * 2
