"""The comparison finds what is planted in any witness, and nothing where nothing is wrong."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from chaos.agreement import Verdict, agree
from chaos.records import Attempt, Intent, Ledger, Line, Merchant, Seen, Told, Transaction
from network_sim.journal import Entry

SALE_ENTRY = Entry(
    1, "400001", "000001", "0101000000", "R1", "M", "0200", "000000", "000000000900", "840",
    "424242******0000", "00", "A00001", 0, "", "2030-01-01", 0, 900,
)  # fmt: skip


def _attempt(name: str, stan: str, **changes: object) -> Attempt:
    sale = Attempt(
        "pi_1", "txn_1", "request", "vsim", "400001", "000001", "0101000000", "R1",
        "approved", "", "00", waits=False, manual=False,
    )  # fmt: skip
    return replace(sale, transaction=name, stan=stan, **changes)


def _line(stan: str, **changes: object) -> Line:
    return Line("vsim", replace(SALE_ENTRY, stan=stan, **changes))


class Story:
    """One payment as three witnesses have it; a test changes what it wants wrong."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.seen: Seen | None = Seen("pi_1", "succeeded", 900, 0, 0)
        self.row = Intent("pi_1", "automatic", "succeeded", 900, 0, 0, 0)
        self.transactions: list[Transaction] = []
        self.attempts: list[Attempt] = []
        self.lines: list[Line] = []
        self.unanswered: list[str] = []
        self.add("charge", "1", 900)

    def add(self, kind: str, number: str, posted: int) -> None:
        """A transaction that succeeded, by one message."""
        name, stan = f"txn_{number}", f"00000{number}"
        amount = abs(posted)
        self.told.append(Told("pi_1", f"key-{number}", name, kind, "succeeded", amount))
        self.transactions.append(Transaction(name, "pi_1", kind, "succeeded", amount))
        self.attempts.append(_attempt(name, stan))
        self.lines.append(_line(stan, posted_change=posted))

    def judged(self) -> Verdict:
        """What the comparison says."""
        asked = {("pi_1", kind): sum(t.type == kind for t in self.told) for kind in KINDS}
        seen = [] if self.seen is None else [self.seen]
        merchant = Merchant(self.told, seen, asked, self.unanswered)
        ledger = Ledger([self.row], self.transactions, self.attempts)
        return agree(merchant, ledger, self.lines)


KINDS = ("charge", "capture", "refund", "cancel")


def _refunded() -> Story:
    """A sale and two refunds of parts."""
    story = Story()
    story.add("refund", "2", -300)
    story.add("refund", "3", -100)
    story.seen = Seen("pi_1", "succeeded", 900, 400, 0)
    story.row = Intent("pi_1", "automatic", "succeeded", 900, 400, 0, 0)
    return story


def _held() -> Story:
    """An authorization of 900, of which 500 were captured and 400 are still held."""
    story = Story()
    story.lines[0] = _line("000001", mti="0100", posted_change=0, held_change=900)
    story.add("capture", "2", 500)
    story.lines[1] = _line("000002", mti="0220", posted_change=500, held_change=-500)
    story.seen = Seen("pi_1", "authorized", 500, 0, 400)
    story.row = Intent("pi_1", "manual", "authorized", 500, 0, 0, 400)
    return story


def _reversed() -> Story:
    """A sale whose answer was lost and that was taken back."""
    story = Story()
    story.told = [Told("pi_1", "key-1", "txn_1", "charge", "reversed", 900)]
    story.transactions[0] = replace(story.transactions[0], status="reversed")
    story.attempts[0] = replace(story.attempts[0], result="unknown", resolution="reversed")
    story.attempts.append(_attempt("txn_1", "000002", kind="reversal"))
    story.lines.append(_line("000002", mti="0420", posted_change=-900, original="0000010101000000"))
    story.seen = Seen("pi_1", "failed", 0, 0, 0)
    story.row = Intent("pi_1", "automatic", "failed", 0, 0, 0, 0)
    return story


def _declined() -> Story:
    """A sale that was declined, heard of by nobody, and taken back for nothing."""
    story = _reversed()
    story.lines[0] = _line("000001", response_code="05", posted_change=0)
    story.lines[1] = _line(
        "000002", mti="0420", response_code="21", posted_change=0, original="0000010101000000"
    )
    return story


