"""Every decision on money."""

from __future__ import annotations

from datetime import date

import pytest

from chassis.settings.tree import Network, Simulator
from network_sim.decisions import Moment, Ruling
from network_sim.issuer import Issuer, Sales
from network_sim.journal import NEVER_MS, Entry
from network_sim.service import make_issuer
from switch.iso8583 import Dialect, load_dialect
from tests.support.network import authorization, capture, reversal, sale
from tests.support.network_host import OPENS_ON

NOW = Moment.at(1_795_331_402_000_000)  # 2026-11-22 07:10:02 UTC
LATE_MS = 2_750


@pytest.fixture
def issuer(dialect: Dialect) -> Issuer:
    """An issuer of the first network that remembers nothing yet."""
    return _issuer(dialect)


def _issuer(dialect: Dialect, **limits: int) -> Issuer:
    return make_issuer(Network(bins=("4",)), Simulator(**limits), dialect, opens_on=OPENS_ON)


def test_a_month_is_that_of_utc() -> None:
    """The expiry date is compared with the month in UTC."""
    assert Moment.at(1_798_761_599_999_999).month == "2612"
    assert Moment.at(1_798_761_600_000_000).month == "2701"


def test_an_approval_is_answered_at_once_and_recorded(issuer: Issuer) -> None:
    """Answer, delay and line agree."""
    decision = issuer.decide(sale(), NOW)
    assert (decision.answer[0], decision.answer[39], decision.delay_ms) == ("0210", "00", 0)
    entry = Entry.parse(decision.line.rstrip("\n"))
    assert entry == Entry(
        decided_at_us=NOW.at_us,
        acquirer_id="400001",
        stan="000123",
        de7="1122071002",
        rrn="0ABCDEF12345",
        card_acceptor_id="MERCHANT0000001",
        mti="0200",
        processing_code="000000",
        amount="000000002499",
        currency="840",
        masked_pan="424242******4242",
        response_code="00",
        approval_code=decision.answer[38],
        answer_delay_ms=0,
        original="",
        settlement_date="2026-11-22",
        held_change=0,
        posted_change=2499,
    )
    assert decision.answer[15] == "1122"


@pytest.mark.parametrize(("pan", "code"), [("4000000000000002", "05"), ("4000000000000119", "91")])
def test_a_decline_is_recorded_too(issuer: Issuer, pan: str, code: str) -> None:
    """The record holds every decision, whichever way it went."""
    decision = issuer.decide(sale({2: pan}), NOW)
    assert decision.answer[39] == code
    assert decision.line.endswith(f"\t{code}\t\t0\t\t\t0\t0\n")
    assert issuer.counters.decided[code] == 1


@pytest.mark.parametrize(
    ("pan", "delay_ms"),
    [
        ("4000000000009805", 1_000),
        ("4000000000008807", LATE_MS),
        ("4000000000006801", NEVER_MS),
        ("4000000000007809", NEVER_MS),
    ],
)
def test_slow_late_and_silent_cards(issuer: Issuer, pan: str, delay_ms: int) -> None:
    """All are approved and recorded; they differ in when the answer leaves."""
    decision = issuer.decide(sale({2: pan}), NOW)
    assert (decision.answer[39], decision.delay_ms) == ("00", delay_ms)
    assert f"\t{delay_ms}\t\t2026-11-22\t0\t2499\n" in decision.line


@pytest.mark.parametrize(("expiry", "code"), [("2611", "00"), ("2610", "54"), ("2512", "54")])
def test_an_expired_card_is_declined(issuer: Issuer, expiry: str, code: str) -> None:
    """A card is good through the last day of its month."""
    assert issuer.decide(sale({14: expiry}), NOW).answer[39] == code


def test_an_expired_card_keeps_another_reason_to_decline(issuer: Issuer) -> None:
    """54 replaces an approval only."""
    assert issuer.decide(sale({2: "4000000000009987", 14: "2512"}), NOW).answer[39] == "41"


def test_an_expired_slow_card_is_declined_at_once(issuer: Issuer) -> None:
    """The delay belongs to the card's own outcome."""
    assert issuer.decide(sale({2: "4000000000009805", 14: "2512"}), NOW).delay_ms == 0


@pytest.mark.parametrize(
    ("processing_code", "amount", "code"),
    [("000000", 0, "13"), ("200000", 0, "13"), ("380000", 1, "13"), ("380000", 0, "85")],
)
def test_amount_zero_is_for_verifications(
    issuer: Issuer, processing_code: str, amount: int, code: str
) -> None:
    """A sale over nothing is an invalid amount; a verification is always over nothing."""
    fields = authorization({3: processing_code, 4: f"{amount:012d}"})
    assert issuer.decide(fields, NOW).answer[39] == code


