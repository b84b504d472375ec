"""A connection's protocol state where a script, a record or MACs are in play. Pure.

Theory of operation. What `Acceptor` does in one tight loop is here taken apart, message by message:

    frame ─▶ decode ─▶ record ─▶ MAC ─▶ rules ─▶ decide ─▶ alter ─▶ pack ─▶ frame ─▶ deliver

Each stage asks the script's deeds whether something is to go wrong there. A message that the script
says nothing of passes all stages unharmed and leaves as it would without them. The decision is made
once, whatever becomes of its answer, so the network's books and record are always true.

Where there are MAC keys, `network_sim.guarding` says which messages are believed; the others are
answered 63 and not decided. An answer's MAC is made with the key of its question.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import attrs

from chassis.framing import Framer
from network_sim.acceptor import Acceptor, Reaction
from network_sim.answering import Answering, Direction, Question
from network_sim.decisions import Moment, Ruling
from network_sim.faults.actions import (
    Answer,
    Ignore,
    Initiate,
    Postpone,
    Redeliver,
    Stall,
)
from network_sim.faults.deliveries import Note, Steps, Write
from network_sim.faults.script import Deed
from network_sim.guarding import SECURITY_VIOLATION, Guard
from network_sim.macs import Verdict
from network_sim.messages import PARTIALLY_APPROVED, plain_answer
from network_sim.session import Answered
from switch.iso8583 import DE, DecodeError
from switch.iso8583.explain import fault_words, hints
from switch.iso8583.mti import NETWORK_MANAGEMENT_REQUEST, is_response


class ScriptedAcceptor(Acceptor):
    """One connection's protocol state, directed.

    Args:
        number: of the connection, from 1.
        direction: shared by the network's connections.
        framer: this connection's.
        others: as of `Acceptor`.
    """

    def __init__(self, *, number: int, direction: Direction, framer: Framer, **others: Any) -> None:
        super().__init__(dialect=direction.dialect, framer=framer, **others)
        self._number = number
        self._direction = direction
        self._answering = Answering(direction, framer)
        functions = direction.dialect.network_functions
        self._names = {value: name for name, value in functions.items()}
        self._guard = Guard(direction.dialect, direction.keys, direction.keys_changed)

    def ask(self, fields: Mapping[int, str], answered: Answered, now: Moment) -> bytes:
        """Frame an 0800 of the network's own, with a MAC where there is a key, and record it."""
        self.questions.ask(fields, answered)
        packed = self._direction.packer.pack(fields)
        self.note_sent(packed, fields, "asked by the network", now.at_us)
        return self._framer.wrap(packed)

    def steps_of(self, fields: Mapping[int, str], note: str) -> Steps:
        """What sends a message that answers nothing; raises EncodeError."""
        packed = self._direction.packer.pack(fields)
        return Note(packed, fields, note), Write(self._framer.wrap(packed))

    def note_sent(self, packed: bytes, fields: Mapping[int, str], text: str, at_us: int) -> None:
        """Record a message that leaves."""
        if self._direction.record is not None:
            self._direction.record.add("out", self._number, packed, fields, at_us, text)

    def _answer_all(self, frames: list[bytes], now: Moment, reaction: Reaction) -> list[bytes]:
        for frame in frames:
            if not frame:
                self._keep_alive(reaction)
            else:
                self._keep_alives = 0
                self._take(frame, now, reaction)
            if reaction.close:
                break
        return []

    def _take(self, frame: bytes, now: Moment, reaction: Reaction) -> None:
        """React to one message."""
        try:
            fields = self._codec.decode(frame)
        except DecodeError as error:
            self.counters.undecodable_total += 1
            reaction.fault = reaction.fault or f"undecodable message: {error}"
            if self._direction.record is not None:
                told = [fault_words(self._direction.dialect, error)]
                told += [f"hint: {hint}" for hint in hints(self._direction.dialect, frame, error)]
                self._note_received(frame, {}, now, f"undecodable: {'; '.join(told)}")
            return
        verdict, key = self._guard.judge(frame, fields, now.at_us)
        deeds: list[Deed] = []
        if not is_response(fields[0]):
            deeds = self._direction.script.deeds(fields, self._number, self._names)
        question = Question(frame, deeds, key)
        refused = "" if verdict in (None, Verdict.GOOD) else verdict.value
        self._note_received(frame, fields, now, "; ".join(filter(None, (refused, question.rules))))
        if refused and self._guard.wants_mac(fields):
            reaction.fault = reaction.fault or f"message {fields[0]}: {refused}"
            if not is_response(fields[0]):
                answer = plain_answer(fields, SECURITY_VIOLATION)
                reaction.deliveries += self._answering.deliveries(answer, question, 0)
            return
        if question.all(Ignore):
            reaction.deliveries += self._answering.endings(question)
        elif postponements := question.all(Postpone):
            after_s = sum(each.s for each in postponements) * self._direction.time_factor
            reaction.postponed.append((after_s, partial(self._resume, fields, question)))
        else:
            self._react(fields, question, now, reaction)
            for _ in question.all(Redeliver):
                self._react(fields, attrs.evolve(question, deeds=()), now, reaction)
        for stall in question.all(Stall):
            reaction.stall_s = stall.s * self._direction.time_factor
        reaction.initiatives += [action.function for action in question.all(Initiate)]

    def _resume(self, fields: dict[int, str], question: Question, now: Moment) -> Reaction:
        """React to a message that was under way until now."""
        reaction = Reaction()
        self._react(fields, question, now, reaction)
        return reaction

    def _note_received(
        self, frame: bytes, fields: Mapping[int, str], now: Moment, text: str
    ) -> None:
        if self._direction.record is not None:
            self._direction.record.add("in", self._number, frame, fields, now.at_us, text)

    def _react(
        self, fields: dict[int, str], question: Question, now: Moment, reaction: Reaction
    ) -> None:
        """Decide a message that the network has taken in, and let the answer leave."""
        mti = fields[0]
        ruling = self._ruling(fields, question)
        delay_ms = 0
        if mti == NETWORK_MANAGEMENT_REQUEST:
            answer = self.session.answer(fields, ruling.response_code)
        elif self.session.signed_on and mti in self._answered:
            decision = self._issuer.decide(fields, now, ruling)
            answer, delay_ms = decision.answer, decision.delay_ms
            if decision.line:
                reaction.lines.append(decision.line)
        else:
            self._outside(fields, question.frame, reaction)
            return
        if self._answering.withheld(question, delay_ms):
            self.counters.withheld_total += 1
            reaction.deliveries += self._answering.endings(question)
        else:
            reaction.deliveries += self._answering.deliveries(answer, question, delay_ms)

    def _ruling(self, fields: Mapping[int, str], question: Question) -> Ruling:
        """What the script says of the decision."""
        code, approved = "", 0
        for action in question.all(Answer):
            code = action.code
            if code == PARTIALLY_APPROVED:
                asked = int(fields.get(DE.AMOUNT, "0"))
                approved = min(action.approved or asked * action.percent // 100, asked)
        held_s = question.held_back_s * self._direction.time_factor
        return Ruling(code, approved, round(held_s * 1000))
