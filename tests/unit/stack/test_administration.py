"""Merchants and keys as `turnout merchants` shows them."""

from __future__ import annotations

import json

import attrs
import pytest

from ledger.merchants import APIKey
from ledger.rows import Merchant
from stack.administration import key_document, merchant_document

ID = bytes(range(16))
MERCHANT = Merchant(
    merchant_id=ID,
    created_at_us=1_767_323_045_123_456,
    name="Zoë's",
    status="active",
    country="840",
    settlement_currency="usd",
    mcc="5999",
    terminal_id="00000001",
    card_acceptor_id="SHOP",
    name_location="ZOES",
    browser_origins=("https://shop.example",),
)


def test_documents_are_json_with_every_member() -> None:
    """Snake case, public ids, instants in RFC 3339; no member is left out."""
    document = merchant_document(MERCHANT)
    assert document["merchant"].startswith("mer_")
    assert document["created_at"] == "2026-01-02T03:04:05.123456+00:00"
    assert json.loads(json.dumps(document)) == document
    members = {field.name for field in attrs.fields(Merchant)}
    renamed = members - {"merchant_id", "created_at_us"} | {"merchant", "created_at"}
    assert set(document) == renamed


@pytest.mark.parametrize("revoked_at_us", [None, 1_767_323_046_000_000])
def test_a_key_shows_when_it_was_revoked(revoked_at_us: int | None) -> None:
    """An active key has no end."""
    key = APIKey("pk_test_docs", False, "active", 1_767_323_045_000_000, revoked_at_us)
    revoked_at = key_document(key)["revoked_at"]
    assert revoked_at == (None if revoked_at_us is None else "2026-01-02T03:04:06+00:00")