@pytest.mark.parametrize(
    ("sales", "mti", "processing_code", "code"),
    [
        ("single", "0200", "000000", "00"),
        ("single", "0100", "000000", "40"),
        ("single", "0100", "380000", "85"),
        ("dual", "0100", "000000", "00"),
        ("dual", "0200", "000000", "40"),
        ("dual", "0200", "200000", "00"),
        ("dual", "0100", "380000", "85"),
        ("both", "0100", "000000", "00"),
        ("both", "0200", "000000", "00"),
    ],
)
def test_a_network_sells_by_one_message_or_by_two(
    dialect: Dialect, sales: Sales, mti: str, processing_code: str, code: str
) -> None:
    """A refund is an 0200 and a verification an 0100 on every network."""
    issuer = make_issuer(Network(bins=("4",)), Simulator(), dialect, opens_on=OPENS_ON, sales=sales)
    amount = "0" * 12 if processing_code == "380000" else "000000002499"
    fields = sale({0: mti, 3: processing_code, 4: amount})
    assert issuer.decide(fields, NOW).answer[39] == code


def test_a_verification_holds_and_posts_nothing(issuer: Issuer) -> None:
    """85, recorded as done to the card, and no hold that could be captured."""
    fields = authorization({3: "380000", 4: "0" * 12})
    entry = _entry(issuer.decide(fields, NOW).line)
    assert (entry.response_code, entry.held_change, entry.posted_change) == ("85", 0, 0)
    assert issuer.hold(fields[32], fields[37], fields[42]) is None


@pytest.mark.parametrize(("pan", "code"), [("4000000000000002", "05"), ("4000000000009987", "41")])
def test_a_verification_is_declined_like_a_sale(issuer: Issuer, pan: str, code: str) -> None:
    """What the card says holds for questions about the card, too."""
    fields = authorization({2: pan, 3: "380000", 4: "0" * 12})
    assert issuer.decide(fields, NOW).answer[39] == code


def test_a_refund_posts_back_also_to_an_expired_card(issuer: Issuer) -> None:
    """The cardholder gets money; whether the card still pays does not matter."""
    entry = _entry(issuer.decide(sale({3: "200000", 14: "2512"}), NOW).line)
    assert (entry.response_code, entry.posted_change) == ("00", -2499)


def test_an_authorization_holds(issuer: Issuer) -> None:
    """Nothing is posted before the capture."""
    fields = authorization()
    entry = _entry(issuer.decide(fields, NOW).line)
    assert (entry.held_change, entry.posted_change) == (2499, 0)
    hold = issuer.hold(fields[32], fields[37], fields[42])
    assert hold is not None
    assert (hold.authorized, hold.held, hold.captured) == (2499, 2499, 0)


@pytest.mark.parametrize("mti", ["0200", "0201"])
def test_a_repeat_gets_the_same_answer_and_leaves_no_line(issuer: Issuer, mti: str) -> None:
    """The same message again, or its repeat, has no second effect."""
    first = issuer.decide(sale(), NOW)
    again = issuer.decide(sale({0: mti}), NOW)
    assert (again.answer, again.line) == (first.answer, "")
    assert issuer.counters.repeats_total == 1


def test_a_repeat_of_a_silent_card_stays_silent(issuer: Issuer) -> None:
    """Asking twice brings no answer either."""
    for _ in range(2):
        assert issuer.decide(sale({2: "4000000000007809"}), NOW).delay_ms == NEVER_MS


@pytest.mark.parametrize(
    "change",
    [
        {0: "0100"},
        {2: "4000000000000259"},
        {3: "200000"},
        {4: "000000002500"},
        {49: "978"},
    ],
)
def test_another_message_under_the_same_key_is_a_duplicate(
    issuer: Issuer, change: dict[int, str]
) -> None:
    """94, no line, and the first decision stands."""
    first = issuer.decide(sale(), NOW)
    conflict = issuer.decide(sale(change), NOW)
    assert (conflict.answer[39], conflict.line) == ("94", "")
    assert issuer.counters.conflicts_total == 1
    assert issuer.decide(sale(), NOW).answer == first.answer


@pytest.mark.parametrize(
    "change",
    [
        {32: "400002"},
        {11: "000124"},
        {7: "1122071003"},
        {37: "0ABCDEF12346"},
        {42: "MERCHANT0000002"},
    ],
)
def test_each_part_of_the_key_tells_messages_apart(issuer: Issuer, change: dict[int, str]) -> None:
    """A message that differs in any of them is a new one."""
    issuer.decide(sale(), NOW)
    other = issuer.decide(sale({**change, 4: "000000009999"}), NOW)
    assert other.answer[39] == "00"
    assert other.line != ""


