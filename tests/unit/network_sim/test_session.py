"""Sign-on, sign-off, echo."""

from __future__ import annotations

import pytest

from network_sim.session import Questions, Session, SessionState
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


def test_a_ruled_code_refuses_and_changes_nothing(dialect: Dialect) -> None:
    """A sign-on answered 91 signs nobody on; 00 is no refusal, also of a function nobody knows."""
    session = Session(dialect)
    assert session.answer(management("001"), "91")[39] == "91"
    assert not session.signed_on
    assert session.answer(management("001"), "00")[39] == "00"
    assert session.signed_on
    assert session.answer(management("999"), "00")[39] == "00"


def test_a_key_is_given_where_there_is_one_to_give(dialect: Dialect) -> None:
    """161 brings the key's elements; without a key server it is not supported."""
    session = Session(dialect, new_key=lambda: {60: "block"})
    answer = session.answer(management("161"))
    assert (answer[39], answer[60]) == ("00", "block")
    assert Session(dialect).answer(management("161"))[39] == "40"


def test_a_session_may_do_without_sign_on(dialect: Dialect) -> None:
    """It is open from the beginning, until a sign-off."""
    session = Session(dialect, sign_on_required=False)
    assert session.signed_on
    session.answer(management("002"))
    assert not session.signed_on


def test_a_question_is_settled_by_its_own_answer() -> None:
    """DE 70, 11 and 7 must all come back; a second answer is nobody's."""
    questions, heard = Questions(), list[dict[int, str] | None]()
    asked = management("301")
    questions.ask(asked, heard.append)
    for wrong in ({11: "000002"}, {7: "1122071001"}, {70: "002"}):
        assert not questions.settle({**asked, 0: "0810", 39: "00", **wrong})
    answer = {**asked, 0: "0810", 39: "00"}
    assert questions.settle(answer)
    assert not questions.settle(answer)
    assert heard == [answer]


def test_questions_are_lost_with_their_connection() -> None:
    """Whoever waits hears so."""
    questions, heard = Questions(), list[dict[int, str] | None]()
    questions.ask(management("301"), heard.append)
    questions.lose()
    assert (heard, len(questions)) == ([None], 0)