def _canceled() -> Story:
    """An authorization given up: the 0400 never arrived, the 0420 behind it did."""
    story = Story()
    story.lines[0] = _line("000001", mti="0100", posted_change=0, held_change=900)
    story.told.append(Told("pi_1", "key-2", "txn_2", "cancel", "succeeded", 900))
    story.transactions.append(Transaction("txn_2", "pi_1", "cancel", "succeeded", 900))
    story.attempts.append(_attempt("txn_2", "000002", result="unknown", resolution="approved"))
    story.attempts.append(_attempt("txn_2", "000003", kind="reversal"))
    story.lines.append(
        _line("000003", mti="0420", posted_change=0, held_change=-900, original="0000010101000000")
    )
    story.seen = Seen("pi_1", "canceled", 0, 0, 0)
    story.row = Intent("pi_1", "manual", "canceled", 0, 0, 0, 0)
    return story


def _canceled_after_a_crash() -> Story:
    """The same, where the 0420 is the second message of the cancel itself."""
    story = _canceled()
    story.attempts[2] = replace(story.attempts[2], kind="request")
    return story


STORIES = (Story, _refunded, _held, _reversed, _declined, _canceled, _canceled_after_a_crash)


@pytest.mark.parametrize("make", STORIES)
def test_three_witnesses_agree(make: type[Story]) -> None:
    """Nothing is found where nothing is wrong."""
    verdict = make().judged()
    assert verdict.holds, verdict.reasons
    assert verdict.payments == 1


@pytest.mark.parametrize("make", STORIES)
def test_any_line_that_is_missing_names_the_payment(make: type[Story]) -> None:
    """The control of every run: a book with one line less is found out."""
    for place in range(len(make().lines)):
        story = make()
        del story.lines[place]
        verdict = story.judged()
        assert [row["payment"] for row in verdict.disagree] == ["pi_1"], place


@pytest.mark.parametrize("make", STORIES)
def test_any_attempt_that_is_missing_makes_its_line_lost(make: type[Story]) -> None:
    """A network moved something that the ledger does not know of."""
    for place, attempt in enumerate(make().attempts):
        story = make()
        del story.attempts[place]
        has_line = attempt.key in {line.key for line in story.lines}
        assert ("vsim R1" in story.judged().lost) is has_line


@pytest.mark.parametrize("make", STORIES)
def test_any_transaction_that_is_missing_is_lost(make: type[Story]) -> None:
    """The merchant was told of something that the ledger does not have."""
    for place in range(len(make().transactions)):
        story = make()
        del story.transactions[place]
        assert "pi_1" in story.judged().lost


def test_a_line_of_nobody_is_named_by_its_number() -> None:
    """Money moved on a number that no attempt has."""
    story = Story()
    story.lines.append(_line("000009", rrn="R9"))
    verdict = story.judged()
    assert verdict.lost == ("vsim R9",)
    assert verdict.disagree[0]["network"] == "0200 00 +900"


def _wrong() -> Iterator[tuple[str, Story]]:
    story = Story()
    story.seen = Seen("pi_1", "succeeded", 900, 1, 0)
    yield "the merchant reads another amount", story
    story = Story()
    story.seen = Seen("pi_1", "failed", 900, 0, 0)
    yield "the merchant reads another status", story
    story = Story()
    story.told[0] = replace(story.told[0], status="failed")
    yield "the merchant was told another end", story
    story = Story()
    story.told[0] = replace(story.told[0], amount=901)
    yield "the merchant was told another amount", story
    story = _refunded()
    story.row = replace(story.row, refunded=300)
    story.seen = Seen("pi_1", "succeeded", 900, 300, 0)
    yield "the intent forgot a refund", story
    story = Story()
    story.lines[0] = _line("000001", posted_change=901)
    yield "the network took another amount", story
    story = _held()
    story.lines[1] = _line("000002", mti="0220", posted_change=500, held_change=-900)
    yield "the network let go what can still be captured", story
    story = Story()
    story.transactions[0] = replace(story.transactions[0], status="failed")
    story.told = []
    yield "the ledger calls failed what was paid", story


