"""`turnout webhooks` against a real ledger: what operators see and do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.ids import public_id
from tests.support.ledger import open_ledger
from tests.support.operator import Operator
from tests.support.postgres import LedgerDSN
from tests.support.webhooks import Told, telling

NOBODY = "we_0000000000000000000001"
EVER = ("--from", "2020-01-01T00:00:00Z", "--until", "2100-01-01T00:00:00Z")


@pytest.fixture
async def found(
    fresh_ledger_dsn: LedgerDSN, tmp_path: Path
) -> AsyncIterator[tuple[Operator, Told, str]]:
    """An operator, and an endpoint that was told of a charge."""
    async with open_ledger(fresh_ledger_dsn) as ledger, telling(ledger, tmp_path) as told:
        id_, _ = await told.endpoint("http://127.0.0.1:9/hooks")
        await ledger.charged(1)
        await told.tell()
        folder = tmp_path / "operator"
        folder.mkdir()
        yield Operator(ledger, folder, "webhooks"), told, public_id("we", id_)


async def test_endpoints_and_deliveries_are_listed(found: tuple[Operator, Told, str]) -> None:
    """Of everybody or of one; as tables for people too."""
    operator, told, endpoint = found
    merchant = public_id("mer", told.ledger.merchant_id)
    [one] = (await operator.json("list", "--merchant", merchant))["endpoints"]
    assert (one["endpoint"], one["status"], one["mode"]) == (endpoint, "enabled", "test")
    assert (await operator.json("list", "--merchant", public_id("mer", bytes(16))))[
        "endpoints"
    ] == []
    document = await operator.json("deliveries", endpoint, "--status", "pending")
    assert [one["event_type"].rpartition(".")[2] for one in document["deliveries"]] == [
        "succeeded",
        "processing",
        "created",
    ]
    assert (await operator.json("deliveries", NOBODY))["deliveries"] == []
    page = await operator.json("deliveries", "--limit", "1")
    assert (len(page["deliveries"]), page["more"]) == (1, True)
    assert endpoint in (await operator.run("list")).stdout
    assert "payment_intent.created" in (await operator.run("deliveries")).stdout


async def test_what_is_over_is_replayed(found: tuple[Operator, Told, str]) -> None:
    """In a time, all or what failed; who did it is kept."""
    operator, told, endpoint = found
    await told.ledger.rows("DELETE FROM webhook_queue RETURNING delivery_id")
    await told.ledger.rows(
        "UPDATE webhook_deliveries SET status = CASE event_type"
        " WHEN 'payment_intent.created' THEN 'failed' ELSE 'delivered' END RETURNING id"
    )
    past = ("--from", "2020-01-01T00:00:00Z", "--until", "2021-01-01T00:00:00Z")
    assert (await operator.json("replay", endpoint, *past))["deliveries"] == 0
    failed = await operator.json("replay", endpoint, *EVER, "--failed", "--operator", "ann")
    assert (failed["deliveries"], failed["operator"]) == (1, "ann")
    assert (await operator.json("replay", endpoint, *EVER))["deliveries"] == 2
    assert (await operator.json("replay", endpoint, *EVER))["deliveries"] == 0
    assert await told.ledger.rows("SELECT count(*) FROM webhook_queue") == [(3,)]
    deeds = await told.ledger.rows(
        "SELECT operator FROM operator_actions WHERE action = 'webhook_replay' ORDER BY id LIMIT 2"
    )
    assert [name for (name,) in deeds][1] == "ann"


async def test_an_endpoint_is_disabled_and_enabled(found: tuple[Operator, Told, str]) -> None:
    """By an operator, which its merchant sees; one that is not there is a fault."""
    operator, told, endpoint = found
    assert (await operator.json("disable", endpoint))["action"] == "disable"
    reasons = await told.ledger.rows("SELECT status, disabled_reason FROM webhook_endpoints")
    assert reasons == [("disabled", "operator")]
    assert (await operator.run("enable", endpoint)).stdout == f"{endpoint} is enabled\n"
    missing = await operator.run("disable", NOBODY)
    assert missing.exit_code == 1
    assert "no such endpoint" in missing.stderr
    wrong = await operator.run("replay", endpoint, "--from", "today", "--until", "now")
    assert wrong.exit_code == 2
