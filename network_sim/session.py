"""The acceptor's side of a session: sign-on, sign-off, echo. Pure.

    CONNECTED --0800/001--> SIGNED_ON --0800/002--> SIGNED_OFF --0800/001--> SIGNED_ON

Echo (301) is answered in every state and changes none. A function that the dialect does not name
is answered 40 and changes nothing. A financial message outside SIGNED_ON breaks the protocol: the
caller closes the connection.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, unique
from typing import Final

from network_sim.messages import APPROVED, FORMAT_ERROR, NOT_SUPPORTED, plain_answer
from switch.iso8583 import Dialect

NETWORK_FUNCTION: Final = 70
_MANDATORY = (7, 11, NETWORK_FUNCTION)


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

    Attributes:
        state: where it stands.
        signed_on: whether financial messages are welcome; follows `state`.
    """

    __slots__ = ("_echo", "_transitions", "signed_on", "state")

    def __init__(self, dialect: Dialect) -> None:
        functions = dialect.network_functions
        self._echo = functions["echo"]
        self._transitions = {
            functions["sign_on"]: SessionState.SIGNED_ON,
            functions["sign_off"]: SessionState.SIGNED_OFF,
        }
        self.state = SessionState.CONNECTED
        self.signed_on = False

    def answer(self, fields: Mapping[int, str]) -> dict[int, str]:
        """Take an 0800, return its 0810."""
        if any(number not in fields for number in _MANDATORY):
            return plain_answer(fields, FORMAT_ERROR)
        function = fields[NETWORK_FUNCTION]
        if function in self._transitions:
            self.state = self._transitions[function]
            self.signed_on = self.state is SessionState.SIGNED_ON
        elif function != self._echo:
            return plain_answer(fields, NOT_SUPPORTED)
        return plain_answer(fields, APPROVED)
