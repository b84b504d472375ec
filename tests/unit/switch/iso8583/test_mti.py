"""Message types: what answers what, and what folds to what."""

from __future__ import annotations

import pytest

from switch.iso8583 import load_dialect, mti

ANSWERS = [
    ("0100", "0110"),
    ("0101", "0110"),
    ("0120", "0130"),
    ("0200", "0210"),
    ("0201", "0210"),
    ("0220", "0230"),
    ("0221", "0230"),
    ("0400", "0410"),
    ("0401", "0410"),
    ("0420", "0430"),
    ("0421", "0430"),
    ("0422", "0432"),
    ("0500", "0510"),
    ("0600", "0610"),
    ("0800", "0810"),
]


@pytest.mark.parametrize(("asking", "answering"), ANSWERS)
def test_each_request_has_its_answer(asking: str, answering: str) -> None:
    """A response adds ten and drops the repeat digit; the origin stays."""
    assert mti.response_mti(asking) == answering
    assert mti.is_response(answering)
    assert not mti.is_response(asking)


@pytest.mark.parametrize(("asking", "answering"), ANSWERS)
def test_question_and_answer_fold_to_the_same(asking: str, answering: str) -> None:
    """What is matched is the question without its repeat digit."""
    assert mti.fold(asking) == mti.fold(answering)


def test_nothing_else_folds_together() -> None:
    """Class, function and origin keep messages apart: a 0410 never matches a 0100 or a 0420."""
    folded = {mti.fold(answering) for _, answering in ANSWERS}
    assert folded == {
        "0100", "0120", "0200", "0220", "0400", "0420", "0422", "0500", "0600", "0800",
    }  # fmt: skip


@pytest.mark.parametrize("answer", ["0110", "0130", "0210", "0432", "0140", "0160"])
def test_nobody_answers_an_answer(answer: str) -> None:
    """Answers, notifications and instructions have no response."""
    with pytest.raises(ValueError, match="has no response"):
        mti.response_mti(answer)


def test_constants_are_messages_of_net87b() -> None:
    """Every message type that code names is one that the bundled dialect lets through."""
    constants = {value for name, value in vars(mti).items() if name.isupper() and name[0] != "_"}
    assert constants <= load_dialect("net87b").mtis
    assert len(constants) > 15
