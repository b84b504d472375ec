"""The issuer behind the network: every decision on money, pure.

Theory of operation. `Issuer.decide` takes one decoded message and the batch's time, and returns
the answer's fields, how long to hold the answer back, and the line for the network's record. It
decides in this order, first hit wins:

1. a message type it does not handle: 40; a mandatory element missing: 30;
2. inquiries and reconciliation, which move nothing (`network_sim.questions`);
3. the message was decided before (same DE 32, 11, 7, 37, 42): the same answer again if it repeats
   the same MTI, processing code, amount, currency, card and original, otherwise 94;
4. captures and reversals, by what they are about (`network_sim.advices`);
5. a reversal of it came first: 05, so that what was reversed never moves money;
6. amount zero outside a verification, or anything else in one: 13;
7. the card (`network_sim.cards`); an approval turns into 54 where DE 14 lies in the past.

An approval changes the books (`network_sim.books`): an authorization holds its amount, a sale posts
it, a refund posts it back, a verification does nothing and is answered 85. What was decided is
recorded; repeats and questions are not, for they decide nothing. A new process gets its books back
from the record, so every answer is the same even if the old one was killed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Final, Literal

from msgspec.structs import replace

from network_sim import advices, messages, questions
from network_sim.books import Books
from network_sim.cards import CardBook, Outcome
from network_sim.decisions import OTHER_CODE, Decision, IssuerCounters, Moment, Ruling
from network_sim.holds import Hold, hold_key
from network_sim.journal import (
    NEVER_MS,
    Entry,
    format_line,
    message_body,
    message_key,
    shown_pan,
)
from network_sim.memory import Decided
from network_sim.messages import AUTHORIZATION_ANSWERS
from network_sim.totals import Totals
from switch.iso8583 import Dialect

_EXPIRED = Outcome(messages.EXPIRED_CARD)
_REVERSED_FIRST = Outcome(messages.DO_NOT_HONOR)
_INVALID_AMOUNT = Outcome(messages.INVALID_AMOUNT)
_NOT_SUPPORTED = Outcome(messages.NOT_SUPPORTED)
_OWN_CODES: Final = frozenset(
    {
        messages.EXPIRED_CARD,
        messages.DO_NOT_HONOR,
        messages.INVALID_AMOUNT,
        messages.INVALID_TRANSACTION,
        messages.NOT_SUPPORTED,
        messages.NO_ACTION,
        messages.NOT_FOUND,
        messages.VERIFIED,
    }
)

Fields = Mapping[int, str]
Sales = Literal["single", "dual", "both"]
# The class digit of the MTI of sales that a network does not take.
_REFUSED_CLASSES: Final[Mapping[Sales, str]] = {"single": "1", "dual": "2", "both": ""}


class Issuer:
    """The issuers of one network.

    Args:
        cards: which card gets which answer.
        dialect: names the mandatory elements of each message.
        books: what was decided, held and posted so far.
        late_ms: how long a late approval is held back.
        time_factor: what the delays of slow cards are multiplied by.
        sales: single = a sale is an 0200, dual = an 0100 and its captures, both = either. The
            other way is answered 40; refunds are 0200s and verifications 0100s everywhere.
    """

    def __init__(
        self,
        cards: CardBook,
        dialect: Dialect,
        books: Books,
        *,
        late_ms: int,
        time_factor: float = 1.0,
        sales: Sales = "both",
    ) -> None:
        self._refused_class = _REFUSED_CLASSES[sales]
        self._cards = cards
        self._mandatory = dialect.mandatory
        self._books = books
        self._late_ms = late_ms
        self._time_factor = time_factor
        self.counters = IssuerCounters(
            decided=dict.fromkeys([*sorted(cards.codes | _OWN_CODES), OTHER_CODE], 0),
            refused=dict.fromkeys((messages.FORMAT_ERROR, messages.NOT_SUPPORTED), 0),
        )

    @property
    def remembered(self) -> int:
        """Messages in memory."""
        return len(self._books.messages)

    @property
    def settlement_date(self) -> str:
        """What is answered now settles on this date, YYYY-MM-DD."""
        return self._books.settlement_date

    def cut_over(self, day: date) -> None:
        """Begin a settlement date."""
        self._books.cut_over(day)

    def hold(self, acquirer_id: str, rrn: str, card_acceptor_id: str) -> Hold | None:
        """The hold of a payment, by DE 32, 37 and 42 as on the wire."""
        return self._books.holds.get(hold_key(acquirer_id, rrn, card_acceptor_id))

    def totals(self, acquirer_id: str, currency: str, settlement_date: str) -> Totals:
        """What moved for an acquirer, by numeric currency and date (YYYY-MM-DD)."""
        return self._books.totals(acquirer_id, currency, settlement_date)

    def restore(self, entries: Iterable[Entry], *, since_us: int = 0) -> None:
        """Take in what earlier processes recorded, oldest first.

        Args:
            entries: the whole record.
            since_us: older messages are repeated no more; their money counts all the same.
        """
        for entry in entries:
            self._books.restore(entry, remember=entry.decided_at_us >= since_us)

    def decide(self, fields: Fields, now: Moment, ruling: Ruling | None = None) -> Decision:
        """Decide one request or advice.

        Raises:
            ValueError: the message is itself an answer; there is nothing to say to it.
        """
        mti = fields[0]
        if mti not in AUTHORIZATION_ANSWERS:
            return self._decide_other(fields, now, ruling)
        if self._mandatory[mti].difference(fields):
            return self._refuse(fields, messages.FORMAT_ERROR)
        books = self._books
        key = identity = message_key(fields[32], fields[11], fields[7], fields[37], fields[42])
        if not books.de7_identifies:
            identity = books.identity(fields[32], fields[11], "", fields[37], fields[42])
        pan = shown_pan(fields[2])
        body = f"{mti[:3]}0\t{fields[3]}\t{fields[4]}\t{fields[49]}\t{pan}"
        known = books.messages.get(identity)
        if known is not None and known.body:
            return self._repeat(fields, known, body, ruling)
        outcome = self._outcome(fields, now, ruling) if known is None else self._reversed_first()
        code = outcome.response_code
        delay_ms = 0 if outcome.delivery == "at_once" else self._delay_ms(outcome)
        answer = messages.authorization_answer(fields, code, books.settles)
        decided = Decided(body, code, delay_ms, known is not None)
        books.messages.add(identity, decided)
        self.counters.count(code)
        held = posted = 0
        settlement_date = ""
        if 15 in answer:  # an approval
            settlement_date = books.settlement_date
            decided.settles = books.settles
            if code == messages.PARTIALLY_APPROVED and ruling is not None:
                messages.make_partial(answer, ruling.approved)
            amount = int(answer[4])
            if mti[1] == "2":
                posted = decided.posted = -amount if fields[3][:2] == messages.REFUND else amount
                books.post(fields[32], fields[49], posted)
            elif code != messages.VERIFIED:
                held = amount
                decided.hold = books.hold(answer, pan, amount)
        if delay_ms > 0 or ruling is not None:
            _note_way(decided, now, ruling)
        line = format_line(
            now.at_text, key, body, answer, delay_ms, "", settlement_date, held, posted
        )
        return Decision(answer, delay_ms, line)

    def _outcome(self, fields: Fields, now: Moment, ruling: Ruling | None) -> Outcome:
        """What happens to a payment that is heard of for the first time."""
        if ruling is not None and ruling.response_code:
            return Outcome(ruling.response_code)
        purpose = fields[3][:2]
        verifies = purpose == messages.VERIFICATION
        if (fields[4] == messages.ZERO_AMOUNT) is not verifies:
            return _INVALID_AMOUNT
        if fields[0][1] == self._refused_class and purpose not in messages.ANY_CLASS:
            return _NOT_SUPPORTED
        outcome = self._cards.outcome(fields[2])
        if outcome.response_code != messages.APPROVED or purpose == messages.REFUND:
            return outcome
        if fields[14] < now.month:
            return _EXPIRED
        return replace(outcome, response_code=messages.VERIFIED) if verifies else outcome

    def _reversed_first(self) -> Outcome:
        self.counters.reversals_first_total += 1
        return _REVERSED_FIRST

    def _delay_ms(self, outcome: Outcome) -> int:
        match outcome.delivery:
            case "late":
                return self._late_ms
            case "silent":
                return NEVER_MS
            case _:
                return round(outcome.delay_s * self._time_factor * 1000)

    def _repeat(self, fields: Fields, known: Decided, body: str, ruling: Ruling | None) -> Decision:
        """Answer a message that was decided before; nothing is decided."""
        if ruling is not None and ruling.response_code not in ("", known.response_code):
            return Decision(messages.plain_answer(fields, ruling.response_code))
        if known.body != body:
            self.counters.conflicts_total += 1
            return Decision(messages.plain_answer(fields, messages.DUPLICATE))
        self.counters.repeats_total += 1
        code = known.response_code
        if fields[0] not in AUTHORIZATION_ANSWERS:
            return Decision(messages.advice_answer(fields, code, known.settles))
        answer = messages.authorization_answer(fields, code, known.settles)
        if code == messages.PARTIALLY_APPROVED:
            messages.make_partial(answer, known.approved)
        return Decision(answer, known.answer_delay_ms)

    def _refuse(self, fields: Fields, code: str) -> Decision:
        self.counters.refused[code] += 1
        return Decision(messages.plain_answer(fields, code))

    def _decide_other(self, fields: Fields, now: Moment, ruling: Ruling | None) -> Decision:
        """Decide what is no payment: a capture, a reversal, a question."""
        mti = fields[0]
        if mti not in messages.HANDLED:
            return self._refuse(fields, messages.NOT_SUPPORTED)
        if self._mandatory[mti].difference(fields):
            return self._refuse(fields, messages.FORMAT_ERROR)
        if ruling is not None and ruling.response_code not in ("", messages.APPROVED):
            return Decision(messages.plain_answer(fields, ruling.response_code))
        if mti in messages.QUESTIONS:
            return self._ask(fields, now)
        identity = self._books.identity(fields[32], fields[11], fields[7], fields[37], fields[42])
        body = message_body(mti, fields[3], fields[4], fields[49], fields[2])
        original = advices.named_original(fields) if mti in messages.REVERSALS else ""
        whole = f"{body}\t{original}" if original else body
        known = self._books.messages.get(identity)
        if known is not None and known.body:
            return self._repeat(fields, known, whole, ruling)
        code, held, posted = self._advise(fields, overtaken=known is not None)
        settled = code == messages.APPROVED
        settles = self._books.settles if settled else ""
        decided = Decided(whole, code, 0, known is not None, settles, posted)
        self._books.messages.add(identity, decided)
        self.counters.count(code)
        _note_way(decided, now, ruling)
        answer = messages.advice_answer(fields, code, settles)
        line = format_line(
            now.at_text,
            message_key(fields[32], fields[11], fields[7], fields[37], fields[42]),
            body,
            answer,
            0,
            original,
            self._books.settlement_date if settled else "",
            held,
            posted,
        )
        return Decision(answer, 0, line)

    def _advise(self, fields: Fields, *, overtaken: bool) -> advices.Verdict:
        """Decide a capture or a reversal that is new."""
        if overtaken:  # by its own reversal
            self.counters.reversals_first_total += 1
            return messages.INVALID_TRANSACTION, 0, 0
        if fields[0] in messages.CAPTURES:
            return advices.capture(self._books, fields, shown_pan(fields[2]))
        return advices.reverse(self._books, fields)

    def _ask(self, fields: Fields, now: Moment) -> Decision:
        """Answer what moves nothing."""
        if fields[0] in messages.RECONCILIATIONS:
            self.counters.reconciliations_total += 1
            return Decision(questions.reconcile(self._books, fields))
        self.counters.inquiries_total += 1
        silent = self._cards.outcome(fields[2]).inquiries == "silent"
        answer = questions.inquire(self._books, fields, now.at_us)
        return Decision(answer, NEVER_MS if silent else 0)


def _note_way(decided: Decided, now: Moment, ruling: Ruling | None) -> None:
    """Note how long the answer is under way, for inquiries."""
    way_ms = max(decided.answer_delay_ms, 0) + (ruling.under_way_ms if ruling is not None else 0)
    if way_ms:
        decided.under_way_until_us = now.at_us + way_ms * 1_000
