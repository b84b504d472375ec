"""Messages rebuilt from the ledger's record."""

from __future__ import annotations

import attrs
import msgspec
import pytest

from network_sim.journal import Entry, format_line, message_body, message_key
from network_sim.messages import authorization_answer
from stack.demo_shop import demo_shop
from stack.messages import Exchange, disagreements, rebuild, table_rows
from stack.payments import Attempt
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


def _attempt() -> Attempt:
    (transaction,) = payments.approved().transactions()
    (attempt,) = transaction.attempts
    return attempt


def _rebuild(attempt: Attempt) -> Exchange:
    return rebuild(attempt, card=CARD, acquirer_id="400001", acceptor=ACCEPTOR, dialect=DIALECT)


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


def test_both_messages_are_messages_of_the_dialect() -> None:
    """What is shown could be sent: the codec takes it, and finds every mandatory element."""
    exchange = _rebuild(_attempt())
    assert exchange.answer is not None
    for fields in (exchange.request, exchange.answer):
        assert DIALECT.decode(DIALECT.encode(fields)) == fields
        assert DIALECT.missing(fields) == []


def test_the_answer_agrees_with_what_a_network_answers() -> None:
    """Every element that is shown of the answer is as the simulated network would have sent it."""
    exchange = _rebuild(_attempt())
    assert exchange.answer is not None
    sent = authorization_answer(exchange.request, "00", "0102")
    assert exchange.answer.items() <= sent.items()


def test_without_a_response_code_there_is_no_answer() -> None:
    """Silence is shown as silence."""
    assert _rebuild(attrs.evolve(_attempt(), response_code="", approval_code="")).answer is None


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
