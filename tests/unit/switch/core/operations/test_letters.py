"""The message of an attempt, and that it is the same on every sending."""

from __future__ import annotations

import pytest

from switch.core.messages_following import Card
from switch.core.operations.letters import compose, letter_of
from switch.core.operations.reading import ViewError
from switch.core.operations.records import Letter
from switch.iso8583 import load_dialect
from tests.support.operations import AMOUNT, APPROVED, SILENCE, Book, authorized, charged
from tests.support.pipeline import ACCEPTOR, PAN

NET87B = load_dialect("net87b")
CIS = load_dialect("cis")
CARD = Card(PAN, "3012")


def fields_of(letter: Letter, *, sent_before: bool = False) -> dict[int, str]:
    """The message of a letter on NET87B."""
    return compose(
        letter, card=CARD, acceptor=ACCEPTOR, policy=NET87B.policy, sent_before=sent_before
    )


def reversing() -> tuple[Book, Letter]:
    """A charge that is being reversed, and the letter of its reversal."""
    book = Book()
    attempt = book.charge(mti="0200")
    book.settle(attempt.attempt_id, SILENCE)
    book.close_window(attempt.attempt_id)
    return book, letter_of(book.view, book.last("reversal"))


def test_a_reversal_names_its_original_whole() -> None:
    """DE 90 complete: MTI, STAN, DE 7, acquirer id, forwarding id."""
    book, letter = reversing()
    original = next(a for a in book.view.attempts if a.kind == "request")
    fields = fields_of(letter)
    assert fields[0] == "0420"
    assert fields[90] == f"0200{original.stan}{original.de7}00000500001{'0' * 11}"
    assert (fields[37], fields[11]) == (original.rrn, letter.stan)
    assert (fields[4], fields[3]) == (f"{AMOUNT:012d}", "000000")
    assert (fields[12], fields[13]) == (original.de7[4:], original.de7[:4])
    assert not fields.keys() & {38, 39, 48, 95}


def test_a_repeat_differs_by_its_mti_alone() -> None:
    """0421: same STAN, DE 7, RRN and DE 90 (RV02)."""
    book, letter = reversing()
    first, repeat = fields_of(letter), fields_of(letter, sent_before=True)
    assert (first.pop(0), repeat.pop(0)) == ("0420", "0421")
    assert first == repeat
    book.settle(letter.attempt_id, SILENCE)
    assert letter_of(book.view, book.last("reversal")) == letter


def test_a_network_may_want_the_same_mti_and_a_new_time() -> None:
    """The CIS-like one does."""
    _, letter = reversing()
    fields = compose(
        letter,
        card=CARD,
        acceptor=ACCEPTOR,
        policy=CIS.policy,
        sent_before=True,
        de7="0102030507",
    )
    assert (fields[0], fields[7]) == ("0420", "0102030507")


def test_a_capture_carries_the_approval_code() -> None:
    """DE 38 from the 0110; no CVC, no DE 95."""
    letter = authorized().admit("capture", 400).letter
    fields = fields_of(letter)
    assert (fields[0], fields[4], fields[38]) == ("0220", f"{400:012d}", "A1B2C3")
    assert fields[90].startswith("0100")
    assert not fields.keys() & {48, 95}


def test_a_release_says_what_stays() -> None:
    """DE 4 what was authorized, DE 95 what was captured of it."""
    book = authorized()
    book.settle(book.admit("capture", 400).letter.attempt_id, APPROVED)
    fields = fields_of(letter_of(book.view, book.last("release")))
    assert (fields[0], fields[4]) == ("0420", f"{AMOUNT:012d}")
    assert fields[95] == f"{400:012d}{0:012d}C00000000C00000000"


def test_a_refund_is_a_sale_the_other_way() -> None:
    """DE 3 = 20, its own RRN, no original."""
    fields = fields_of(charged().admit("refund", 400).letter)
    assert (fields[0], fields[3]) == ("0200", "200000")
    assert not fields.keys() & {38, 48, 90, 95}


def test_the_reversal_of_a_refund_is_one_of_a_refund() -> None:
    """DE 3 as in the original, DE 90 of the refund's 0200."""
    book = charged()
    attempt_id = book.admit("refund", 400).letter.attempt_id
    book.settle(attempt_id, SILENCE)
    book.close_window(attempt_id)
    letter = letter_of(book.view, book.last("reversal"))
    fields = fields_of(letter)
    assert (fields[3], fields[4]) == ("200000", f"{400:012d}")
    assert fields[90][4:10] == book.attempt(attempt_id).stan
    assert letter.charge_id == book.transaction("charge").transaction_id


def test_an_inquiry_asks_with_numbers_of_its_own() -> None:
    """iso8583.md 2.2: RRN and amount of the original, STAN and DE 7 not."""
    book = Book()
    attempt = book.charge(mti="0200")
    book.settle(attempt.attempt_id, SILENCE)
    fields = fields_of(book.inquire(attempt.attempt_id))
    assert (fields[0], fields[37], fields[4]) == ("0600", attempt.rrn, f"{AMOUNT:012d}")
    assert fields[11] != attempt.stan
    assert fields[90][:20] == f"0200{attempt.stan}{attempt.de7}"
    assert fields.keys() == {0, 2, 3, 4, 7, 11, 12, 13, 32, 37, 41, 42, 49, 90}


@pytest.mark.parametrize(
    "make",
    [
        lambda: authorized().admit("capture").letter,
        lambda: authorized().admit("cancel").letter,
        lambda: charged().admit("refund").letter,
        lambda: reversing()[1],
    ],
    ids=["capture", "cancel", "refund", "reversal"],
)
def test_every_message_has_what_its_dialect_demands(make: object) -> None:
    """It encodes, decodes to itself, and lacks nothing mandatory."""
    fields = fields_of(make())  # type: ignore[operator]
    assert NET87B.missing(fields) == []
    assert NET87B.decode(NET87B.encode(fields)) == fields
    repeat = fields | {0: fields[0][:3] + "1"}
    if repeat[0] in NET87B.mtis:
        assert NET87B.missing(repeat) == []


def test_a_card_is_not_printed() -> None:
    """Neither its number nor its expiry."""
    assert repr(CARD) == "Card(<masked>)"
    assert PAN not in str(CARD)


def test_a_charge_itself_has_no_letter() -> None:
    """Its message is made on the hot path, with a CVC; it is never made again."""
    book = Book()
    with pytest.raises(ViewError):
        letter_of(book.view, book.charge())
