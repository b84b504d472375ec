"""Sign-on, sign-off, echo."""

from __future__ import annotations

import pytest

from network_sim.session import Session, SessionState
from switch.iso8583 import Dialect
from tests.support.network import management


@pytest.mark.parametrize("function", ["001", "002", "301"])
def test_known_functions_are_approved_with_their_echoes(function: str, dialect: Dialect) -> None:
    """0810 with 00, and DE 7, 11 and 70 as asked."""
    answer = Session(dialect).answer(management(function, stan="000042"))
    expected = {0: "0810", 7: "1122071000", 11: "000042", 70: function, 39: "00"}
    assert answer == expected


def test_a_session_is_signed_on_and_off_and_on_again(dialect: Dialect) -> None:
    """The three states, in the order of a working day."""
    session = Session(dialect)
    states = [session.state]
    for function in ("001", "002", "001"):
        session.answer(management(function))
        states.append(session.state)
    assert states == [
        SessionState.CONNECTED,
        SessionState.SIGNED_ON,
        SessionState.SIGNED_OFF,
        SessionState.SIGNED_ON,
    ]


@pytest.mark.parametrize("before", [[], ["001"], ["001", "002"]])
def test_an_echo_changes_nothing(before: list[str], dialect: Dialect) -> None:
    """Echo is answered in every state and keeps it."""
    session = Session(dialect)
    for function in before:
        session.answer(management(function))
    state = session.state
    assert session.answer(management("301"))[39] == "00"
    assert session.state is state


@pytest.mark.parametrize("function", ["999", "000", "101"])
def test_other_functions_are_not_supported(function: str, dialect: Dialect) -> None:
    """40, and the session stays as it is."""
    session = Session(dialect)
    session.answer(management("001"))
    answer = session.answer(management(function))
    assert (answer[39], answer[70]) == ("40", function)
    assert session.signed_on


@pytest.mark.parametrize("missing", [7, 11, 70])
def test_an_incomplete_sign_on_is_refused(missing: int, dialect: Dialect) -> None:
    """30, and nobody is signed on."""
    session = Session(dialect)
    fields = management("001")
    del fields[missing]
    assert session.answer(fields)[39] == "30"
    assert not session.signed_on