def test_what_was_forgotten_is_decided_anew(dialect: Dialect) -> None:
    """The memory is bounded: the price is a second decision long after the first."""
    issuer = _issuer(dialect, remembered_max=1)
    issuer.decide(sale(), NOW)
    issuer.decide(sale({11: "000124"}), NOW)
    assert issuer.decide(sale(), NOW).line != ""
    assert issuer.remembered == 1


@pytest.mark.parametrize("number", [2, 3, 4, 7, 11, 14, 18, 22, 32, 37, 41, 42, 43, 49])
def test_an_incomplete_request_is_a_format_error(issuer: Issuer, number: int) -> None:
    """30 with whatever can be echoed, and no line."""
    decision = issuer.decide(sale({number: None}), NOW)
    assert (decision.answer[0], decision.answer[39], decision.line) == ("0210", "30", "")
    assert issuer.counters.refused["30"] == 1


@pytest.mark.parametrize(("mti", "answer"), [("0120", "0130"), ("0620", "0630")])
def test_other_requests_are_not_supported(issuer: Issuer, mti: str, answer: str) -> None:
    """40 says so; nothing is recorded."""
    decision = issuer.decide(sale({0: mti}), NOW)
    assert (decision.answer[0], decision.answer[39], decision.line) == (answer, "40", "")


def test_an_answer_is_refused_with_an_error(issuer: Issuer) -> None:
    """There is nothing to say to an answer."""
    with pytest.raises(ValueError, match="0210"):
        issuer.decide(sale({0: "0210"}), NOW)


@pytest.mark.parametrize(
    ("mti", "answer"), [("0400", "0410"), ("0401", "0410"), ("0420", "0430"), ("0421", "0430")]
)
def test_a_reversal_is_accepted_and_names_its_original(
    issuer: Issuer, mti: str, answer: str
) -> None:
    """00, and the line carries STAN and DE 7 of the original."""
    original = sale()
    issuer.decide(original, NOW)
    decision = issuer.decide(reversal(original, {0: mti, 11: "000200"}), NOW)
    assert (decision.answer[0], decision.answer[39]) == (answer, "00")
    assert 38 not in decision.answer
    assert _entry(decision.line).original == "0001231122071002"


def test_a_repeated_reversal_has_one_effect(issuer: Issuer) -> None:
    """0421 after an acknowledged 0420 is answered 00 again, without a second line."""
    issuer.decide(sale(), NOW)
    issuer.decide(reversal(sale(), {11: "000200"}), NOW)
    again = issuer.decide(reversal(sale(), {0: "0421", 11: "000200"}), NOW)
    assert (again.answer[0], again.answer[39], again.line) == ("0430", "00", "")


def test_a_message_that_its_reversal_overtook_is_declined(issuer: Issuer) -> None:
    """What was reversed never moves money, in whichever order the two arrive."""
    assert issuer.decide(reversal(sale(), {11: "000200"}), NOW).answer[39] == "25"
    late = issuer.decide(sale(), NOW)
    assert late.answer[39] == "05"
    assert issuer.counters.reversals_first_total == 1
    assert issuer.decide(sale(), NOW).answer == late.answer


@pytest.mark.parametrize(
    "change",
    [{95: "000000000400" + "0" * 30}, {90: "0200" + "000124" + "1122071002" + "0" * 22}],
)
def test_another_reversal_under_the_same_key_is_a_duplicate(
    issuer: Issuer, change: dict[int, str]
) -> None:
    """What a reversal is of, and how much of it, belongs to its body."""
    issuer.decide(sale(), NOW)
    issuer.decide(reversal(sale(), {11: "000200"}), NOW)
    conflict = issuer.decide(reversal(sale(), {11: "000200", **change}), NOW)
    assert (conflict.answer[39], conflict.line) == ("94", "")


def test_repeats_may_carry_a_new_time_where_the_dialect_refreshes_it() -> None:
    """Where DE 7 is no part of the message's name, the repeat finds its first try."""
    issuer = _issuer(load_dialect("cis"))
    original, void = authorization(), {0: "0400", 11: "000200"}
    issuer.decide(original, NOW)
    first = issuer.decide(reversal(original, void), NOW)
    again = issuer.decide(reversal(original, {**void, 7: "1122071012"}), NOW)
    assert (first.answer[39], again.answer[39], again.line) == ("00", "00", "")
    assert _entry(first.line).held_change == -2499


def test_a_ruling_decides_in_the_issuers_place(issuer: Issuer) -> None:
    """A scripted decline is recorded and remembered like any other; another code is counted."""
    decision = issuer.decide(sale(), NOW, Ruling("ZZ"))
    assert (decision.answer[39], _entry(decision.line).posted_change) == ("ZZ", 0)
    assert issuer.decide(sale(), NOW).answer[39] == "ZZ"
    assert issuer.counters.decided["other"] == 1


