"""The acceptor's side of a session: sign-on, sign-off, echo, keys. Pure.

    CONNECTED --0800/001--> SIGNED_ON --0800/002--> SIGNED_OFF --0800/001--> SIGNED_ON

Echo (301) is answered in every state and changes none. A request for a key (161) is answered with
one where the network has a key server. A function that the dialect does not name is answered 40 and
changes nothing. A financial message outside SIGNED_ON breaks the protocol: the caller closes the
connection. A network may do without sign-on; then only a sign-off ends the session.

What the network itself asks of its peer (echo, cutover, a new key, a sign-off) are `Questions`:
each waits for the 0810 that repeats its DE 70, 11 and 7.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum, unique
from typing import Final

from network_sim.messages import APPROVED, FORMAT_ERROR, NOT_SUPPORTED, plain_answer
from switch.iso8583 import DE, Dialect

NETWORK_FUNCTION: Final = DE.NETWORK_FUNCTION
_MANDATORY = (7, 11, NETWORK_FUNCTION)

Fields = Mapping[int, str]
KeyElements = Callable[[], Mapping[int, str]]
"""Gives the elements that bring the peer a new key."""


@unique
class SessionState(Enum):
    """How far the acquirer has come on this connection."""

    CONNECTED = "connected"
    SIGNED_ON = "signed_on"
    SIGNED_OFF = "signed_off"


class Session:
    """One connection's session.

    Args:
        dialect: names the values of DE 70.
        sign_on_required: whether financial messages must wait for a sign-on.
        new_key: gives the peer a key that it asks for; None = the network has none to give.

    Attributes:
        state: where it stands.
        signed_on: whether financial messages are welcome; follows `state`.
    """

    __slots__ = ("_key_exchange", "_known", "_new_key", "_transitions", "signed_on", "state")

    def __init__(
        self,
        dialect: Dialect,
        *,
        sign_on_required: bool = True,
        new_key: KeyElements | None = None,
    ) -> None:
        functions = dialect.network_functions
        self._transitions = {
            functions["sign_on"]: SessionState.SIGNED_ON,
            functions["sign_off"]: SessionState.SIGNED_OFF,
        }
        self._new_key = new_key
        self._key_exchange = functions.get("key_exchange") if new_key is not None else None
        self._known = {*self._transitions, functions["echo"], self._key_exchange} - {None}
        self.state = SessionState.CONNECTED
        self.signed_on = not sign_on_required

    def answer(self, fields: Fields, ruled: str = "") -> dict[int, str]:
        """Take an 0800, return its 0810; a code that is ruled refuses it, unless it is 00."""
        if any(number not in fields for number in _MANDATORY):
            return plain_answer(fields, FORMAT_ERROR)
        if ruled not in ("", APPROVED):
            return plain_answer(fields, ruled)
        function = fields[NETWORK_FUNCTION]
        if function not in self._known and not ruled:
            return plain_answer(fields, NOT_SUPPORTED)
        answer = plain_answer(fields, APPROVED)
        if function in self._transitions:
            self.state = self._transitions[function]
            self.signed_on = self.state is SessionState.SIGNED_ON
        elif function == self._key_exchange and self._new_key is not None:
            answer |= self._new_key()
        return answer


Answered = Callable[[dict[int, str] | None], None]
"""Takes the answer to a question; None = the connection ended before it came."""


class Questions:
    """What a network has asked on one connection and not heard of yet."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[str, str, str], Answered] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def ask(self, fields: Fields, answered: Answered) -> None:
        """Wait for the answer to an 0800 that is about to leave."""
        self._waiting[_name(fields)] = answered

    def settle(self, fields: dict[int, str]) -> bool:
        """Take an 0810; returns whether it answers anything."""
        answered = self._waiting.pop(_name(fields), None)
        if answered is None:
            return False
        answered(fields)
        return True

    def lose(self) -> None:
        """The connection is over: nothing will be answered any more."""
        waiting, self._waiting = self._waiting, {}
        for answered in waiting.values():
            answered(None)


def _name(fields: Fields) -> tuple[str, str, str]:
    """What an 0810 repeats of its 0800."""
    return fields.get(NETWORK_FUNCTION, ""), fields.get(DE.STAN, ""), fields.get(7, "")