@pytest.mark.parametrize("story", [pytest.param(each, id=what) for what, each in _wrong()])
def test_what_does_not_fit_is_named(story: Story) -> None:
    """Each amount and status counts, in each witness."""
    verdict = story.judged()
    assert [row["payment"] for row in verdict.disagree] == ["pi_1"]
    assert not verdict.holds


def test_an_answer_that_was_true_then_is_right() -> None:
    """In doubt at first, known later: that is no contradiction."""
    story = Story()
    story.told.insert(0, replace(story.told[0], status="pending_verification"))
    assert story.judged().holds


def test_one_key_makes_one_transaction() -> None:
    """A repeat that made a second one is a duplicate, though all amounts fit."""
    story = _refunded()
    story.told[2] = replace(story.told[2], key="key-2")
    assert story.judged().duplicated == ("pi_1",)


def test_more_than_was_asked_for_is_duplicated() -> None:
    """Also what the merchant never heard of."""
    story = _refunded()
    del story.told[2]
    assert story.judged().duplicated == ("pi_1",)


def test_a_message_decided_twice_is_duplicated() -> None:
    """A book that has one message two times."""
    story = Story()
    story.lines *= 2
    assert story.judged().duplicated == ("pi_1",)


def test_a_number_used_twice_is_duplicated() -> None:
    """Two messages of one STAN and one second: a network cannot tell them apart."""
    story = _refunded()
    story.attempts[1] = replace(story.attempts[1], stan="000003", rrn="R2")
    story.lines[1] = _line("000003", posted_change=-300, rrn="R2")
    assert story.judged().duplicated == ("pi_1",)


def test_an_intent_that_the_merchant_cannot_read_is_lost() -> None:
    """The ledger has it, and nobody else does."""
    story = Story()
    story.seen = None
    assert story.judged().lost == ("pi_1",)


def test_a_payment_that_never_came_to_be_is_unresolved() -> None:
    """Its first request was not answered, so it has no intent."""
    story = Story()
    story.unanswered = ["payment 7"]
    verdict = story.judged()
    assert (verdict.unresolved, verdict.lost) == (("payment 7",), ())


def test_what_has_no_end_is_unresolved_and_not_compared() -> None:
    """Each kind of it is named."""
    story = Story()
    story.row = replace(story.row, status="pending_verification")
    assert story.judged().unresolved == ("pi_1",)
    story = Story()
    story.attempts[0] = replace(story.attempts[0], waits=True)
    assert story.judged().unresolved == ("pi_1",)
    story = Story()
    story.attempts[0] = replace(story.attempts[0], result="")
    assert story.judged().unresolved == ("pi_1",)
    story = Story()
    story.transactions[0] = replace(story.transactions[0], status="reversing")
    assert story.judged().unresolved == ("pi_1",)
    story = Story()
    story.unanswered = ["pi_1"]
    assert story.judged().unresolved == ("pi_1",)


def test_what_waits_for_a_person_is_told_apart() -> None:
    """A row that an operator must decide is an end, and its amounts are not judged."""
    story = Story()
    story.transactions[0] = replace(story.transactions[0], status="reversing")
    story.attempts[0] = replace(story.attempts[0], waits=True, manual=True)
    verdict = story.judged()
    assert verdict.holds
    assert verdict.manual == ("pi_1",)


def test_an_inquiry_leaves_no_line() -> None:
    """It moves nothing, so no book must have it, whatever it was answered."""
    story = Story()
    story.attempts.append(_attempt("txn_1", "000005", kind="inquiry", response_code="00"))
    story.attempts.append(_attempt("txn_1", "000006", kind="inquiry", result="unknown"))
    assert story.judged().holds


def test_a_message_refused_for_its_form_leaves_no_line() -> None:
    """Nothing was decided; a decline by an issuer was, and must be there."""
    refused = Story()
    refused.transactions.append(Transaction("txn_2", "pi_1", "refund", "failed", 5))
    refused.told.append(Told("pi_1", "key-2", "txn_2", "refund", "failed", 5))
    refused.attempts.append(_attempt("txn_2", "000002", result="declined", response_code="30"))
    assert refused.judged().holds
    refused.attempts[1] = replace(refused.attempts[1], response_code="05")
    assert refused.judged().lost == ("pi_1",)
