"""What `turnout hsm` asks the HSM of a running stack: which keys there are, and to load one.

No value of a key is ever shown; a component is read, sent to the HSM and forgotten.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final

import trio
from attrs import field, frozen

from chassis.log import configure_logging
from chassis.mac import check_value_text
from hsm_sim.wire import (
    CaptureKey,
    HSMReply,
    HSMRequest,
    KekLoaded,
    KeyRefused,
    KeysListed,
    ListKeys,
    ListNetworkKeys,
    LoadKek,
    NetworkKey,
    NetworkKeysListed,
    Refused,
)
from stack.endings import EXIT_FAULT, told_in_one_line
from stack.endpoints import NotRunningError
from stack.hsm import HSMSilentError, ask_hsm
from stack.options import EXIT_CANNOT_START, Place, quiet_log
from stack.running import RunningStack, find_running

_HEX: Final = re.compile(r"[0-9A-Fa-f]{64}")
_CHECK_VALUE: Final = re.compile(r"[0-9A-Fa-f]{6}")
_FILE_BYTES_MAX: Final = 1_024
# What a person can do about a refusal, by its code.
_REFUSALS: Final = {
    "wrong_check_value": "the key has another check value: a component is mistyped, or not its own",
    "bad_component": "components are two or three different ones that do not cancel out",
}


class ComponentError(Exception):
    """What was typed or read is no component; says which and why, never what it was."""


class HSMRefusedError(Exception):
    """The HSM refused; every key is as it was."""


@frozen
class Component:
    """One part of a key-exchange key, with its check value verified."""

    key: bytes = field(repr=False)
    check_value: str


EXITS: Final = {
    NotRunningError: EXIT_CANNOT_START,
    ComponentError: EXIT_FAULT,
    HSMRefusedError: EXIT_FAULT,
    HSMSilentError: EXIT_CANNOT_START,
}


def parse_component(number: int, text: str, check_value: str) -> Component:
    """Read a component as people write it: hex digits, spaces and line breaks between them.

    Args:
        number: which one, for the error; counted from 1.
        text: 64 hex digits.
        check_value: six hex digits.

    Raises:
        ComponentError: it is not of that form, or has another check value.
    """
    digits = "".join(text.split())
    if not _HEX.fullmatch(digits):
        raise ComponentError(f"component {number} has {len(digits)} characters, not 64 hex digits")
    key = bytes.fromhex(digits)
    given = "".join(check_value.split())
    if not _CHECK_VALUE.fullmatch(given):
        raise ComponentError(f"the check value of component {number} is not six hex digits")
    if given.upper() != check_value_text(key):
        raise ComponentError(f"component {number} has another check value: it is mistyped")
    return Component(key, given.upper())


def read_component(number: int, path: Path) -> Component:
    """Read a component from a file: 64 hex digits in any grouping, then its check value.

    Raises:
        ComponentError: as `parse_component`, or the file cannot be read or others can read it.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            text = file.read(_FILE_BYTES_MAX).decode("ascii", "replace")
    except OSError as error:
        raise ComponentError(f"{path}: {error.strerror}") from None
    if mode & 0o077:
        raise ComponentError(f"{path}: others may read it (mode {mode:04o}); chmod 0600 it")
    words = text.split()
    return parse_component(number, " ".join(words[:-1]), words[-1] if words else "")


def load_kek(
    place: Place, network: str, components: Sequence[Component], check_value: str
) -> dict[str, Any]:
    """Load a network's key-exchange key; the document is the key as it is listed.

    What a user can mend is told in one line, and ends the program.
    """
    request = LoadKek(
        network,
        [component.key for component in components],
        [component.check_value for component in components],
        check_value,
    )
    with told_in_one_line("hsm load-kek", EXITS):
        (reply,) = _ask(_find(place), request)
        if isinstance(reply, KeyRefused):
            raise HSMRefusedError(_REFUSALS.get(reply.code, reply.code))
        assert isinstance(reply, KekLoaded)
        return network_key_document(reply.key)


def list_keys(place: Place) -> dict[str, Any]:
    """Every key that has a life of its own outside the HSM; failures as in `load_kek`."""
    with told_in_one_line("hsm keys", EXITS):
        capture, network = _ask(_find(place), ListKeys(), ListNetworkKeys())
        assert isinstance(capture, KeysListed)
        assert isinstance(network, NetworkKeysListed)
        return {
            "capture": [capture_key_document(key) for key in capture.keys],
            "networks": [network_key_document(key) for key in network.keys],
        }


def capture_key_document(key: CaptureKey) -> dict[str, Any]:
    """A capture key as the CLI's JSON shows it."""
    return {
        "kid": key.kid,
        "suite": key.suite,
        "state": key.state,
        "not_after": _instant(key.not_after),
    }


def network_key_document(key: NetworkKey) -> dict[str, Any]:
    """A key of a network as the CLI's JSON shows it."""
    return {
        "network": key.network,
        "usage": key.usage,
        "key_id": key.key_id,
        "state": key.state,
        "origin": key.origin,
        "check_value": key.check_value,
        "created_at": _instant(key.created_at),
        "confirmed_at": _instant(key.confirmed_at),
        "promoted_at": _instant(key.promoted_at),
        "expires_at": _instant(key.expires_at),
    }


def _find(place: Place) -> RunningStack:
    stack = find_running(place.settings, place.data_dir)
    configure_logging(quiet_log(place.settings.log), process="hsm")
    return stack


def _ask(stack: RunningStack, *requests: HSMRequest) -> list[HSMReply]:
    """Ask the first worker; all of them share their keys."""
    socket = stack.endpoints.sockets["hsm"][0]
    replies = [trio.run(partial(ask_hsm, socket, stack.settings, request)) for request in requests]
    for reply in replies:
        if isinstance(reply, Refused):
            raise HSMRefusedError(f"the HSM refused: {reply.reason}")
    return replies


def _instant(at_s: int) -> str | None:
    return datetime.fromtimestamp(at_s, tz=UTC).isoformat() if at_s else None
