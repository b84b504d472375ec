"""`turnout archive run` as it is typed, beside a ledger whose months are old enough."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trio

from ledger.audit.folders import log_folder, witness_folder
from ledger.audit.log import CHECKPOINT
from ledger.audit.witness import WITNESSED
from ledger.ids import public_id
from ledger.roles import OWNER, ROLES
from stack.database import keep_passwords
from stack.endpoints import APIEndpoint, Endpoints, write_endpoints
from tests.support.months import MONTH, PAYMENTS, ArchivedMonth, archived_month
from tests.support.postgres import LedgerDSN, password_of

ROOT = Path(__file__).parents[3]


@pytest.fixture
async def month(fresh_ledger_dsn: LedgerDSN, tmp_path: Path) -> AsyncIterator[ArchivedMonth]:
    """An archived month in the data directory of what looks like a running stack."""
    async with archived_month(fresh_ledger_dsn, tmp_path) as made:
        keep_passwords(tmp_path, {role: password_of(role) for role in ROLES})
        (tmp_path / "run").mkdir()
        endpoints = Endpoints(
            pid=os.getpid(),
            api=APIEndpoint(url="http://127.0.0.1:1"),
            metrics={},
            networks={},
            sockets={},
            processes={},
        )
        write_endpoints(tmp_path, endpoints)
        yield made


async def _run(month: ArchivedMonth, *words: str, status: int = 0) -> Any:
    """What a run prints, with settings of its own and no consumers but log and witness."""
    settings = (
        f"ledger.url={month.relaying.dsn(OWNER)}",
        "postings.enabled=false",
        *(word for word in words if "=" in word),
    )
    if "relay.enabled=true" not in words:
        settings += ("relay.enabled=false",)
    line = [sys.executable, "-m", "turnout", "archive", "run", "--json"]
    line += [word for word in words if "=" not in word]
    line += ["--data-dir", str(month.data_dir)]
    line += [word for one in settings for word in ("--set", one)]
    run = partial(
        subprocess.run, line, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    done = await trio.to_thread.run_sync(run)
    assert done.returncode == status, done.stderr
    return json.loads(done.stdout)


async def test_months_leave_the_tables_when_the_settings_say_so(month: ArchivedMonth) -> None:
    """Days since the last change, and days that the archive must have had them, both count."""
    for words, why in (
        (("archive.database_days=90", "archive.grace_days=30000"), "it is not in the archive"),
        (("archive.database_days=90", "hsm.card_key_decrypt_only_s=3e9"), "may still be refunded"),
    ):
        database = (await _run(month, *words))["database"]
        assert (database["dropped_months"], why in database["kept_months"][MONTH.label]) == (
            [],
            True,
        )
    lagging = (await _run(month, "archive.database_days=90", "relay.enabled=true"))["database"]
    why = f"attempt_monitor has taken in no more than the records before 0, of {month.end}"
    assert lagging["kept_months"] == {MONTH.label: why}
    assert (await _run(month, "archive.database_days=30000"))["database"]["kept_months"] == {}
    for dry in (("--dry-run",), ()):
        database = (await _run(month, *dry, "archive.database_days=90"))["database"]
        assert (database["dropped_months"], database["rows"]) == ([MONTH.label], 5 * PAYMENTS)


async def test_a_run_that_the_database_ends_tells_what_it_did(month: ArchivedMonth) -> None:
    """It ends with 1, and the month that was dropped before is in what it prints."""
    await month.relaying.sql("SELECT ensure_partitions('2024-01-01Z', 1)")
    await month.relaying.sql(f"ALTER TABLE postings_{MONTH.label} RENAME TO elsewhere")
    database = (await _run(month, "archive.database_days=90", status=1))["database"]
    assert database["dropped_months"] == ["2024_01"]
    assert database["broken_off"].startswith(f"{MONTH.label}: ")


async def test_a_month_left_detached_comes_back_without_the_setting(month: ArchivedMonth) -> None:
    """The default, by which nothing leaves the tables, is looked at where a month already has."""
    await month.dropper()._detach(MONTH)
    kept = (await _run(month))["database"]["kept_months"]
    assert kept == {MONTH.label: "archive.database_days is 0: months stay in the tables"}
    assert (await month.counts())["payment_intents"] == PAYMENTS
    assert (await _run(month))["database"]["kept"].startswith("archive.database_days is 0")


async def test_the_archive_forgets_what_stream_and_tables_have_forgotten(
    month: ArchivedMonth,
) -> None:
    """Each of the three settings counts: first the stream, then the tables, then the archive."""
    await month.add_today()
    log, witness = log_folder(month.data_dir), witness_folder(month.data_dir, "")
    witness.mkdir(parents=True, exist_ok=True)
    (witness / WITNESSED).write_bytes((log / CHECKPOINT).read_bytes())
    short = ("archive.stream_days=1e-9", "archive.retention_days=1e-6")
    done = await _run(month, *short)
    assert done["stream"]["removed_segments"] == [0]
    first = public_id("pi", min(month.ids))
    assert done["archive_retention"]["kept"] == (
        f"segment 0 tells of {first}, which the tables still have"
    )
    done = await _run(month, *short, "archive.database_days=90")
    assert done["archive_retention"]["removed_segments"] == []
    assert "must be above" in done["archive_retention"]["kept"]
    assert done["database"]["dropped_months"] == [MONTH.label]
    done = await _run(month, *short)
    assert done["archive_retention"]["removed_segments"] == [0]
    assert month.records.begins_at() == done["archive_retention"]["end_offset"] > 0
