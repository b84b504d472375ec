"""Bytes in, bytes out: everything one connection of the acquirer makes the network do. Pure.

Theory of operation. `Acceptor.receive` takes what one read returned and reacts to the whole of it:
the answers that leave now as one chunk, those that leave later, and the lines for the record. The
shell (`network_sim.connection`) writes the lines first, then hands the chunk to its writer.

Bad input, from mild to fatal:

- an undecodable message, an answer nobody asked for: counted, the connection stays, no answer is
  possible because nothing in it can be trusted;
- zero-length frames: taken as keep-alive signs and never echoed; too many in a row close;
- a financial message outside a session: closes;
- a frame length out of bounds: closes, since where the next frame begins cannot be known. Frames
  that arrived whole before it are still decided.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import attrs
from msgspec import Struct, field

from chassis.framing import FrameError, Framer
from network_sim.decisions import Decision, Moment
from network_sim.faults.deliveries import Delivery
from network_sim.issuer import Issuer
from network_sim.session import Answered, Questions, Session
from switch.iso8583 import DecodeError, Dialect
from switch.iso8583.mti import (
    NETWORK_MANAGEMENT_REQUEST,
    NETWORK_MANAGEMENT_RESPONSE,
    response_mti,
)


class Codec(Protocol):
    """What turns fields into a message and back: a dialect, or the reference codec."""

    def encode(self, fields: Mapping[int, str], /) -> bytes:
        """Encode; raises EncodeError."""
        ...

    def decode(self, data: bytes, /) -> dict[int, str]:
        """Decode; raises DecodeError."""
        ...


@attrs.define
class FrameCounters:
    """Plain counters of what arrived, over all connections of a network."""

    frames_total: int = 0
    keep_alives_total: int = 0
    undecodable_total: int = 0
    unasked_total: int = 0  # answers, or messages that have none in the dialect
    withheld_total: int = 0  # answers never sent: silent cards


class Reaction(Struct, gc=False):
    """What one read leads to."""

    output: bytes = b""  # framed answers that leave at once
    delayed: list[tuple[int, bytes]] = field(default_factory=list)  # (milliseconds, framed answer)
    lines: list[str] = field(default_factory=list)  # for the record, before anything leaves
    fault: str = ""  # the first thing wrong, without data; for the log
    close: str = ""  # why the connection must end after `output`; empty = it goes on
    # By a script: what is sent, instead of the first two; whether to read on; what to ask the peer.
    deliveries: list[Delivery] = field(default_factory=list)
    stall_s: float | None = None  # 0 = for ever
    initiatives: list[str] = field(default_factory=list)  # functions of 0800s
    # What is to be done later, given the time it is then; seconds from now.
    postponed: list[tuple[float, Callable[[Moment], Reaction]]] = field(default_factory=list)


class Acceptor:
    """One connection's protocol state.

    Args:
        codec: encodes and decodes.
        dialect: the message types that are answered, and the values of DE 70.
        issuer: shared by all connections of the network.
        framer: this connection's; lets zero-length frames through.
        counters: shared by all connections of the network.
        keep_alives_max: zero-length frames in a row that are put up with.

        session: of this connection; None = a new one that wants a sign-on.

    Attributes:
        counters: as given.
        session: whether the peer is signed on.
        questions: what the network has asked the peer.
    """

    def __init__(
        self,
        *,
        codec: Codec,
        dialect: Dialect,
        issuer: Issuer,
        framer: Framer,
        counters: FrameCounters,
        keep_alives_max: int,
        session: Session | None = None,
    ) -> None:
        self._codec = codec
        self._answered = answered_mtis(dialect) - {NETWORK_MANAGEMENT_REQUEST}
        self._issuer = issuer
        self._framer = framer
        self.counters = counters
        self._keep_alives_max = keep_alives_max
        self._keep_alives = 0
        self.session = session or Session(dialect)
        self.questions = Questions()

    def receive(self, data: bytes, now: Moment) -> Reaction:
        """React to what one read returned.

        Raises:
            FrameError: an answer is larger than a frame may be: our fault, nothing of this read
                may be answered.
        """
        reaction = Reaction()
        try:
            frames = self._framer.feed(data)
        except FrameError as error:
            reaction.close = str(error)
            return reaction
        self.counters.frames_total += len(frames)
        answers = self._answer_all(frames, now, reaction)
        if self._framer.broken is not None and not reaction.close:
            reaction.close = str(self._framer.broken)
        if answers:
            reaction.output = b"".join(answers)
        return reaction

    def _answer_all(self, frames: list[bytes], now: Moment, reaction: Reaction) -> list[bytes]:
        """Return the framed answers that leave at once; what else the frames lead to is noted.

        One loop for a whole read: under load every frame is a financial message in a session.
        """
        decode, decide, encode = self._codec.decode, self._issuer.decide, self._codec.encode
        answered, session, lines = self._answered, self.session, reaction.lines
        wrap = self._framer.wrap
        answers: list[bytes] = []
        for frame in frames:
            if not frame:
                self._keep_alive(reaction)
                if reaction.close:
                    break
                continue
            self._keep_alives = 0
            try:
                fields = decode(frame)
            except DecodeError as error:
                self.counters.undecodable_total += 1
                reaction.fault = reaction.fault or f"undecodable message: {error}"
                continue
            if not (session.signed_on and fields[0] in answered):
                answers += self._outside(fields, frame, reaction)
                if reaction.close:
                    break
                continue
            decision = decide(fields, now)
            if decision.line:
                lines.append(decision.line)
            if decision.delay_ms == 0:
                answers.append(wrap(encode(decision.answer), frame))
            else:
                self._hold_back(decision, frame, reaction)
        return answers

    def ask(self, fields: Mapping[int, str], answered: Answered, now: Moment) -> bytes:
        """Frame an 0800 of the network's own; `answered` hears of its 0810."""
        del now
        self.questions.ask(fields, answered)
        return self._framer.wrap(self._pack(fields))

    def _pack(self, fields: Mapping[int, str]) -> bytes:
        """A message as its frame holds it."""
        return self._codec.encode(fields)

    def _keep_alive(self, reaction: Reaction) -> None:
        self.counters.keep_alives_total += 1
        self._keep_alives += 1
        if self._keep_alives > self._keep_alives_max:
            reaction.close = f"more than {self._keep_alives_max} zero-length frames in a row"

    def _outside(self, fields: dict[int, str], frame: bytes, reaction: Reaction) -> list[bytes]:
        """Answer network management; refuse what is out of place. Financial traffic is neither."""
        mti = fields[0]
        if mti == NETWORK_MANAGEMENT_REQUEST:
            return [self._framer.wrap(self._pack(self.session.answer(fields)), frame)]
        if mti == NETWORK_MANAGEMENT_RESPONSE and self.questions.settle(fields):
            return []
        if mti not in self._answered:
            self.counters.unasked_total += 1
            reaction.fault = reaction.fault or f"message {mti} has no answer"
        else:
            reaction.close = f"message {mti} while {self.session.state.value}"
        return []

    def _hold_back(self, decision: Decision, frame: bytes, reaction: Reaction) -> None:
        """Keep an answer for later, or for ever."""
        if decision.delay_ms < 0:
            self.counters.withheld_total += 1
            return
        answer = self._framer.wrap(self._pack(decision.answer), frame)
        reaction.delayed.append((decision.delay_ms, answer))


def answered_mtis(dialect: Dialect) -> frozenset[str]:
    """The message types of a dialect that ask for an answer it has."""
    return frozenset(mti for mti in dialect.mtis if _answer_to(mti) in dialect.mtis)


def _answer_to(mti: str) -> str:
    try:
        return response_mti(mti)
    except ValueError:
        return ""
