"""What each event books, as a table, and what no history of events can break."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.postings import money_events as events
from ledger.postings.accounts import HOLDS, KINDS, PURPOSES, Parties, Transfer, balance
from ledger.postings.rules import Books, FeeSchedule, RuleError, book

FREE = FeeSchedule()
HELD = {"hold": 1000}
PART = {"hold": 1000, "hold_posted": 400, "capture": 400}
SOLD = {"capture": 1000}
WITH_FEE = {"capture": 1000, "fee": 59}
CHARGED_BACK = {"capture": 1000, "release": 1000, "dispute_owed": 1000, "chargeback": 1000}


@pytest.mark.parametrize(
    ("sums", "event", "expected"),
    [
        ({}, events.Sold(1000), {"capture": 1000}),
        ({}, events.Authorized(1000), {"hold": 1000}),
        (
            HELD,
            events.Captured(1000, final=True),
            {"hold_posted": 1000, "capture": 1000},
        ),
        (
            HELD,
            events.Captured(400, final=True),
            {"hold_posted": 400, "capture": 400, "hold_released": 600},
        ),
        (HELD, events.Captured(400, final=False), {"hold_posted": 400, "capture": 400}),
        (PART, events.Captured(600, final=False), {"hold_posted": 600, "capture": 600}),
        (HELD, events.Canceled(), {"hold_released": 1000}),
        (PART, events.Canceled(), {"hold_released": 600}),
        ({}, events.Canceled(), {}),
        (SOLD, events.Refunded(300), {"refund": 300}),
        (WITH_FEE, events.Refunded(1000), {"refund": 941, "refund_owed": 59}),
        (
            SOLD | {"release": 900},
            events.Refunded(500, available_minor=250),
            {"refund": 100, "refund_available": 250, "refund_owed": 150},
        ),
        (
            SOLD,
            events.Settled(1000, 985, interchange_minor=10, scheme_fee_minor=5),
            {"settlement": 985, "interchange": 10, "scheme_fee": 5},
        ),
        (SOLD, events.Settled(1000, 990), {"settlement": 990, "settlement_short": 10}),
        (SOLD, events.Settled(1000, 1007), {"settlement": 1000, "settlement_over": 7}),
        (SOLD, events.Released(1000, 100), {"release": 1000, "reserve": 100}),
        ({"reserve": 100}, events.ReserveReleased(100), {"reserve_released": 100}),
        (
            SOLD | {"release": 1000},
            events.Disputed(1000, available_minor=600),
            {"dispute_hold": 600, "dispute_owed": 400, "chargeback": 1000},
        ),
        (
            CHARGED_BACK,
            events.DisputeWon(1000),
            {"representment": 1000, "dispute_won": 1000},
        ),
        (
            CHARGED_BACK,
            events.DisputeLost(1500, borne_minor=1000),
            {"dispute_fee": 1500, "chargeback_loss": 1000},
        ),
        ({}, events.PaidOut(700), {"payout": 700}),
        ({"payout": 700}, events.PayoutConfirmed(700), {"payout_confirmed": 700}),
        ({"payout": 700}, events.PayoutReturned(700), {"payout_returned": 700}),
    ],
)
def test_an_event_books(
    sums: dict[str, int], event: events.Event, expected: dict[str, int]
) -> None:
    """Each event, before these books, is these transfers and no others."""
    found = book(Books(sums), event, FREE)
    assert {one.kind: one.amount_minor for one in found} == expected
    assert len(found) == len(expected)


@pytest.mark.parametrize(
    ("sums", "event"),
    [
        (HELD, events.Sold(1)),
        (SOLD, events.Authorized(1)),
        (HELD, events.Captured(1001, final=True)),
        (PART, events.Captured(601, final=False)),
        (HELD | {"hold_released": 1000}, events.Captured(1, final=True)),
        (SOLD, events.Refunded(1001)),
        (SOLD | {"refund": 600}, events.Refunded(401)),
        (SOLD | {"chargeback": 600}, events.Refunded(401)),
        (SOLD, events.Refunded(0)),
        (SOLD, events.Released(1001)),
        (SOLD, events.Released(100, 101)),
        ({"reserve": 100}, events.ReserveReleased(101)),
        (SOLD | {"refund": 1}, events.Disputed(1000)),
        (SOLD, events.DisputeWon(1)),
        (SOLD, events.DisputeLost(borne_minor=1)),
        ({"payout": 700}, events.PaidOut(1)),
        ({"payout": 700, "payout_returned": 700}, events.PayoutConfirmed(1)),
        ({"payout": 700, "payout_confirmed": 700}, events.PayoutReturned(1)),
        (SOLD, events.Settled(1000, -1)),
    ],
)
def test_an_event_that_the_books_do_not_admit_is_refused(
    sums: dict[str, int], event: events.Event
) -> None:
    """Nothing is booked twice, and nothing beyond what there is."""
    with pytest.raises(RuleError):
        book(Books(sums), event, FREE)


@pytest.mark.parametrize(
    ("basis_points", "fixed", "amount", "fee"),
    [(0, 0, 1000, 0), (290, 30, 1000, 59), (50, 0, 100, 1), (49, 0, 100, 0), (0, 30, 20, 20)],
)
def test_the_fee_is_rounded_half_up_and_never_exceeds_the_amount(
    basis_points: int, fixed: int, amount: int, fee: int
) -> None:
    """2.9 % and 30 cents of ten dollars are 59 cents."""
    assert FeeSchedule(basis_points, fixed).of(amount) == fee
    found = book(Books(), events.Sold(amount), FeeSchedule(basis_points, fixed))
    assert sum(one.amount_minor for one in found if one.kind == "fee") == fee


_AMOUNTS = st.integers(1, 1_000)
_EVENTS = st.one_of(
    st.builds(events.Sold, _AMOUNTS),
    st.builds(events.Authorized, _AMOUNTS),
    st.builds(events.Captured, _AMOUNTS, st.booleans()),
    st.just(events.Canceled()),
    st.builds(events.Refunded, _AMOUNTS, _AMOUNTS),
    st.builds(events.Released, _AMOUNTS, _AMOUNTS),
    st.builds(events.Disputed, _AMOUNTS, _AMOUNTS),
    st.builds(events.DisputeWon, _AMOUNTS),
    st.builds(events.Settled, _AMOUNTS, _AMOUNTS, st.integers(0, 50), st.integers(0, 50)),
)
_FEES = st.builds(FeeSchedule, st.integers(0, 1_000), st.integers(0, 50))


@given(st.lists(_EVENTS, max_size=12), _FEES)
def test_no_history_breaks_the_books(history: list[events.Event], fees: FeeSchedule) -> None:
    """Captured ≤ held, refunded + disputed ≤ captured, each part of a hold applied once."""
    books, all_transfers = Books(), list[Transfer]()
    for event in history:
        try:
            found = book(books, event, fees)
        except RuleError:
            continue
        books = books.after(found)
        all_transfers += found
        assert all(one.amount_minor > 0 for one in found)
        assert books["hold_posted"] + books["hold_released"] <= books["hold"]
        assert books["hold"] == 0 or books["capture"] == books["hold_posted"]
        assert books.refunded_minor + books.disputed_minor <= books["capture"]
        assert books["fee"] <= books["capture"]
        assert books.pending_minor >= 0
    _assert_balanced(all_transfers)


def _assert_balanced(transfers: list[Transfer]) -> None:
    """Seen as accounts, assets and costs equal debts and income; memo apart."""
    parties = Parties(bytes(15) + b"\1", live=False, network="vsim", currency="usd")
    debits: defaultdict[str, int] = defaultdict(int)
    credits_: defaultdict[str, int] = defaultdict(int)
    for one in transfers:
        debit, credit = map(parties.account, KINDS[one.kind])
        assert debit.currency == credit.currency
        assert debit.id != credit.id
        debits[debit.purpose] += one.amount_minor
        credits_[credit.purpose] += one.amount_minor
    for memo in (False, True):
        purposes = [name for name, purpose in PURPOSES.items() if purpose.memo is memo]
        sides = {"debit": 0, "credit": 0}
        for name in purposes:
            sides[PURPOSES[name].grows_on] += balance(name, debits[name], credits_[name])
        assert sides["debit"] == sides["credit"]


def test_holds_are_the_memo_kinds() -> None:
    """What is pending moves between memo accounts, and nothing else does."""
    memo = {kind for kind, sides in KINDS.items() if PURPOSES[sides[0]].memo}
    assert memo == HOLDS
