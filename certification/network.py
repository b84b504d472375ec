"""The network of one case: real mutual TLS, the public codec, and rules that a case can change.

Theory of operation. Every frame is decoded by pyiso8583, noted in the trace, and offered to the
rules in their order. The first rule that fits and is not used up takes the message: its handler, an
async function, does what it likes with it. Without one the network answers as it should: sessions
by `network_sim.session`, money by `network_sim.issuer`. Whatever the issuer decides is recorded as
the simulator records it, in memory: this is the third witness beside the merchant and the ledger.

Handlers get an `Exchange`: the message and the means to answer it well or badly.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import attrs
import trio

from certification.connection import Connection
from certification.trace import Line
from chassis.clock import now_us
from chassis.settings import Network, Simulator
from chassis.tls import accept_tls, server_context
from chassis.tls_faults import explain
from network_sim.decisions import Moment, Ruling
from network_sim.issuer import Issuer
from network_sim.journal import Entry
from network_sim.keys import KeyServer, MacKey
from network_sim.macs import Verdict, judge, seal, with_mac_elements
from network_sim.messages import plain_answer
from network_sim.service import date_of, make_issuer
from network_sim.session import Session
from switch.iso8583 import DecodeError, Dialect
from switch.iso8583.mti import NETWORK_MANAGEMENT_REQUEST, is_response
from switch.iso8583.reference import ReferenceCodec

Fields = Mapping[int, str]
FINANCIAL: Final = frozenset("12456")  # the second digit of an MTI
SECURITY_VIOLATION: Final = "63"
HEARD_WITHIN_S: Final = 30.0
_POLL_S: Final = 0.01


@attrs.frozen
class Certificates:
    """What a network presents, and whose clients it accepts."""

    ca: Path
    certificate: Path
    key: Path

    def context(self) -> ssl.SSLContext:
        """The server's context."""
        return server_context(ca=self.ca, certificate=self.certificate, key=self.key)


@attrs.frozen
class Exchange:
    """One message of the acquirer's, taken by a rule."""

    network: PlayedNetwork
    connection: Connection
    fields: dict[int, str]
    frame: bytes

    def decide(self, ruling: Ruling | None = None) -> dict[int, str]:
        """Have the issuer decide, and record it; returns the good answer."""
        return self.network.decide(self.fields, ruling)

    def answer(
        self,
        ruling: Ruling | None = None,
        changes: Mapping[int, str | None] | None = None,
        *,
        connection: Connection | None = None,
        note: str = "",
    ) -> None:
        """Decide and answer; `changes` alter the answer on its way, None leaves an element out."""
        self.send(changed(self.decide(ruling), changes or {}), connection=connection, note=note)

    def send(self, answer: Fields, *, connection: Connection | None = None, note: str = "") -> None:
        """Send fields as an answer to this message."""
        (connection or self.connection).send(dict(answer), answering=self.frame, note=note)


Handler = Callable[[Exchange], Awaitable[None]]


def changed(fields: Fields, changes: Mapping[int, str | None]) -> dict[int, str]:
    """Fields with some of them altered or left out."""
    merged: dict[int, str | None] = {**fields, **changes}
    return {number: text for number, text in merged.items() if text is not None}


@attrs.define
class Rule:
    """What happens to messages that fit, so many times."""

    fits: Callable[[Fields], bool]
    handler: Handler
    left: int | None  # None = for ever
    taken: list[Exchange] = attrs.field(factory=list)

    def takes(self, fields: Fields) -> bool:
        """Whether the next message is this rule's."""
        return self.left != 0 and self.fits(fields)