def test_a_partial_approval_is_by_ruling(issuer: Issuer) -> None:
    """10, the lower amount in DE 4, the asked one in DE 54; the hold is what was approved."""
    fields = authorization()
    decision = issuer.decide(fields, NOW, Ruling("10", approved=1500))
    answer = decision.answer
    assert (answer[39], answer[4]) == ("10", "000000001500")
    assert answer[54] == "0057840C000000002499"
    entry = _entry(decision.line)
    assert (entry.amount, entry.held_change) == ("000000002499", 1500)
    assert issuer.decide(fields, NOW).answer == answer


@pytest.mark.parametrize("code", ["30", "91", "96"])
def test_a_refused_advice_is_not_decided(issuer: Issuer, code: str) -> None:
    """It leaves no line and no effect, so that its repeat can have both."""
    issuer.decide(sale(), NOW)
    refused = issuer.decide(reversal(sale(), {11: "000200"}), NOW, Ruling(code))
    assert (refused.answer[39], refused.line) == (code, "")
    repeat = issuer.decide(reversal(sale(), {0: "0421", 11: "000200"}), NOW)
    assert (repeat.answer[39], _entry(repeat.line).posted_change) == ("00", -2499)


def test_a_ruling_can_refuse_a_repeat(issuer: Issuer) -> None:
    """What was decided stays decided; only this answer is another."""
    issuer.decide(sale(), NOW)
    assert issuer.decide(sale(), NOW, Ruling("96")).answer[39] == "96"
    assert issuer.decide(sale(), NOW).answer[39] == "00"


def test_a_cutover_moves_the_settlement_date_of_what_comes_after(issuer: Issuer) -> None:
    """And not that of a repeat, whose answer is the first one's."""
    first = issuer.decide(sale(), NOW)
    issuer.cut_over(date(2026, 11, 23))
    second = issuer.decide(sale({11: "000124"}), NOW)
    assert (first.answer[15], second.answer[15]) == ("1122", "1123")
    assert issuer.decide(sale(), NOW).answer == first.answer
    assert issuer.totals("400001", "840", "2026-11-22").debits == 1
    assert issuer.totals("400001", "840", "2026-11-23").debits_amount == 2499


def test_a_new_process_repeats_the_old_ones_answers(issuer: Issuer, dialect: Dialect) -> None:
    """Read back from the record: approvals, reversals, and originals that were overtaken."""
    overtaken = sale({11: "000300"})
    held = authorization({11: "000126", 37: "0ABCDEF12346"})
    messages = [
        sale(),
        sale({11: "000124", 2: "4000000000000002"}),
        sale({11: "000125", 2: "4000000000008807"}),
        held,
        capture(held, {11: "000202", 4: "000000001000"}),
        reversal(held, {11: "000203", 95: "000000001500" + "0" * 30}),
        reversal(sale(), {11: "000200"}),
        reversal(overtaken, {11: "000201"}),
    ]
    first = [issuer.decide(fields, NOW) for fields in messages]
    successor = _issuer(dialect)
    successor.restore(_entry(decision.line) for decision in first)
    assert successor.hold(held[32], held[37], held[42]) == issuer.hold(held[32], held[37], held[42])
    totals = ("400001", "840", "2026-11-22")
    assert successor.totals(*totals) == issuer.totals(*totals)
    second = [successor.decide(fields, NOW) for fields in messages]
    assert [(d.answer, d.delay_ms) for d in second] == [(d.answer, d.delay_ms) for d in first]
    assert [decision.line for decision in second] == [""] * len(messages)
    assert successor.decide(overtaken, NOW).answer[39] == "05"
    assert successor.decide(sale({4: "000000000001"}), NOW).answer[39] == "94"


def test_a_new_process_goes_on_with_the_latest_settlement_date(
    issuer: Issuer, dialect: Dialect
) -> None:
    """A cutover into tomorrow is not undone by a restart today."""
    issuer.cut_over(date(2026, 11, 24))
    line = issuer.decide(sale(), NOW).line
    successor = _issuer(dialect)
    successor.restore([_entry(line)])
    assert successor.settlement_date == "2026-11-24"


def test_old_money_counts_though_its_message_is_forgotten(issuer: Issuer, dialect: Dialect) -> None:
    """What is too old to be repeated still has its hold and its totals."""
    held = authorization()
    lines = [issuer.decide(fields, NOW).line for fields in (held, sale({11: "000124"}))]
    successor = _issuer(dialect)
    successor.restore(map(_entry, lines), since_us=NOW.at_us + 1)
    assert successor.remembered == 0
    assert successor.totals("400001", "840", "2026-11-22").debits == 1
    decision = successor.decide(capture(held, {11: "000200"}), NOW)
    assert decision.answer[39] == "00"


def _entry(line: str) -> Entry:
    return Entry.parse(line.removesuffix("\n"))
