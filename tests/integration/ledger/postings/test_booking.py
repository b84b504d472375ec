"""Booking from a real database's changes: once each, whatever is read twice or in pieces."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest
import trio

from chaos.booked import read_booked
from ledger.pgtypes import int4_, text_
from ledger.postings.accounts import KINDS, PURPOSES
from ledger.postings.balances import folded_differently, merchant_balance, totals, trial_balance
from ledger.postings.booking import begin_again_where_replaced
from ledger.postings.rules import FeeSchedule
from ledger.stream.cursors import read_cursor, reset_cursor
from tests.support.deciding import Decide, refund, settle_refund
from tests.support.ledger import LedgerHarness, charge, outcome
from tests.support.posting import ROLE, SLOT, Booked, booking


@pytest.fixture
async def booked(ledger: LedgerHarness, tmp_path: Path) -> AsyncIterator[Booked]:
    """Nothing booked yet."""
    async with booking(ledger, tmp_path) as found:
        yield found


async def test_a_charge_is_one_posting_and_a_decline_none(booked: Booked) -> None:
    """What the network owes and what the merchant is owed, per currency and mode."""
    await booked.ledger.charged(2)
    await booked.ledger.charged(1, result="declined")
    await booked.ledger.charged(1, result="unknown")
    assert await booked.book() == 0
    assert await booked.postings() == [("capture", 2499)] * 2
    balance = await merchant_balance(booked.ledger.api, booked.ledger.merchant_id, live=False)
    assert balance == {"usd": {"merchant_pending": 4998}}
    assert await merchant_balance(booked.ledger.api, booked.ledger.merchant_id, live=True) == {}


async def test_a_refund_takes_back_what_is_pending(booked: Booked) -> None:
    """The merchant is owed less, and the network owes us less; the fee stays ours."""
    [row] = await booked.ledger.charged(1)
    new, decide = refund(2499)
    await booked.ledger.decisions.run([Decide(row.intent_id, decide)])
    await booked.ledger.decisions.run([Decide(row.intent_id, settle_refund(new, "approved"))])
    assert await booked.book(fees=FeeSchedule(290, 30)) == 0
    assert await booked.postings() == [
        ("capture", 2499),
        ("fee", 102),
        ("refund", 2397),
        ("refund_owed", 102),
    ]
    balance = await merchant_balance(booked.ledger.api, booked.ledger.merchant_id, live=False)
    assert balance == {"usd": {"merchant_pending": 0, "merchant_receivable": 102}}


async def test_a_resolved_doubt_books_what_was_approved(booked: Booked) -> None:
    """The unknown moves nothing; its resolution moves it all, at another time."""
    [row] = await booked.ledger.charged(1, result="unknown")
    await booked.book()
    assert await booked.postings() == []
    await booked.ledger.outcomes.settle([outcome(row, "approved", phase=2)])
    await booked.book()
    assert await booked.postings() == [("capture", 2499)]


async def test_a_stream_read_again_books_nothing_again(booked: Booked) -> None:
    """A cursor that is set back meets transactions that are booked."""
    await booked.ledger.charged(3)
    await booked.book()
    before = await booked.ledger.rows("SELECT id, debits_minor, credits_minor FROM accounts")
    await reset_cursor(booked.session, "postings", 0, {0: 0})
    assert await booked.book(page_max=3) == 0
    assert await booked.postings() == [("capture", 2499)] * 3
    assert (
        await booked.ledger.rows("SELECT id, debits_minor, credits_minor FROM accounts") == before
    )


async def test_a_stream_that_was_replaced_is_read_from_its_beginning(booked: Booked) -> None:
    """A cursor behind its end would wait for ever; one within it is left alone."""
    await booked.ledger.charged(2)
    await booked.stream()
    for wrong, expected in ((1_000_000, 0), (3, 3)):
        await reset_cursor(booked.session, "postings", 0, {0: wrong})
        async with booked.backend.reader() as reader:
            await begin_again_where_replaced(reader, booked.session, "postings")
        assert await read_cursor(booked.session, "postings", 0) == {0: expected}


async def test_pages_of_any_size_book_the_same(booked: Booked) -> None:
    """One record a page, or all in one."""
    await booked.ledger.charged(3)
    await booked.book(page_max=1)
    assert await booked.postings() == [("capture", 2499)] * 3
    assert await folded_differently(booked.ledger.superuser) == []


@pytest.mark.slow
async def test_kill_nine_books_each_payment_once(booked: Booked) -> None:
    """Killed again and again with pages in flight: no posting is lost or doubled, sums included."""
    rows = await booked.ledger.charged(150)
    for row in rows[:20]:
        new, decide = refund(700)
        await booked.ledger.decisions.run([Decide(row.intent_id, decide)])
        await booked.ledger.decisions.run([Decide(row.intent_id, settle_refund(new, "approved"))])
    await booked.stream()
    command = [sys.executable, "-m", "tests.support.posting"]
    command += [booked.ledger.dsn(ROLE), str(booked.backend.data_dir), "2"]
    killed_at: list[int] = []
    with trio.fail_after(60):
        while (taken := await _count(booked)) < 320:
            process = subprocess.Popen(command)  # noqa: ASYNC220  killed, not waited for
            try:
                while await _count(booked) < min(taken + 110, 320):
                    await trio.sleep(0.002)
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
            killed_at.append(await _count(booked))
    assert sum(count < 320 for count in killed_at) >= 2, killed_at
    found = Counter(await booked.postings())
    assert found == {("capture", 2499): 150, ("fee", 25): 150, ("refund", 700): 20}
    assert await folded_differently(booked.ledger.superuser) == []
    assert await booked.book() == 0
    assert await _count(booked) == 320


async def _count(booked: Booked) -> int:
    [(count,)] = await booked.ledger.rows("SELECT count(*) FROM postings")
    return int(count)


@pytest.mark.parametrize(
    ("state", "finding", "timeline"),
    [
        ("refused", "stream_ahead", 0),
        ("repairing", "stream_ahead", 1),
        ("repairing", "other_timeline", 1),
        ("streaming", "", 7),
    ],
    ids=["refused", "older, not noted yet", "left behind, not noted yet", "other timeline"],
)
async def test_nothing_is_booked_while_the_ledger_may_have_been_set_back(
    booked: Booked, state: str, finding: str, timeline: int
) -> None:
    """Also of a payment whose rows are there: its outcome may be lost. Then it is booked."""
    await booked.ledger.charged(1)
    await booked.ledger.rows(
        "INSERT INTO relays (slot, state, finding, case_id, system_identifier, timeline, mark_lsn,"
        " next_offset) VALUES ($1::text, $2::text, $4::text,"
        " CASE WHEN $2 = 'refused' THEN gen_random_uuid() END, '1', $3::integer, '0/1', 0)"
        " RETURNING slot",
        text_(SLOT),
        text_(state),
        int4_(timeline),
        text_(finding),
    )
    try:
        assert await booked.book() == 0
        assert await booked.postings() == []
        assert await read_cursor(booked.session, "postings", 0) == {0: 0}
    finally:
        await booked.ledger.rows("DELETE FROM relays RETURNING slot")
    assert await booked.book() == 0
    assert await booked.postings() == [("capture", 2499)]


@pytest.mark.parametrize("is_same", [True, False], ids=["this server", "another server"])
async def test_nothing_is_booked_of_a_commit_that_the_wal_has_not_reached(
    booked: Booked, *, is_same: bool
) -> None:
    """A server that starts on an older copy, before the relay has looked; not one of other WAL."""
    segment_bytes = 1 << 24
    [(system_identifier,)] = await booked.ledger.rows(
        "SELECT system_identifier FROM pg_control_system()"
    )
    booked.cluster = (system_identifier + (not is_same), 1)
    booked.ahead_bytes = segment_bytes
    await booked.ledger.charged(1)
    assert await booked.book() == 0
    assert await booked.postings() == ([] if is_same else [("capture", 2499)])
    for _ in range(2):
        await booked.ledger.rows("SELECT pg_switch_wal()")
        await booked.ledger.rows("SELECT pg_logical_emit_message(false, 'tests', '')")
    await booked.ledger.rows("SELECT pg_switch_wal()")
    assert await booked.book() == 0
    assert await booked.postings() == [("capture", 2499)]


async def test_what_no_rule_is_for_is_parked_and_the_rest_booked(booked: Booked) -> None:
    """A success of a transaction that the ledger has lost is put aside, visibly."""
    await booked.ledger.charged(1)
    [lost] = await booked.ledger.charged(1)
    await booked.ledger.rows(
        "DELETE FROM transactions WHERE intent_id = $1::uuid RETURNING id", lost.intent_id
    )
    await booked.ledger.charged(1)
    assert await booked.book() == 1
    assert await booked.postings() == [("capture", 2499)] * 2
    [(reason,)] = await booked.ledger.rows("SELECT reason FROM stream_parked")
    assert reason == "EventRefusedError: the ledger does not have its transaction"


async def test_a_partial_approval_books_what_was_approved(booked: Booked) -> None:
    """Not what was asked for."""
    [of] = await booked.ledger.created(1, allow_partial=True)
    row = charge(of)
    await booked.ledger.charges.record([row], lane="fast")
    await booked.ledger.outcomes.settle([outcome(row, "partial", approved_minor=1000)])
    await booked.book()
    assert await booked.postings() == [("capture", 1000)]


async def test_the_trial_balance_balances_and_finds_what_was_changed(booked: Booked) -> None:
    """Debits equal credits by mode, currency and memo; a changed sum or amount shows."""
    await booked.ledger.charged(2)
    await booked.book(fees=FeeSchedule(100, 0))
    lines = await trial_balance(booked.session)
    assert {line.purpose: line.balance_minor for line in lines} == {
        "scheme_receivable": 4998,
        "merchant_pending": 4948,
        "fees": 50,
    }
    assert [total.balanced for total in totals(lines)] == [True]
    assert await folded_differently(booked.ledger.superuser) == []
    await booked.ledger.rows(
        "UPDATE accounts SET credits_minor = credits_minor - 1 WHERE purpose = 'fees' RETURNING id"
    )
    assert [total.balanced for total in totals(await trial_balance(booked.session))] == [False]
    [found] = await folded_differently(booked.ledger.superuser)
    assert (found.credits_minor, found.posted_credits_minor) == (49, 50)


async def test_chaos_finds_what_is_booked_otherwise(booked: Booked) -> None:
    """What runs under faults are judged by: a posting changed, and one missing, are found."""

    async def read() -> tuple[int, int, int]:
        dsn = booked.ledger.dsn("turnout_reader")
        found = await trio.to_thread.run_sync(partial(read_booked, dsn, within_s=0.0))
        return found.postings, len(found.payments), len(found.accounts)

    await booked.ledger.rows("DELETE FROM payment_intents")  # of other tests, booked by nobody
    [first, second] = await booked.ledger.charged(2)
    assert await read() == (0, 2, 0)
    await booked.book()
    assert await read() == (2, 0, 0)
    await booked.ledger.rows(
        "UPDATE postings SET amount_minor = 1 WHERE intent_id = $1::uuid", first.intent_id
    )
    assert await read() == (2, 1, 2)
    await booked.ledger.rows("DELETE FROM postings WHERE intent_id = $1::uuid", second.intent_id)
    assert await read() == (1, 2, 2)


async def test_constraints_and_tables_name_the_same_words(ledger: LedgerHarness) -> None:
    """Whatever purpose or kind Python knows, Postgres allows, and nothing else."""
    for name, words in (("accounts_purpose", PURPOSES), ("postings_kind", KINDS)):
        [(text,)] = await ledger.rows(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE conname = $1::text AND coninhcount = 0",
            name.encode(),
        )
        assert set(re.findall(r"'([a-z_]+)'::text", text)) == set(words)
