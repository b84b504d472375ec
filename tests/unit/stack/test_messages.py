"""Messages rebuilt from the ledger's record."""

from __future__ import annotations

import attrs
import msgspec
import pytest

from network_sim.journal import Entry, format_line, message_body, message_key
from network_sim.messages import authorization_answer
from stack.demo_shop import demo_shop
from stack.messages import Circumstances, Exchange, disagreements, rebuild, table_rows
from stack.payments import Attempt, Payment, Transaction
from switch.core.messages import Acceptor
from switch.iso8583 import load_dialect
from tests.support import payments
from turnout_client import Card

DIALECT = load_dialect("net87b")
NUMBER = "4242424242424242"
CARD = Card(number=NUMBER, exp_month=12, exp_year=2030, cvc="123")
_SHOP = demo_shop(bytes(16))
ACCEPTOR = Acceptor(
    terminal_id=_SHOP.terminal_id,
    card_acceptor_id=_SHOP.card_acceptor_id,
    name_location=_SHOP.name_location,
    mcc=_SHOP.mcc,
    country=_SHOP.country,
)


CIRCUMSTANCES = Circumstances(card=CARD, acquirer_id="400001", acceptor=ACCEPTOR, dialect=DIALECT)
STORIES = {
    "approved": payments.approved(),
    "declined": payments.declined(),
    "verified": payments.verified(),
    "reversed": payments.reversed_(),
    "captured": payments.captured(),
    "refunded": payments.refunded(),
}


def _attempt() -> Attempt:
    (transaction,) = payments.approved().transactions()
    (attempt,) = transaction.attempts
    return attempt


def _rebuild(attempt: Attempt) -> Exchange:
    """The messages of a charge's only attempt."""
    transaction = Transaction(payments.TRANSACTION, "charge", "succeeded", [attempt])
    return rebuild(attempt, transaction, [transaction], CIRCUMSTANCES)


def _exchanges(payment: Payment) -> list[Exchange]:
    """The messages of all attempts, in order."""
    transactions = payment.transactions()
    return [
        rebuild(attempt, transaction, transactions, CIRCUMSTANCES)
        for transaction in transactions
        for attempt in transaction.attempts
    ]


def _entry(exchange: Exchange) -> Entry:
    """The line that a simulated network writes for a request."""
    fields = exchange.request
    line = format_line(
        1_767_323_045_123_456,
        message_key(fields[32], fields[11], fields[7], fields[37], fields[42]),
        message_body(fields[0], fields[3], fields[4], fields[49], fields[2]),
        {39: "00", 38: "321000"},
        0,
    )
    return Entry.parse(line.rstrip("\n"))


@pytest.mark.parametrize("story", STORIES)
def test_all_messages_are_messages_of_the_dialect(story: str) -> None:
    """What is shown could be sent: the codec takes it, and finds every mandatory element."""
    for exchange in _exchanges(STORIES[story]):
        for fields in filter(None, (exchange.request, exchange.answer)):
            assert DIALECT.decode(DIALECT.encode(fields)) == fields
            assert DIALECT.missing(fields) == []


def test_a_reversal_names_what_it_undoes() -> None:
    """Its RRN, and in DE 90 its MTI, STAN, DE 7 and acquirer; a STAN of its own; no CVC."""
    charge, reversal = _exchanges(payments.reversed_())
    assert (reversal.request[0], reversal.request[11]) == ("0420", "000130")
    assert reversal.request[37] == charge.request[37]
    assert reversal.request[90] == "0200" + "000123" + "0102030405" + "00000400001" + "0" * 11
    assert 48 in charge.request
    assert 48 not in reversal.request


def test_an_inquiry_shows_what_the_network_holds() -> None:
    """Asked in vain: its own DE 39. Answered: found, and in DE 62 code, approval and amount."""
    charge, first, second = _exchanges(payments.verified())
    assert first.request[90] == second.request[90] == "0200" + first.request[90][4:]
    assert charge.request[11] not in (first.request[11], second.request[11])
    assert first.answer is not None
    assert (first.answer[0], first.answer[39], first.answer.get(62)) == ("0610", "25", None)
    assert second.answer is not None
    assert (second.answer[39], second.answer[62]) == ("00", "00" + " " * 6 + "000000002499" + "0")


