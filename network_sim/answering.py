"""From a decided answer to what is sent of it: altered, packed, framed, planned. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import attrs

from chassis.framing import Framer
from network_sim.faults.actions import (
    Alter,
    Close,
    Delay,
    Duplicate,
    Interim,
    Unsolicited,
    Withhold,
)
from network_sim.faults.alterations import altered
from network_sim.faults.deliveries import Delivery, Note, delivery_of, reframed, steps_of
from network_sim.faults.script import Deed, FaultScript
from network_sim.keys import KeyServer, MacKey
from network_sim.packing import Packer
from network_sim.record import Record
from switch.iso8583 import DE, Dialect, EncodeError

_Action = TypeVar("_Action")


@attrs.frozen(kw_only=True)
class Direction:
    """What all connections of a network that is not left to itself share.

    Attributes:
        dialect: of the messages.
        packer: packs what is sent.
        script: what goes wrong.
        record: of every message; None = nobody asks.
        keys: makes and judges MACs; None = messages carry none.
        keys_changed: called after a key was taken over.
        time_factor: what seconds of a script are multiplied by.
    """

    dialect: Dialect
    packer: Packer
    script: FaultScript
    record: Record | None
    keys: KeyServer | None
    keys_changed: Callable[[], None]
    time_factor: float

    @property
    def only_keys(self) -> bool:
        """Whether nothing but MACs is asked of a new connection."""
        return self.keys is not None and self.record is None and not len(self.script)


@attrs.frozen
class Question:
    """What an answer answers.

    Attributes:
        frame: as the framer cut it.
        deeds: what the script wants done to the answer.
        key: that its MAC was made with, if it had one.
    """

    frame: bytes
    deeds: Sequence[Deed]
    key: MacKey | None

    def all(self, kind: type[_Action]) -> list[_Action]:
        """The script's actions of one kind."""
        return [deed.action for deed in self.deeds if isinstance(deed.action, kind)]

    @property
    def held_back_s(self) -> float:
        """How long the script holds the answer back, not yet scaled."""
        delays = sum(action.s for action in self.all(Delay))
        return delays + sum(action.s for action in self.all(Interim))

    @property
    def rules(self) -> str:
        """The names of the rules that apply."""
        return ", ".join(dict.fromkeys(deed.rule for deed in self.deeds))


class Answering:
    """Plans what leaves on one connection.

    Args:
        direction: shared by the network's connections.
        framer: of the connection.
    """

    def __init__(self, direction: Direction, framer: Framer) -> None:
        self._direction = direction
        self._framer = framer

    def withheld(self, question: Question, delay_ms: int) -> bool:
        """Whether no answer leaves, by the card or by the script."""
        return delay_ms < 0 or bool(question.all(Withhold))

    def endings(self, question: Question) -> list[Delivery]:
        """What happens to the connection where nothing is answered."""
        ends = [deed for deed in question.deeds if isinstance(deed.action, Close)]
        return [delivery_of(steps_of(b"", ends, b""), (), after_s=0)] if ends else []

    def deliveries(
        self, answer: Mapping[int, str], question: Question, delay_ms: int
    ) -> list[Delivery]:
        """Everything that leaves for one question, in the order of the script's actions."""
        factor, rules = self._direction.time_factor, question.rules
        after_s = delay_ms / 1000
        planned: list[Delivery] = []
        for interim in question.all(Interim):
            early = {**answer, DE.RESPONSE_CODE: interim.code}
            early.pop(DE.APPROVAL_CODE, None)
            planned.append(self._plain(early, question, after_s, f"{rules}: interim"))
            after_s += interim.s * factor
        after_s += sum(action.s for action in question.all(Delay)) * factor
        for alter in question.all(Alter):
            answer = altered(answer, alter, self._direction.dialect)
        planned.append(self._delivery(answer, question, after_s, rules))
        for again in question.all(Duplicate):
            copy = dict(answer)
            if again.code is not None:
                copy[DE.RESPONSE_CODE] = again.code
            for number in range(1, again.times + 1):
                later_s = after_s + again.after_s * number * factor
                planned.append(self._plain(copy, question, later_s, f"{rules}: again"))
        for stray in question.all(Unsolicited):
            copy = altered(answer, stray, self._direction.dialect)
            planned.append(self._plain(copy, question, after_s, f"{rules}: unsolicited"))
        return planned

    def _plain(
        self, answer: Mapping[int, str], question: Question, after_s: float, note: str
    ) -> Delivery:
        """An answer that nothing is done to on its way."""
        return self._delivery(answer, attrs.evolve(question, deeds=()), after_s, note)

    def _delivery(
        self, answer: Mapping[int, str], question: Question, after_s: float, note: str
    ) -> Delivery:
        deeds, framer = question.deeds, self._framer
        try:
            packed = self._direction.packer.pack(answer, deeds, question.key)
        except EncodeError as error:
            return Delivery(steps=(Note(b"", {}, f"{note}: cannot be packed: {error}"),))
        framed = reframed(
            framer.wrap(packed, question.frame), deeds, self._direction.dialect.framing
        )
        steps = (Note(packed, answer, note), *steps_of(framed, deeds, framer.wrap(b"")))
        return delivery_of(steps, deeds, after_s=after_s)
