"""From a committed charge to a signed request, with a real ledger and a real receiver."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.ledger import LedgerHarness, open_ledger
from tests.support.postgres import LedgerDSN
from tests.support.webhooks import Told, receiving, telling


@pytest.fixture
async def told(ledger_dsn: LedgerDSN, tmp_path: Path) -> AsyncIterator[Told]:
    """Nothing told yet."""
    async with open_ledger(ledger_dsn) as ledger, telling(ledger, tmp_path) as found:
        yield found


def harness(told: Told) -> LedgerHarness:
    """The ledger."""
    return told.ledger


async def test_a_charge_is_heard_of_signed(told: Told) -> None:
    """Created, processing, succeeded: each once, with the body of the contract."""
    async with receiving() as receiver:
        _, key = await told.endpoint(receiver.url)
        await told.ledger.charged(1)
        assert await told.tell() == 0
        async with told.sending():
            await receiver.until(3)
            await told.until({"delivered"})
    bodies = {json.loads(heard.body)["type"]: json.loads(heard.body) for heard in receiver.heard}
    assert set(bodies) == {
        "payment_intent.created",
        "payment_intent.processing",
        "payment_intent.succeeded",
    }
    body = bodies["payment_intent.succeeded"]
    assert list(body) == ["id", "type", "timestamp", "sequence", "apiVersion", "data"]
    assert (body["sequence"], body["data"]["version"]) == (3, 3)
    assert body["data"]["status"] == "succeeded"
    assert body["data"]["latestTransaction"]["status"] == "succeeded"
    assert bodies["payment_intent.processing"]["data"]["latestTransaction"]["status"] == "pending"
    assert bodies["payment_intent.created"]["data"]["latestTransaction"] is None
    for heard in receiver.heard:
        signed = b"%b.%b." % (
            heard.headers["webhook-id"].encode(),
            heard.headers["webhook-timestamp"].encode(),
        )
        digest = hmac.digest(key, signed + heard.body, hashlib.sha256)
        assert heard.headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()
        assert heard.headers["webhook-id"] == json.loads(heard.body)["id"]
