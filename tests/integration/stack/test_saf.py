"""`turnout saf` against a real ledger: what operators see, do, and cannot do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from ledger.deciding.records import NewException, Plan
from ledger.exceptions import open_exceptions
from ledger.ids import public_id
from tests.support.deciding import Decide, reverse, saf_row
from tests.support.ledger import open_ledger
from tests.support.operator import Operator
from tests.support.postgres import LedgerDSN

NOBODY: Final = "att_0000000000000000000001"


@pytest.fixture
async def operator(fresh_ledger_dsn: LedgerDSN, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator of a ledger of this test's own."""
    async with open_ledger(fresh_ledger_dsn) as ledger:
        yield Operator(ledger, tmp_path, "saf")


async def test_the_queue_is_listed(operator: Operator) -> None:
    """Depths by network and kind, advices oldest first, as many as asked for."""
    assert await operator.json("list") == {"counts": [], "advices": [], "more": False}
    rows = await operator.ledger.charged(3)
    names = [(await operator.queued(row, manual=n == 1))[0] for n, row in enumerate(rows)]
    document = await operator.json("list")
    assert [each["advice"] for each in document["advices"]] == names
    assert [each["state"] for each in document["advices"]] == ["waiting", "manual", "waiting"]
    [count] = document["counts"]
    assert (count["waiting"], count["manual"], document["more"]) == (2, 1, False)
    page = await operator.json("list", "--limit", "2")
    assert ([each["advice"] for each in page["advices"]], page["more"]) == (names[:2], True)
    mine = await operator.json("list", "--manual")
    assert [each["advice"] for each in mine["advices"]] == [names[1]]
    table = await operator.run("list")
    assert table.exit_code == 0
    assert all(name in table.stdout for name in names)


async def test_an_advice_is_shown_with_its_message(operator: Operator) -> None:
    """Its numbers to ask the network by, why it was rejected, and the words that it takes."""
    [row] = await operator.ledger.charged()
    name, message = await operator.queued(row, "completion", manual=True)
    rejected = NewException(
        "advice_rejected",
        "vsim",
        attempt_id=message.attempt_id,
        detail={"response_code": "30"},
    )
    await open_exceptions(await operator.ledger.connect(), [rejected])
    document = await operator.json("show", name)
    assert (document["rrn"], document["stan"]) == (message.rrn, message.stan)
    assert document["purpose"] == "completion"
    assert document["resolutions"] == ["approved", "declined"]
    assert [each["kind"] for each in document["exceptions"]] == ["advice_rejected"]
    said = await operator.run("show", name)
    assert "DE 39 = 30" in said.stdout


async def test_a_retry_is_due_at_once_and_on_record(operator: Operator) -> None:
    """Under the name that was given; from the manual queue too."""
    [row] = await operator.ledger.charged()
    name, _ = await operator.queued(row, manual=True)
    words = ("retry", name, "--operator", "ada", "--note", "they are up again")
    assert await operator.json(*words) == {"advice": name, "action": "retry", "operator": "ada"}
    assert not (await operator.row(row)).manual
    [action] = (await operator.json("show", name))["actions"]
    assert (action["operator"], action["action"], action["note"]) == (
        "ada",
        "saf_retry",
        "they are up again",
    )


async def test_a_resolution_is_told_to_the_switch(operator: Operator) -> None:
    """A charge in doubt whose reversal nobody acknowledges: what the network said by telephone."""
    [row] = await operator.ledger.charged(1, result="unknown")
    message, reverses = reverse(row)
    await operator.ledger.decisions.run([Decide(row.intent_id, reverses)])
    name = public_id("att", message.attempt_id)
    words = ("resolve", name, "reversed", "--operator", "ada", "--note", "J. says it is gone")
    assert "still being repeated" in await operator.refused(*words)
    poisoned = Plan(saf_update=[saf_row(message, manual=True)])
    await operator.ledger.decisions.run([Decide(row.intent_id, lambda _: poisoned)])

    done = await operator.run(*words)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"{name} counts as reversed; effect on the payment: a charge")
    told = await operator.row(row)
    assert (told.resolution, told.resolved_by, told.manual) == ("acknowledged", "ada", False)
    assert (await operator.json("show", name))["state"] == "resolved"
    assert "no such advice is waiting" in await operator.refused(*words)
    assert "no such advice is waiting" in await operator.refused("retry", name)
    assert await operator.ledger.status(row) == "pending_verification"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("show", NOBODY), "no such advice is waiting"),
        (("retry", NOBODY), "no such advice is waiting"),
        (("resolve", NOBODY, "reversed", "--note", "x"), "no such advice is waiting"),
        (("retry", NOBODY, "--note", "card 4242 4242 4242 4242"), "may be a card number"),
    ],
)
async def test_what_cannot_be_done_says_why(
    operator: Operator, words: tuple[str, ...], reason: str
) -> None:
    """Exit status 1, one line, nothing on record."""
    assert reason in await operator.refused(*words)
    assert await operator.ledger.rows("SELECT * FROM operator_actions") == []


async def test_a_word_that_does_not_fit_changes_nothing(operator: Operator) -> None:
    """A reversal is never given up, and a release is not approved."""
    charged, doubted = [
        (await operator.ledger.charged(1, result=result))[0] for result in ("approved", "unknown")
    ]
    release, _ = await operator.queued(charged, manual=True)
    message, reverses = reverse(doubted)
    await operator.ledger.decisions.run([Decide(doubted.intent_id, reverses)])
    reversal = public_id("att", message.attempt_id)
    said = await operator.refused("resolve", reversal, "declined", "--note", "x")
    assert "a reversal is resolved as reversed, not declined" in said
    said = await operator.refused("resolve", release, "approved", "--note", "x")
    assert "a release is resolved as reversed or declined, not approved" in said
    assert (await operator.row(charged)).manual
    assert await operator.ledger.rows("SELECT * FROM operator_actions") == []
