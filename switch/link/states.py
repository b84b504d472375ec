"""The states of one link's session and how they follow each other, as a table (iso8583.md 3.14).

    DOWN -> TCP -> TLS -> SIGN_ON_SENT -> UP -> DRAINING -> SIGNED_OFF -> DOWN

Financial messages leave in UP and DRAINING only, the latter for those already queued; answers are
welcome in every state. SIGNED_OFF is reached by our own sign-off or by the network's; the link
reads on for as long as answers may come and then closes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum, unique
from typing import Final


@unique
class State(Enum):
    """How far the connection has come."""

    DOWN = "down"
    TCP = "tcp"  # dialing
    TLS = "tls"  # reached; shaking hands
    SIGN_ON_SENT = "sign_on_sent"
    UP = "up"
    DRAINING = "draining"
    SIGNED_OFF = "signed_off"


@unique
class Event(Enum):
    """What moves a session from state to state."""

    DIALED = "dialed"
    REACHED = "reached"
    CONNECTED = "connected"
    SIGN_ON_ACCEPTED = "sign_on_accepted"
    DRAIN_ASKED = "drain_asked"
    SIGN_OFF_SENT = "sign_off_sent"
    PEER_SIGNED_OFF = "peer_signed_off"
    PEER_SIGNED_ON = "peer_signed_on"


# Losing the connection leads from every state to DOWN and is not listed.
TRANSITIONS: Final[Mapping[tuple[State, Event], State]] = {
    (State.DOWN, Event.DIALED): State.TCP,
    (State.TCP, Event.REACHED): State.TLS,
    (State.TLS, Event.CONNECTED): State.SIGN_ON_SENT,
    (State.SIGN_ON_SENT, Event.SIGN_ON_ACCEPTED): State.UP,
    (State.UP, Event.DRAIN_ASKED): State.DRAINING,
    (State.UP, Event.PEER_SIGNED_OFF): State.SIGNED_OFF,
    (State.DRAINING, Event.SIGN_OFF_SENT): State.SIGNED_OFF,
    (State.DRAINING, Event.PEER_SIGNED_OFF): State.SIGNED_OFF,
    (State.SIGNED_OFF, Event.PEER_SIGNED_ON): State.UP,
}
MAY_SEND: Final = frozenset({State.UP, State.DRAINING})
CONNECTING: Final = frozenset({State.TCP, State.TLS})
CONNECTED: Final = frozenset(State) - CONNECTING - {State.DOWN}


class SessionError(Exception):
    """The shell did something that the state does not allow: a fault of ours."""


def follow(state: State, event: Event) -> State:
    """The state after an event.

    Raises:
        SessionError: the table has no such transition.
    """
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise SessionError(f"{event.value} while {state.value}") from None
