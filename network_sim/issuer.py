"""The issuer behind the network: every decision on money, pure.

Theory of operation. `Issuer.decide` takes one decoded message and the batch's time, and returns
the answer's fields, how long to hold the answer back, and the line for the network's record. It
decides in this order, first hit wins:

1. a message type it does not handle: 40; a mandatory element missing: 30;
2. the message was decided before (same DE 32, 11, 7, 37, 42): the same answer again if it repeats
   the same MTI, processing code, amount, currency and card, otherwise 94; nothing is recorded;
3. a reversal of it came first: 05, so that what was reversed never moves money;
4. amount zero outside a verification: 13;
5. the card (`network_sim.cards`); an approval turns into 54 where DE 14 lies in the past.

A reversal is always accepted, and marks its original (by DE 90, 32, 37, 42) as reversed whether it
is known or not. Reversals of a part (DE 95) are answered 40: they would need holds.

What is remembered is read back from the record after a start, so a repeat gets the same answer even
if the process was killed in between.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Final

import attrs
from msgspec import Struct

from network_sim import messages
from network_sim.cards import CardBook, Outcome
from network_sim.journal import NEVER_MS, Entry, format_line, message_body, message_key
from network_sim.memory import Decided, DecidedMessages
from switch.iso8583 import Dialect

_EXPIRED = Outcome(messages.EXPIRED_CARD)
_REVERSED_FIRST = Outcome(messages.DO_NOT_HONOR)
_INVALID_AMOUNT = Outcome(messages.INVALID_AMOUNT)
_OWN_CODES: Final = {
    outcome.response_code for outcome in (_EXPIRED, _REVERSED_FIRST, _INVALID_AMOUNT)
}
_REMAINING_DIGITS: Final = 12  # of DE 95: the amount that stays


class Moment(Struct, frozen=True, gc=False):
    """The time of one batch of decisions."""

    at_us: int  # microseconds since 1970, UTC
    month: str  # YYMM, comparable with DE 14

    @classmethod
    def at(cls, at_us: int) -> Moment:
        """From microseconds since 1970."""
        instant = datetime.fromtimestamp(at_us // 1_000_000, UTC)
        return cls(at_us, f"{instant.year % 100:02d}{instant.month:02d}")


class Decision(Struct, gc=False):
    """What the network does with one message."""

    answer: dict[int, str]
    delay_ms: int = 0  # before the answer leaves; `NEVER_MS` = it never does
    line: str = ""  # for the record; empty where nothing new was decided


@attrs.define
class IssuerCounters:
    """Plain counters, read by `network_sim.metrics`."""

    decided: dict[str, int]  # new decisions by response code
    refused: dict[str, int]  # messages that could not be decided, by response code
    repeats_total: int = 0  # answered again from memory
    conflicts_total: int = 0  # same key, another body: 94
    reversals_first_total: int = 0  # messages that their reversal had overtaken


class Issuer:
    """The issuers of one network.

    Args:
        cards: which card gets which answer.
        dialect: names the mandatory elements of each message.
        late_ms: how long a late approval is held back.
        remembered_max: messages remembered for repeats.
    """

    def __init__(
        self, cards: CardBook, dialect: Dialect, *, late_ms: int, remembered_max: int
    ) -> None:
        self._cards = cards
        self._mandatory = dialect.mandatory
        self._late_ms = late_ms
        self._messages = DecidedMessages(remembered_max)
        self.counters = IssuerCounters(
            decided=dict.fromkeys(sorted(cards.codes | _OWN_CODES), 0),
            refused=dict.fromkeys((messages.FORMAT_ERROR, messages.NOT_SUPPORTED), 0),
        )

    @property
    def remembered(self) -> int:
        """Messages in memory."""
        return len(self._messages)

    def restore(self, entries: Iterable[Entry]) -> None:
        """Remember what an earlier process decided; entries oldest first."""
        for entry in entries:
            earlier = self._messages.get(entry.key)
            decided = Decided(
                entry.body,
                entry.response_code,
                entry.answer_delay_ms,
                reversed=earlier is not None and earlier.reversed,
            )
            self._messages.add(entry.key, decided)
            if entry.original:
                self._mark_reversed(entry.original_key)

    def decide(self, fields: Mapping[int, str], now: Moment) -> Decision:
        """Decide one request or advice.

        Raises:
            ValueError: the message is itself an answer; there is nothing to say to it.
        """
        mti = fields[0]
        if mti not in messages.HANDLED:
            return self._refuse(fields, messages.NOT_SUPPORTED)
        if self._mandatory[mti].difference(fields):
            return self._refuse(fields, messages.FORMAT_ERROR)
        key = message_key(fields[32], fields[11], fields[7], fields[37], fields[42])
        body = message_body(mti, fields[3], fields[4], fields[49], fields[2])
        known = self._messages.get(key)
        if known is not None and known.body:
            return self._repeat(fields, known, body)
        if mti in messages.REVERSAL_ANSWERS:
            return self._reverse(fields, now, key, body)
        outcome = self._outcome(fields, now) if known is None else self._reversed_first()
        code = outcome.response_code
        delay_ms = 0 if outcome.delivery == "at_once" else self._delay_ms(outcome)
        self._messages.add(key, Decided(body, code, delay_ms, known is not None))
        self.counters.decided[code] += 1
        answer = messages.authorization_answer(fields, code)
        line = format_line(now.at_us, key, body, answer, delay_ms)
        return Decision(answer, delay_ms, line)

    def _outcome(self, fields: Mapping[int, str], now: Moment) -> Outcome:
        """What happens to an authorization that is heard of for the first time."""
        if fields[4] == messages.ZERO_AMOUNT and fields[3][:2] != messages.VERIFICATION:
            return _INVALID_AMOUNT
        outcome = self._cards.outcome(fields[2])
        if outcome.response_code == messages.APPROVED and fields[14] < now.month:
            return _EXPIRED
        return outcome

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
                return round(outcome.delay_s * 1000)

    def _repeat(self, fields: Mapping[int, str], known: Decided, body: str) -> Decision:
        if known.body != body:
            self.counters.conflicts_total += 1
            return Decision(messages.plain_answer(fields, messages.DUPLICATE))
        self.counters.repeats_total += 1
        if fields[0] in messages.REVERSAL_ANSWERS:
            return Decision(messages.plain_answer(fields, known.response_code))
        answer = messages.authorization_answer(fields, known.response_code)
        return Decision(answer, known.answer_delay_ms)

    def _refuse(self, fields: Mapping[int, str], code: str) -> Decision:
        self.counters.refused[code] += 1
        return Decision(messages.plain_answer(fields, code))

    def _reverse(self, fields: Mapping[int, str], now: Moment, key: str, body: str) -> Decision:
        if fields.get(95, "0")[:_REMAINING_DIGITS].strip("0"):
            return self._refuse(fields, messages.NOT_SUPPORTED)
        original = fields[90][4:20]  # STAN and DE 7
        stan, de7 = original[:6], original[6:]
        self._mark_reversed(message_key(fields[32], stan, de7, fields[37], fields[42]))
        self._messages.add(key, Decided(body, messages.APPROVED, 0))
        self.counters.decided[messages.APPROVED] += 1
        answer = messages.plain_answer(fields, messages.APPROVED)
        return Decision(answer, 0, format_line(now.at_us, key, body, answer, 0, original=original))

    def _mark_reversed(self, original_key: str) -> None:
        original = self._messages.get(original_key)
        if original is None:
            self._messages.add(original_key, Decided("", "", 0, reversed=True))
        else:
            original.reversed = True