class PlayedNetwork:
    """One network.

    Args:
        name: as the settings have it.
        settings: timers and names.
        limits: of the simulator.
        dialect: the messages.
        certificates: of its end of TLS.

    Attributes:
        trace: every message and event.
        entries: what the issuer decided, oldest first.
        faults: what went wrong in handlers.
        connections: those that stand, oldest first.
        accepting: whether TCP connections get a handshake.
        issuer: the books.
        keys: MAC keys; None = messages carry no MAC.
        unauthentic: messages of the acquirer's whose MAC was needed and not good.
        tls: replaceable; None = plain TCP, nothing is said.
    """

    def __init__(
        self,
        name: str,
        settings: Network,
        limits: Simulator,
        dialect: Dialect,
        certificates: Certificates,
    ) -> None:
        self.name = name
        self.settings = settings
        self.limits = limits
        self.dialect = dialect
        self.codec = ReferenceCodec(dialect)
        self.certificates = certificates
        self.tls: ssl.SSLContext = certificates.context()
        self.trace: list[Line] = []
        self.entries: list[Entry] = []
        self.faults: list[str] = []
        self.connections: list[Connection] = []
        self.accepting = trio.Event()
        self.issuer: Issuer = make_issuer(settings, limits, dialect, opens_on=date_of(now_us()))
        self.keys: KeyServer | None = None
        self.unauthentic = 0
        self._rules: list[Rule] = []
        self._numbers = 0
        self._nursery: trio.Nursery | None = None

    # ------------------------------------------------------------------------------------ serving

    async def serve(self, listeners: list[trio.SocketListener]) -> None:
        """Accept acquirers until canceled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await trio.serve_listeners(self._serve_peer, listeners)

    async def _serve_peer(self, transport: trio.SocketStream) -> None:
        if not self.accepting.is_set():
            return
        self._numbers += 1
        number = self._numbers
        handle = socket.socket(fileno=os.dup(transport.socket.fileno()))
        try:
            with trio.fail_after(self.limits.handshake_timeout_s):
                stream = await accept_tls(
                    transport, self.tls, client_names={self.settings.client_name}
                )
        except (trio.TooSlowError, trio.BrokenResourceError, OSError) as error:
            handle.close()
            self.note(number, f"handshake refused: {explain(error).reason}")
            return
        connection = Connection(number, stream, handle, self)
        self.connections.append(connection)
        self.note(number, "TLS established")
        try:
            reason = await connection.run()
        finally:
            if connection in self.connections:
                self.connections.remove(connection)
        self.note(number, f"closed: {reason}")

    def note(self, connection: int, text: str) -> None:
        """Note an event."""
        self._add(
            Line(
                at_us=now_us(),
                at_s=trio.current_time(),
                direction="event",
                connection=connection,
                fields={},
                note=text,
            )
        )

    def noted(self, connection: int, fields: Fields, *, sent: bool, note: str = "") -> None:
        """Note a message."""
        self._add(
            Line(
                at_us=now_us(),
                at_s=trio.current_time(),
                direction="out" if sent else "in",
                connection=connection,
                fields=dict(fields),
                note=note,
            )
        )

    def _add(self, line: Line) -> None:
        self.trace.append(line)

    # ----------------------------------------------------------------------------------- deciding

    def received(self, connection: Connection, frame: bytes) -> None:
        """React to one frame."""
        if not frame:
            self.note(connection.number, "zero-length frame")
            return
        try:
            fields = self.codec.decode(frame)
        except DecodeError as error:
            self.note(connection.number, f"undecodable: {error}")
            return
        doubt = self._judge(fields, frame)
        self.noted(connection.number, fields, sent=False, note=doubt)
        exchange = Exchange(self, connection, fields, frame)
        if doubt and fields[0][1] in FINANCIAL:
            self.unauthentic += 1
            exchange.send(plain_answer(fields, SECURITY_VIOLATION), note="not authentic")
            return
        for rule in self._rules:
            if rule.takes(fields):
                if rule.left is not None:
                    rule.left -= 1
                rule.taken.append(exchange)
                self.spawn(rule.handler, exchange)
                return
        self.play(exchange)

    def _judge(self, fields: dict[int, str], frame: bytes) -> str:
        """What is wrong with a message's MAC; empty = nothing, or none is needed."""
        if self.keys is None:
            return ""
        verdict, key = judge(frame, fields, self.keys, now_us())
        if key is not None and key is self.keys.next:
            self.keys.taken_over(key.key_id, now_us())  # whoever uses it has it
        return "" if verdict is Verdict.GOOD else verdict.value

    def pack(self, fields: Fields, key: MacKey | None = None) -> bytes:
        """A message as its frame holds it, with a MAC where there is a key."""
        key = key or (self.keys.current if self.keys is not None else None)
        if key is None:
            return self.codec.encode(fields)
        return seal(self.codec.encode(with_mac_elements(fields, key)), key)

    def mint(self) -> dict[int, str]:
        """The elements that bring the acquirer a new key."""
        assert self.keys is not None
        return self.keys.mint(now_us()).elements()

    def play(self, exchange: Exchange) -> None:
        """Answer as a network should."""
        fields = exchange.fields
        if is_response(fields[0]):
            return
        if fields[0] == NETWORK_MANAGEMENT_REQUEST:
            exchange.send(exchange.connection.session.answer(fields))
        elif exchange.connection.session.signed_on:
            exchange.answer()
        else:
            self.note(exchange.connection.number, f"{fields[0]} before sign-on")
            exchange.connection.close("a financial message before sign-on")

    def decide(self, fields: Fields, ruling: Ruling | None = None) -> dict[int, str]:
        """Have the issuer decide and record its decision; the answer's fields."""
        decision = self.issuer.decide(dict(fields), Moment.at(now_us()), ruling)
        if decision.line:
            self.entries.append(Entry.parse(decision.line.rstrip("\n")))
        return dict(decision.answer)

    def new_session(self) -> Session:
        """The state of a new connection."""
        return Session(self.dialect, new_key=self.mint if self.keys is not None else None)

    def spawn(self, function: Callable[[Exchange], Awaitable[None]], exchange: Exchange) -> None:
        """Run a handler beside everything else; what goes wrong in it is the case's problem."""
        assert self._nursery is not None

        async def handle() -> None:
            try:
                await function(exchange)
            except Exception as error:  # noqa: BLE001  it must not end the other networks
                self.faults.append(f"the network's handler: {type(error).__name__}: {error}")

        self._nursery.start_soon(handle)

    def go_away(self) -> None:
        """End every connection and accept none, until `accepting` is set again."""
        self.accepting = trio.Event()
        for connection in list(self.connections):
            connection.close()

    # -------------------------------------------------------------------------------------- rules

    def on(
        self,
        mtis: str,
        handler: Handler,
        *,
        times: int | None = 1,
        fits: Callable[[Fields], bool] = lambda _fields: True,
    ) -> Rule:
        """Give messages of some types (`"0100 0200"`) to a handler; earlier rules come first."""
        wanted = frozenset(mtis.split())
        rule = Rule(lambda fields: fields[0] in wanted and fits(fields), handler, times)
        self._rules.append(rule)
        return rule

    def clear(self) -> None:
        """Forget every rule."""
        self._rules.clear()

    # ---------------------------------------------------------------------------------- observing

    def heard(self, mtis: str = "", *, after: int = 0) -> list[Line]:
        """Messages of the acquirer's of some types, from a place in the trace on."""
        wanted = frozenset(mtis.split())
        return [
            line
            for line in self.trace[after:]
            if line.direction == "in" and (not wanted or line.mti in wanted)
        ]

    def financial(self) -> list[Line]:
        """Every message of the acquirer's that is no network management."""
        return [line for line in self.heard() if line.mti[1] in FINANCIAL]

    async def hear(
        self,
        mtis: str,
        count: int = 1,
        *,
        within_s: float = HEARD_WITHIN_S,
        fits: Callable[[Fields], bool] = lambda _fields: True,
    ) -> list[Line]:
        """Wait until so many messages have come.

        Raises:
            trio.TooSlowError: they did not.
        """
        with trio.fail_after(within_s):
            while True:
                found = [line for line in self.heard(mtis) if fits(line.fields)]
                if len(found) >= count:
                    return found
                await trio.sleep(_POLL_S)

    async def signed_on(self, count: int = 1, *, within_s: float = HEARD_WITHIN_S) -> None:
        """Wait until so many connections are signed on."""
        with trio.fail_after(within_s):
            while sum(each.session.signed_on for each in self.connections) < count:
                await trio.sleep(_POLL_S)

    async def event(self, text: str, *, count: int = 1, within_s: float = HEARD_WITHIN_S) -> None:
        """Wait for an event whose note holds a text."""
        with trio.fail_after(within_s):
            while sum(text in line.note for line in self.trace) < count:
                await trio.sleep(_POLL_S)


listen = partial(trio.open_tcp_listeners, 0, host="127.0.0.1")
