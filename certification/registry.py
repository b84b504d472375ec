"""Which function plays each id of the catalog.

A suite module registers one function an id by `@case("AU01")`; an id without a function is listed
all the same, and fails: a case that does not run proves nothing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Final, Literal, TypeVar

import attrs

from certification.desk import Desk
from certification.peer_desk import PeerDesk

SUITES: Final = (
    "tls",
    "sessions",
    "authorizations",
    "captures",
    "reversals",
    "inquiries",
    "matching",
    "framings",
    "malformed",
    "keys",
    "availability",
    "totals",
)
CASE_TIMEOUT_S: Final = 120.0  # on a busy machine; the longest case waits for backed-off repeats

Play = Callable[[Desk], Awaitable[None]]
PeerPlay = Callable[[PeerDesk], Awaitable[None]]
Messages = Literal["single", "dual"]
PlayT = TypeVar("PlayT", bound=Play)
PeerPlayT = TypeVar("PeerPlayT", bound=PeerPlay)


@attrs.frozen(kw_only=True)
class Script:
    """How a case is played.

    Attributes:
        play: the case itself.
        messages: whether its network is single- or dual-message.
        connections: of the switch to its network.
        alone: it stops or kills processes, so it needs a stack of its own.
        settings: of its network, over the profile's.
        stack: of the whole stack, by dotted key; only of a case that is alone.
        macs: its messages are authenticated: its dialect is NET87B with `mac = "cmac"`.
        both_policies: it expects a 0420 at once, so it is played twice: asking first, and not.
        clock: whether the stack's clock follows `Desk.clock_file`.
        crashes: whether the stack's processes can be made to die at named steps (`crash_file`).
        up: whether its network accepts the switch before the case begins.
    """

    play: Play
    messages: Messages = "single"
    connections: int = 1
    alone: bool = False
    settings: dict[str, object] = attrs.field(factory=dict)
    stack: dict[str, str] = attrs.field(factory=dict)
    macs: bool = False
    both_policies: bool = False
    clock: bool = False
    crashes: bool = False
    up: bool = True


def plays_of(case_id: str, script: Script) -> dict[str, Script]:
    """How often a case is played: once, or under each policy for unknown outcomes."""
    if not script.both_policies:
        return {case_id: script}
    reverse = {**script.settings, "unknown_policy": "reverse"}
    inquire = {**script.settings, "unknown_policy": "inquire_then_reverse"}
    return {
        case_id: attrs.evolve(script, settings=inquire),
        f"{case_id}_reverse": attrs.evolve(script, settings=reverse),
    }


_scripts: dict[str, Script] = {}
_peer_plays: dict[str, PeerPlay] = {}


def case(
    case_id: str,
    *,
    messages: Messages = "single",
    connections: int = 1,
    alone: bool = False,
    settings: dict[str, object] | None = None,
    stack: dict[str, str] | None = None,
    macs: bool = False,
    both_policies: bool = False,
    clock: bool = False,
    crashes: bool = False,
    up: bool = True,
) -> Callable[[PlayT], PlayT]:
    """Register the function of one id; see `Script`."""

    def register(play: PlayT) -> PlayT:
        if case_id in _scripts:
            raise ValueError(f"case {case_id} has two functions")
        _scripts[case_id] = Script(
            play=play,
            messages=messages,
            connections=connections,
            alone=alone,
            settings=settings or {},
            stack=stack or {},
            macs=macs,
            both_policies=both_policies,
            clock=clock,
            crashes=crashes,
            up=up,
        )
        return play

    return register


def peer_case(case_id: str) -> Callable[[PeerPlayT], PeerPlayT]:
    """Register how an id is judged from the wire alone."""

    def register(play: PeerPlayT) -> PeerPlayT:
        if case_id in _peer_plays:
            raise ValueError(f"case {case_id} has two functions for peers")
        _peer_plays[case_id] = play
        return play

    return register


def scripts() -> dict[str, Script]:
    """The cases that are played against the switch."""
    for name in SUITES:
        import_module(f"certification.suites.{name}")
    return _scripts


def peer_plays() -> dict[str, PeerPlay]:
    """The cases that can be judged from the wire."""
    import_module("certification.peer_cases")
    return _peer_plays
