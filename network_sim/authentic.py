"""A connection whose messages carry MACs, and of which nobody wants anything else. Pure.

The loop of `Acceptor` with its MACs judged and made, so that a network that authenticates is still
fast enough to load a switch: the answers to one read leave together. A script or a record needs
each message taken apart (`network_sim.scripted`), which costs several times as much.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from network_sim.acceptor import Acceptor, Reaction
from network_sim.answering import Direction
from network_sim.decisions import Moment
from network_sim.guarding import SECURITY_VIOLATION, Guard
from network_sim.keys import MacKey
from network_sim.macs import Verdict, seal, with_mac_elements
from network_sim.messages import plain_answer
from switch.iso8583 import DecodeError
from switch.iso8583.mti import is_response


class AuthenticAcceptor(Acceptor):
    """One connection's protocol state.

    Args:
        direction: the network's keys; its script has no rules and it keeps no record.
        others: as of `Acceptor`.
    """

    def __init__(self, *, direction: Direction, **others: Any) -> None:
        super().__init__(dialect=direction.dialect, **others)
        self._packer = direction.packer
        self._guard = Guard(direction.dialect, direction.keys, direction.keys_changed)
        self._key: MacKey | None = None  # of the question that is being answered

    def _pack(self, fields: Mapping[int, str]) -> bytes:
        """An answer's MAC is made with the key of its question, any other with the current one."""
        key = self._key
        if key is None:
            return self._packer.pack(fields)
        return seal(self._codec.encode(with_mac_elements(fields, key)), key)

    def ask(self, fields: Mapping[int, str], answered: Any, now: Moment) -> bytes:
        """Frame an 0800 of the network's own; `answered` hears of its 0810."""
        self._key = None
        return super().ask(fields, answered, now)

    def _answer_all(self, frames: list[bytes], now: Moment, reaction: Reaction) -> list[bytes]:
        decode, decide, judge = self._codec.decode, self._issuer.decide, self._guard.judge
        wrap, pack, session = self._framer.wrap, self._pack, self.session
        answers: list[bytes] = []
        for frame in frames:
            if reaction.close:
                break
            if not frame:
                self._keep_alive(reaction)
                continue
            self._keep_alives = 0
            try:
                fields = decode(frame)
            except DecodeError as error:
                self.counters.undecodable_total += 1
                reaction.fault = reaction.fault or f"undecodable message: {error}"
                continue
            verdict, self._key = judge(frame, fields, now.at_us)
            if verdict is not Verdict.GOOD and self._guard.wants_mac(fields):
                answers += self._refuse(fields, frame, verdict, reaction)
            elif session.signed_on and fields[0] in self._answered:
                decision = decide(fields, now)
                if decision.line:
                    reaction.lines.append(decision.line)
                if decision.delay_ms == 0:
                    answers.append(wrap(pack(decision.answer), frame))
                else:
                    self._hold_back(decision, frame, reaction)
            else:
                answers += self._outside(fields, frame, reaction)
        return answers

    def _refuse(
        self, fields: dict[int, str], frame: bytes, verdict: Verdict | None, reaction: Reaction
    ) -> list[bytes]:
        """Answer what cannot be believed; nothing is decided."""
        reaction.fault = reaction.fault or f"message {fields[0]}: {verdict}"
        if is_response(fields[0]):
            return []
        return [self._framer.wrap(self._pack(plain_answer(fields, SECURITY_VIOLATION)), frame)]
