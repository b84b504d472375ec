"""`turnout ledger` against a real ledger: balances, and books that do not balance."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.ids import public_id
from tests.support.ledger import open_ledger
from tests.support.operator import Operator
from tests.support.postgres import LedgerDSN
from tests.support.posting import Booked, booking


@pytest.fixture
async def books(
    fresh_ledger_dsn: LedgerDSN, tmp_path: Path
) -> AsyncIterator[tuple[Operator, Booked]]:
    """An operator of a ledger whose two charges are booked."""
    async with open_ledger(fresh_ledger_dsn) as ledger, booking(ledger, tmp_path) as booked:
        await ledger.charged(2)
        await booked.book()
        yield Operator(ledger, tmp_path, "ledger"), booked


async def test_balances_are_shown_of_one_merchant_or_of_all(books: tuple[Operator, Booked]) -> None:
    """By mode and currency; of a merchant that has none, none."""
    operator, booked = books
    merchant = public_id("mer", booked.ledger.merchant_id)
    expected = {
        "merchant": merchant,
        "mode": "test",
        "currency": "usd",
        "amounts": {"merchant_pending": 4998},
    }
    together = {"balances": [expected], "shards": [{"shard": 0, "balances": [expected]}]}
    assert await operator.json("balance") == together
    assert await operator.json("balance", merchant) == together
    assert (await operator.json("balance", public_id("mer", bytes(16))))["balances"] == []
    shown = await operator.run("balance")
    assert "49.98" in shown.stdout
    assert "merchant_pending" in shown.stdout


async def test_books_that_do_not_balance_are_status_1(books: tuple[Operator, Booked]) -> None:
    """A changed sum shows at once; a changed posting where postings are read."""
    operator, booked = books
    document = await operator.json("trial-balance", "--full")
    assert (document["balanced"], document["differences"]) == (True, [])
    assert [one["balanced"] for one in document["totals"]] == [True]
    await booked.ledger.rows("UPDATE postings SET amount_minor = 1 RETURNING leg")
    assert (await operator.run("trial-balance")).exit_code == 0
    found = await operator.run("trial-balance", "--full")
    assert found.exit_code == 1
    assert "its sums are" in found.stdout
    await booked.ledger.rows("UPDATE accounts SET debits_minor = debits_minor + 1 RETURNING id")
    found = await operator.run("trial-balance")
    assert found.exit_code == 1
    assert "differ by" in found.stdout
