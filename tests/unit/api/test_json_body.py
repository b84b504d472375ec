"""JSON bodies: one meaning or none."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.card_data import is_card_member
from api.errors import FieldProblem, Problem, ProblemError
from api.json_body import DEPTH_MAX, convert, read_object


class Inner(msgspec.Struct, forbid_unknown_fields=True):
    """A record for the tests."""

    name: str


class Outer(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """Another."""

    amount_in_cents: int
    inner: Inner | None = None
    items: list[Inner] | None = None
    labels: dict[str, str] | None = None


def refused(body: bytes) -> Problem:
    """The problem that a body is."""
    with pytest.raises(ProblemError) as caught:
        read_object(body)
    return caught.value.problem


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b'{"a":1,}',
        b"{'a':1}",
        b'{"a":01}',
        b'{"a":NaN}',
        b'{"a":1}{"b":2}',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\x01"}',
        b'{"a":1e400}',
        b'{"a":' + b"9" * 5_000 + b"}",
        b'{"a":1,"a":2}',
        b'{"a":1,"a" :2}',
        b'{"a":1,"a"\n\t :2}',
        b'{"a":1,"\\u0061":2}',
        b'{"x":{"a":1,"a":2}}',
        b'{"x":[{"a":1,"a":2}]}',
        b"[" * 60_000,
        b'{"a":' * 10_000,
        b'{"a":' * (DEPTH_MAX + 1) + b"1" + b"}" * (DEPTH_MAX + 1),
        b'{"a":' + b"[" * DEPTH_MAX + b"]" * DEPTH_MAX + b"}",
    ],
)
def test_bodies_without_one_meaning(body: bytes) -> None:
    """Syntax, encoding, repeated members and depth are refused, without showing the data."""
    problem = refused(body)
    assert problem.code == "malformed_json"
    assert problem.detail


def test_a_colon_in_a_text_is_no_member() -> None:
    """Counting members is not fooled by what stands in strings."""
    body = {":": ": a", "a": 'x":', "b": '"', "c": "é:", "d": {"e": ":", "f": '":1'}}
    for ensure_ascii in (True, False):
        assert read_object(json.dumps(body, ensure_ascii=ensure_ascii).encode()) == body


NAMES = st.text(max_size=4).filter(lambda name: not is_card_member(name))
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(NAMES, JSON_VALUES, max_size=4), st.booleans())
def test_any_object_is_read_as_it_was_written(body: dict[str, Any], ascii_only: bool) -> None:  # noqa: FBT001
    """What a library writes is read, with escapes or without, except for what is refused."""
    text = json.dumps(body, ensure_ascii=ascii_only, indent=1 if ascii_only else None)
    encoded = text.encode("utf-8", "surrogatepass")
    if _has_surrogate(text) or _depth(body) > DEPTH_MAX:
        assert refused(encoded).code == "malformed_json"
    else:
        assert read_object(encoded) == body


def _has_surrogate(text: str) -> bool:
    try:
        json.dumps(json.loads(text), ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _depth(value: Any) -> int:
    children = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    )
    return 1 + max((_depth(child) for child in children), default=0)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b'{"cvc":"123"}', ""),
        (b'{"card":{"number":"1"}}', "/card"),
        (b'{"a":[{"b":"4242424242424242"}]}', "/a/0/b"),
        (b'{"a":["4242 4242 4242 4242"]}', "/a/0"),
        (b'{"a":4242424242424242}', "/a"),
        (b'{"a/b~c":"4242-4242-4242-4242"}', "/a~1b~0c"),
        (b'{"a":"\\u0034242424242424242"}', "/a"),
        (b'{"4242424242424242":true}', ""),
        (b'{"ciphertext":"4242424242424242"}', "/ciphertext"),
    ],
)
def test_raw_card_data_is_refused_where_it_stands(body: bytes, pointer: str) -> None:
    """The place is named, the number is not."""
    problem = refused(body)
    assert problem.code == "raw_card_data_refused"
    assert [fault.pointer for fault in problem.errors] == [pointer]
    assert "4242" not in str(problem.errors).replace(pointer, "")


def test_a_sealed_card_is_not_searched() -> None:
    """Base64 may look like anything."""
    body = {"ciphertext": "v1.key.4242424242424242"}
    assert read_object(json.dumps(body).encode()) == body


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ({}, FieldProblem("", "missing_field", "amountInCents is missing")),
        (
            {"amountInCents": 1, "inner": {}},
            FieldProblem("/inner", "missing_field", "name is missing"),
        ),
        (
            {"amountInCents": 1, "x/y": 1},
            FieldProblem(
                "/x~1y",
                "unknown_field",
                "x/y is not known here; known are amountInCents, inner, items, labels",
            ),
        ),
        (
            {"amountInCents": 1, "inner": {"name": "", "x": 1}},
            FieldProblem("/inner/x", "unknown_field", "x is not known here"),
        ),
        (
            {"amountInCents": "1"},
            FieldProblem("/amountInCents", "invalid_type", "must be an integer, not a string"),
        ),
        (
            {"amountInCents": 1.5},
            FieldProblem(
                "/amountInCents", "amount_out_of_range", "must be an integer in minor units"
            ),
        ),
        (
            {"amountInCents": True},
            FieldProblem("/amountInCents", "invalid_type", "must be an integer, not a boolean"),
        ),
        (
            {"amountInCents": None},
            FieldProblem("/amountInCents", "invalid_type", "must be an integer, not null"),
        ),
        (
            {"amountInCents": 1, "inner": "a"},
            FieldProblem("/inner", "invalid_type", "must be an object or null, not a string"),
        ),
        (
            {"amountInCents": 1, "items": {}},
            FieldProblem("/items", "invalid_type", "must be an array or null, not an object"),
        ),
        (
            {"amountInCents": 1, "items": [{"name": 1.5}]},
            FieldProblem(
                "/items/0/name", "invalid_type", "must be a string, not a number with a fraction"
            ),
        ),
        (
            {"amountInCents": 1, "items": [{"name": "a"}, {"name": 1}]},
            FieldProblem("/items/1/name", "invalid_type", "must be a string, not an integer"),
        ),
        (
            {"amountInCents": 1, "labels": {"a": 1}},
            FieldProblem("/labels/a", "invalid_type", "must be a string, not an integer"),
        ),
    ],
)
def test_type_errors_have_a_pointer(value: dict[str, Any], fault: FieldProblem) -> None:
    """Every wording of msgspec is understood."""
    with pytest.raises(ProblemError) as caught:
        convert(value, Outer)
    assert caught.value.problem.errors == (fault,)
    assert caught.value.problem.code == fault.code


def test_a_long_unknown_name_is_cut() -> None:
    """An answer does not grow with what was sent."""
    with pytest.raises(ProblemError) as caught:
        convert({"amountInCents": 1, "x" * 10_000: 1}, Outer)
    assert len(caught.value.problem.detail) < 150


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "there is no body; it must be one JSON object"),
        (b'{"a":', "the body ends before its JSON does"),
        (b'{"a":1,}', "JSON is malformed: trailing comma in object (byte 7)"),
        (b"[]", "the body must be one JSON object"),
    ],
)
def test_what_is_wrong_with_a_body_is_said(body: bytes, detail: str) -> None:
    """In words that say how to mend it."""
    assert refused(body).detail == detail
