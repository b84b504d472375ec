"""Query strings."""

from __future__ import annotations

import msgspec
import pytest

from api.errors import ProblemError
from api.query import invalid_parameter, parse_parameters, read_integer, refuse_parameters


def test_routes_without_parameters_refuse_them() -> None:
    """A misplaced parameter does not go unnoticed."""
    refuse_parameters(b"")
    with pytest.raises(ProblemError):
        refuse_parameters(b"expand=card")


def test_parameters_are_decoded_once() -> None:
    """An encoded percent sign is one, and a plus is a plus."""
    assert parse_parameters(b"a=%2541&b=1+1&c") == {"a": "%41", "b": "1+1", "c": ""}


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.0", " 1", "1_0", "\u0665", "1" * 16])
def test_integers_are_decimal_digits(text: str) -> None:
    """What other readers of numbers would let through is none."""
    assert read_integer("0" + "1" * 14) == int("1" * 14)
    assert read_integer(text) is None


def test_a_refusal_names_its_parameter() -> None:
    """Programs find the name beside the sentence; there is no place in a body to point to."""
    problem = invalid_parameter("limit", "must be less").problem
    assert (problem.code, problem.detail) == ("invalid_query", "limit must be less")
    [fault] = msgspec.to_builtins(problem.errors)
    assert fault == {"code": "invalid_query", "detail": "must be less", "parameter": "limit"}
