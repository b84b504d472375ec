"""What a network does of its own accord: questions, messages nobody asked for, broken connections.

All of it may be used while the network serves, from any task of the same Trio program. Connections
are named by their number, in the order in which they were accepted; without one the oldest that is
signed on is meant, else the oldest there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from itertools import count
from types import MappingProxyType
from typing import Final

import attrs
import trio

from network_sim.answering import Direction
from network_sim.connection import Connection
from network_sim.decisions import Moment
from network_sim.faults.actions import HowToClose
from network_sim.faults.deliveries import Write
from network_sim.issuer import Issuer
from network_sim.messages import APPROVED
from network_sim.scripted_connection import ScriptedConnection
from network_sim.session import NETWORK_FUNCTION, Answered, SessionState
from switch.iso8583 import DE, Dialect
from switch.iso8583.mti import NETWORK_MANAGEMENT_REQUEST

_STANS: Final = 1_000_000
_NOTHING: Final = MappingProxyType[int, str]({})


class NoAcquirerError(Exception):
    """There is no such connection, or it ended before it answered."""


@attrs.frozen
class Peer:
    """A connection as it stands.

    Attributes:
        number: from 1.
        session: how far its session has come.
    """

    number: int
    session: SessionState


class Initiative:
    """The commands of one network.

    Args:
        dialect: of the messages.
        issuer: whose settlement date a cutover moves.
        direction: keys and packing; None = the network is left to itself.
        now_us: the wall clock, microseconds since 1970.
    """

    def __init__(
        self,
        dialect: Dialect,
        issuer: Issuer,
        direction: Direction | None,
        now_us: Callable[[], int],
    ) -> None:
        self._dialect = dialect
        self._issuer = issuer
        self._direction = direction
        self._now_us = now_us
        self._stans = count(1)
        self._connections: dict[int, Connection] = {}

    def joined(self, number: int, connection: Connection) -> None:
        """A connection is served from now on."""
        self._connections[number] = connection

    def left(self, number: int) -> None:
        """A connection is over."""
        self._connections.pop(number, None)

    def peers(self) -> list[Peer]:
        """Every connection, oldest first."""
        return [
            Peer(number, connection.acceptor.session.state)
            for number, connection in self._connections.items()
        ]

    def question(self, function: str, elements: Mapping[int, str] = _NOTHING) -> dict[int, str]:
        """The fields of an 0800 of the network's.

        Args:
            function: a function's name in the dialect, or any three digits.
            elements: beside DE 7, 11 and 70.

        Raises:
            KeyError: the dialect has no function of that name.
        """
        value = function if function.isdecimal() else self._dialect.network_functions[function]
        return {
            0: NETWORK_MANAGEMENT_REQUEST,
            7: Moment.at(self._now_us()).transmission,
            11: f"{next(self._stans) % _STANS:06d}",
            NETWORK_FUNCTION: value,
            **elements,
        }

    async def ask(
        self,
        function: str,
        elements: Mapping[int, str] = _NOTHING,
        *,
        connection: int | None = None,
    ) -> dict[int, str]:
        """Send an 0800 and return its 0810; the deadline is the caller's scope.

        Raises:
            NoAcquirerError: there is no connection, or it ended before it answered.
            KeyError: the dialect has no function of that name.
        """
        heard, answers = trio.Event(), list[dict[int, str] | None]()

        def answered(fields: dict[int, str] | None) -> None:
            answers.append(fields)
            heard.set()

        self.begin_asking(function, elements, answered, connection=connection)
        await heard.wait()
        [answer] = answers
        if answer is None:
            raise NoAcquirerError("the connection ended before the answer came")
        return answer

    def begin_asking(
        self,
        function: str,
        elements: Mapping[int, str] = _NOTHING,
        answered: Answered = lambda _: None,
        *,
        connection: int | None = None,
    ) -> None:
        """Send an 0800 without waiting; raises as `ask` does where there is no connection."""
        self._find(connection).ask(self.question(function, elements), answered)

    async def cut_over(self, day: date) -> list[dict[int, str]]:
        """Begin a settlement date and tell every acquirer (0800/201 with DE 15); their answers.

        Connections that end before they answer are left out; the deadline is the caller's scope.
        """
        self._issuer.cut_over(day)
        settles = {int(DE.SETTLEMENT_DATE): f"{day.month:02d}{day.day:02d}"}
        answers: list[dict[int, str]] = []

        async def tell(number: int) -> None:
            try:
                answers.append(await self.ask("cutover", settles, connection=number))
            except NoAcquirerError:
                return

        async with trio.open_nursery() as nursery:
            for peer in self.peers():
                if peer.session is SessionState.SIGNED_ON:
                    nursery.start_soon(tell, peer.number)
        return answers

    async def push_key(
        self, *, check_value: str | None = None, connection: int | None = None
    ) -> dict[int, str]:
        """Make a MAC key, send it (0800/101) and return the answer; 00 makes it the current one.

        Args:
            check_value: six hex digits to tell instead of the key's own, which the peer must
                refuse.
            connection: number of the connection.

        Raises:
            NoAcquirerError: there is no connection, or it ended before it answered; then both keys
                verify, until the peer uses the new one.
            RuntimeError: this network has no keys.
        """
        direction = self._direction
        if direction is None or direction.keys is None:
            raise RuntimeError("this network has no MAC keys")
        key = direction.keys.mint(self._now_us())
        if check_value is not None:
            key = attrs.evolve(key, check_value=check_value)
        answer = await self.ask("key_push", key.elements(), connection=connection)
        if answer.get(DE.RESPONSE_CODE) == APPROVED:
            direction.keys.taken_over(key.key_id, self._now_us())
        else:
            direction.keys.refused(key.key_id)
        direction.keys_changed()
        return answer

    def say(self, fields: Mapping[int, str], *, connection: int | None = None) -> None:
        """Send a message as it is, answer or question; whatever comes back is nobody's answer.

        Raises:
            NoAcquirerError: there is no such connection.
            EncodeError: the fields cannot be packed.
        """
        target = self._scripted(connection)
        target.play(target.acceptor.steps_of(fields, "on command"))

    def send_bytes(self, data: bytes, *, connection: int | None = None) -> None:
        """Send bytes as they are, framed or not."""
        self._scripted(connection).play((Write(data),))

    def cut(self, how: HowToClose = "fin", *, connection: int | None = None) -> None:
        """End a connection, or all of them if none is named."""
        numbers = list(self._connections) if connection is None else [connection]
        for number in numbers:
            self._scripted(number).cut(how)

    def mute(self, *, connection: int | None = None) -> None:
        """Neither read nor write on a connection any more, or on all: a black hole."""
        numbers = list(self._connections) if connection is None else [connection]
        for number in numbers:
            self._scripted(number).mute()

    def _find(self, number: int | None) -> Connection:
        if number is not None:
            if number not in self._connections:
                raise NoAcquirerError(f"there is no connection {number}")
            return self._connections[number]
        oldest = list(self._connections.values())
        if not oldest:
            raise NoAcquirerError("there is no connection")
        return next((each for each in oldest if each.acceptor.session.signed_on), oldest[0])

    def _scripted(self, number: int | None) -> ScriptedConnection:
        connection = self._find(number)
        if not isinstance(connection, ScriptedConnection):
            raise TypeError("this network is left to itself: it was given no direction")
        return connection
