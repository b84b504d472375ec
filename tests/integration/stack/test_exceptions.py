"""`turnout exceptions` against a real ledger: what operators see, do, and cannot do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ledger.deciding.records import NewException
from ledger.exceptions import open_exceptions
from ledger.ids import public_id
from tests.support.ledger import open_ledger
from tests.support.operator import Operator
from tests.support.postgres import LedgerDSN

STRAY = NewException(
    "approval_without_attempt", "msim", detail={"rrn": "0ZZZZZZZZZZZ", "stan": "000009"}
)
ODD = NewException("late_approval", "vsim")


@pytest.fixture
async def operator(fresh_ledger_dsn: LedgerDSN, tmp_path: Path) -> AsyncIterator[Operator]:
    """An operator of a ledger of this test's own."""
    async with open_ledger(fresh_ledger_dsn) as ledger:
        yield Operator(ledger, tmp_path, "exceptions")


async def _open(operator: Operator, *new: NewException) -> list[int]:
    await open_exceptions(await operator.ledger.connect(), new)
    rows = await operator.ledger.rows("SELECT id FROM exceptions ORDER BY id")
    return [number for (number,) in rows][-len(new) :]


async def test_what_is_open_is_listed_page_by_page(operator: Operator) -> None:
    """Oldest first, as many as asked for, of one kind or of all."""
    assert await operator.json("list") == {"counts": [], "exceptions": [], "more": False}
    numbers = await _open(operator, STRAY, ODD, ODD)
    document = await operator.json("list")
    assert [each["exception"] for each in document["exceptions"]] == numbers
    assert document["counts"] == [
        {"kind": "approval_without_attempt", "open": 1},
        {"kind": "late_approval", "open": 2},
    ]
    page = await operator.json("list", "--limit", "2")
    assert ([each["exception"] for each in page["exceptions"]], page["more"]) == (numbers[:2], True)
    rest = await operator.json("list", "--limit", "2", "--above", str(numbers[1]))
    assert ([each["exception"] for each in rest["exceptions"]], rest["more"]) == (
        numbers[2:],
        False,
    )
    late = await operator.json("list", "--kind", "late_approval")
    assert [each["exception"] for each in late["exceptions"]] == numbers[1:]
    misspelled = await operator.run("list", "--kind", "late_aproval")
    assert misspelled.exit_code == 2
    assert "known are approval_without_attempt, " in misspelled.stderr
    table = await operator.run("list", "--kind", "late_approval", "--limit", "1")
    assert f"turnout exceptions list --kind late_approval --above {numbers[1]}" in table.stdout


async def test_one_is_shown_with_the_message_and_what_is_owed(operator: Operator) -> None:
    """The numbers to ask the network by, and the advice of the same payment."""
    [row] = await operator.ledger.charged()
    advice, message = await operator.queued(row, "completion", manual=True)
    [number, stray] = await _open(
        operator,
        NewException(
            "advice_rejected",
            "vsim",
            row.intent_id,
            row.transaction_id,
            message.attempt_id,
            {"response_code": "30"},
        ),
        STRAY,
    )
    document = await operator.json("show", str(number))
    assert document["intent"] == public_id("pi", row.intent_id)
    assert (document["message"]["rrn"], document["message"]["kind"]) == (message.rrn, "completion")
    assert document["advices"] == [
        {"advice": advice, "kind": "completion", "state": "manual", "sends": 0}
    ]
    said = await operator.run("show", str(number))
    assert f"turnout saf show {advice}" in said.stdout
    document = await operator.json("show", str(stray))
    assert (document["message"], document["advices"]) == (None, [])
    assert document["detail"] == {"rrn": "0ZZZZZZZZZZZ", "stan": "000009"}


async def test_closing_is_on_record_once(operator: Operator) -> None:
    """With name and note; a second one is refused, and the list holds it only if asked to."""
    [number] = await _open(operator, ODD)
    words = ("close", str(number), "--operator", "ada", "--note", "reversal acknowledged")
    assert await operator.json(*words) == {
        "exception": number,
        "action": "close",
        "operator": "ada",
    }
    document = await operator.json("show", str(number))
    assert (document["closed_by"], document["note"]) == ("ada", "reversal acknowledged")
    [action] = document["actions"]
    assert (action["operator"], action["action"]) == ("ada", "exception_close")
    assert "no such exception is open" in await operator.refused(*words)
    assert (await operator.json("list"))["exceptions"] == []
    [closed] = (await operator.json("list", "--all"))["exceptions"]
    assert closed["exception"] == number
    assert len(await operator.ledger.rows("SELECT 1 FROM operator_actions")) == 1


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("show", "77"), "there is no exception 77"),
        (("close", "77", "--note", "x"), "no such exception is open"),
        (("close", "1", "--note", "card 4242 4242 4242 4242"), "may be a card number"),
    ],
)
async def test_what_cannot_be_done_says_why(
    operator: Operator, words: tuple[str, ...], reason: str
) -> None:
    """Exit status 1, one line, nothing on record."""
    await _open(operator, ODD)
    assert reason in await operator.refused(*words)
    assert await operator.ledger.rows("SELECT * FROM operator_actions") == []
    assert len((await operator.json("list"))["exceptions"]) == 1