def test_a_release_says_what_stays() -> None:
    """A capture of a part, then in DE 95 that part alone; both follow the authorization."""
    charge, capture, release = _exchanges(payments.captured())
    assert (charge.request[0], capture.request[0], release.request[0]) == ("0100", "0220", "0420")
    assert (capture.request[4], release.request[4]) == ("000000001999", "000000002499")
    assert release.request[95][:12] == "000000001999"
    assert 95 not in capture.request
    assert capture.request[90] == release.request[90] == "0100" + capture.request[90][4:]


def test_a_refund_is_a_payment_the_other_way() -> None:
    """Processing code 20, an RRN of its own, and it follows nothing."""
    charge, refund = _exchanges(payments.refunded())
    assert (charge.request[3], refund.request[3]) == ("000000", "200000")
    assert (refund.request[4], refund.request.get(90)) == ("000000000500", None)
    assert refund.request[37] != charge.request[37]


def test_the_answer_agrees_with_what_a_network_answers() -> None:
    """Every element that is shown of the answer is as the simulated network would have sent it."""
    exchange = _rebuild(_attempt())
    assert exchange.answer is not None
    sent = authorization_answer(exchange.request, "00", "0102")
    assert exchange.answer.items() <= sent.items()


def test_what_was_not_answered_has_no_answer() -> None:
    """Silence is shown as silence, also where another message has told what became of it."""
    assert _rebuild(attrs.evolve(_attempt(), answered=False)).answer is None
    for payment in (payments.verified(), payments.reversed_()):
        charge, *_, last = _exchanges(payment)
        assert charge.answer is None
        assert last.answer is not None


def test_a_decline_carries_no_approval_code() -> None:
    """DE 38 stands only where the outcome has one."""
    answer = _rebuild(attrs.evolve(_attempt(), response_code="05", approval_code="")).answer
    assert answer is not None
    assert (answer[39], answer.get(38)) == ("05", None)


def test_nothing_of_the_card_is_shown() -> None:
    """The rows hold neither the whole number nor expiry nor CVC."""
    exchange = _rebuild(_attempt())
    rows = {row[0]: row[2] for row in table_rows(exchange, DIALECT)}
    text = "\n".join("|".join(row) for row in table_rows(exchange, DIALECT))
    assert NUMBER not in text
    assert (rows["2"], rows["14"], rows["48"]) == ("424242******4242", "[hidden]", "92=[hidden]")


def test_the_rows_name_every_element_in_order() -> None:
    """The MTI comes first, then the elements of both messages, ascending, by name."""
    rows = table_rows(_rebuild(_attempt()), DIALECT)
    assert rows[0] == ("MTI", "", "0200", "0210")
    numbers = [int(row[0]) for row in rows[1:]]
    assert numbers == sorted(set(numbers))
    assert ("11", "stan", "000123", "000123") in rows
    assert ("39", "response_code", "", "00") in rows


def test_a_networks_record_of_the_same_message_agrees() -> None:
    """The control: an honest journal contradicts nothing."""
    exchange = _rebuild(_attempt())
    assert disagreements(exchange.request, _entry(exchange)) == []


def test_a_networks_record_of_another_original_is_named() -> None:
    """A reversal that undid something else is found, and one that undid the same is not."""
    reversal = _exchanges(payments.reversed_())[1]
    entry = msgspec.structs.replace(_entry(reversal), original=reversal.request[90][4:20])
    assert disagreements(reversal.request, entry) == []
    wrong = msgspec.structs.replace(entry, original="000124" + entry.original[6:])
    assert disagreements(reversal.request, wrong) == ["original"]


@pytest.mark.parametrize(
    "column",
    [
        "acquirer_id",
        "stan",
        "de7",
        "rrn",
        "card_acceptor_id",
        "mti",
        "processing_code",
        "amount",
        "currency",
        "masked_pan",
    ],
)
def test_a_networks_record_of_another_message_is_named(column: str) -> None:
    """Each column that came differently is found."""
    exchange = _rebuild(_attempt())
    entry = _entry(exchange)
    wrong = msgspec.structs.replace(entry, **{column: getattr(entry, column)[:-1] + "X"})
    assert disagreements(exchange.request, wrong) == [column]
