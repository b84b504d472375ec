"""JSON bodies, read so that no two readers could see two different things in them.

Beyond syntax, three things are refused before a body's types are looked at: members that stand
twice (readers differ on which one counts), nesting that no route needs, and raw card data.
Members are counted in the text, where a name ends with `"` and a colon, and compared with the
members decoded. A string that begins with a colon makes the count too high, and a backslash makes
it meaningless; then a second, slower reading decides.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from api.card_data import holds_card_number, is_card_member, is_card_number
from api.errors import FieldProblem, Problem, ProblemError

Record = TypeVar("Record", bound=Struct)

DEPTH_MAX: Final = 8  # the deepest body of a route has three levels
_NAME_CHARS_MAX: Final = 64  # of a member's name in an answer
_MEMBER = re.compile(rb'"[ \t\n\r]*:')
_SEALED_PREFIX: Final = "v1."
_AMOUNT: Final = "amountInCents"
# Names that need no look: only to be quick, so a name left out here is no fault.
_COMMON_MEMBERS: Final = frozenset(
    {"amountInCents", "card", "ciphertext", "currency", "description", "metadata", "type"}
)
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$(.*)`)?", re.DOTALL)
_MISSING_FIELD = re.compile(r"Object missing required field `(.*?)`(?: - at `\$(.*)`)?", re.DOTALL)
_WRONG = re.compile(r"(.*?)(?: - at `\$(.*)`)?", re.DOTALL)
_WRONG_TYPE = re.compile(r"Expected `([^`]+)`, got `([^`]+)`")
# msgspec's names of types, which are Python's, in the words of JSON.
_TYPES: Final = {
    "array": "an array",
    "bool": "a boolean",
    "float": "a number with a fraction",
    "int": "an integer",
    "object": "an object",
    "str": "a string",
}
_PATH_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")

_IN_DICTIONARY: Final = "[...]`"  # the end of a path whose last step msgspec does not name
_CUT_SHORT: Final = "Input data was truncated"  # as msgspec puts it

_decode = msgspec.json.Decoder().decode


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object that a body is.

    Raises:
        ProblemError: `malformed_json` or `raw_card_data_refused`.
    """
    if not body:
        raise _malformed("there is no body; it must be one JSON object")
    try:
        value = _decode(body)
    except UnicodeDecodeError:
        raise _malformed("a string is not valid UTF-8") from None
    except RecursionError:
        raise _malformed(f"the body is nested deeper than {DEPTH_MAX} levels") from None
    except msgspec.DecodeError as error:
        # msgspec names the place and the rule, not the data.
        reason = "the body ends before its JSON does" if str(error) == _CUT_SHORT else str(error)
        raise _malformed(reason) from None
    if type(value) is not dict:
        raise _malformed("the body must be one JSON object")
    members = _inspect(value, "", 1)
    if b"\\" in body or len(_MEMBER.findall(body)) != members:
        _check_members_slowly(body)
    return value


def convert(value: dict[str, Any], type_: type[Record]) -> Record:
    """The object as a record.

    Raises:
        ProblemError: `unknown_field`, `missing_field`, `invalid_type`, or `amount_out_of_range`
            for an amount that is a number but no integer; with a JSON pointer.
    """
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        fault = explain(str(error))
        pointer = str(fault.pointer)
        if str(error).endswith(_IN_DICTIONARY):
            member = f"{pointer}/{_escape(_first_that_is_no_text(value, pointer))}"
            fault = msgspec.structs.replace(fault, pointer=member)
        if fault.code == "unknown_field" and pointer.count("/") == 1:
            known = ", ".join(sorted(_members(type_)))
            fault = msgspec.structs.replace(fault, detail=f"{fault.detail}; known are {known}")
        raise ProblemError(Problem(fault.code, fault.detail, (fault,))) from None


def explain(reason: str) -> FieldProblem:
    """A validation error of msgspec as a field problem; tests pin its wordings."""
    if match := _UNKNOWN_FIELD.fullmatch(reason):
        name = match[1][:_NAME_CHARS_MAX]
        return FieldProblem(
            f"{_pointer(match[2])}/{_escape(name)}", "unknown_field", f"{name} is not known here"
        )
    if match := _MISSING_FIELD.fullmatch(reason):
        return FieldProblem(_pointer(match[2]), "missing_field", f"{match[1]} is missing")
    match = _WRONG.fullmatch(reason)
    assert match is not None
    pointer = _pointer(match[2])
    if pointer == f"/{_AMOUNT}" and match[1] == "Expected `int`, got `float`":
        return FieldProblem(pointer, "amount_out_of_range", "must be an integer in minor units")
    if wrong := _WRONG_TYPE.fullmatch(match[1]):
        expected = " or ".join(_TYPES.get(name, name) for name in wrong[1].split(" | "))
        rule = f"must be {expected}, not {_TYPES.get(wrong[2], wrong[2])}"
        return FieldProblem(pointer, "invalid_type", rule)
    return FieldProblem(pointer, "invalid_type", match[1].replace("`", ""))


def _first_that_is_no_text(body: dict[str, Any], pointer: str) -> str:
    """The member at fault of a dictionary in a body; those that there are have text as values."""
    found: Any = body
    for step in pointer.split("/")[1:]:
        found = found[step]
    return next((name for name, value in found.items() if type(value) is not str), "")


def _members(type_: type[Struct]) -> set[str]:
    """The names that an object of this type may have; the tag that tells types apart is one."""
    names = {field.encode_name for field in msgspec.structs.fields(type_)}
    tag_field = type_.__struct_config__.tag_field
    return names if tag_field is None else names | {tag_field}


def _inspect(value: Any, pointer: str, depth: int) -> int:
    """Count the members of an object or array and refuse raw card data in it."""
    if depth > DEPTH_MAX:
        raise _malformed(f"the body is nested deeper than {DEPTH_MAX} levels")
    if type(value) is list:
        return sum(_inspect_item(item, str(at), pointer, depth) for at, item in enumerate(value))
    members = len(value)
    for name, item in value.items():
        if name not in _COMMON_MEMBERS and (is_card_member(name) or holds_card_number(name)):
            raise _raw_card_data(pointer)
        members += _inspect_item(item, name, pointer, depth)
    return members


def _inspect_item(item: Any, name: str, parent: str, depth: int) -> int:
    kind = type(item)
    if kind is str:
        sealed = name == "ciphertext" and item.startswith(_SEALED_PREFIX)
        if not sealed and holds_card_number(item):
            raise _raw_card_data(f"{parent}/{_escape(name)}")
    elif kind is dict or kind is list:
        return _inspect(item, f"{parent}/{_escape(name)}", depth + 1)
    elif kind is int and name != _AMOUNT and is_card_number(item):
        raise _raw_card_data(f"{parent}/{_escape(name)}")
    return 0


def _check_members_slowly(body: bytes) -> None:
    def refuse_twice(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _value in pairs}) != len(pairs):
            raise _malformed("a member stands twice")

    try:
        json.loads(body, object_pairs_hook=refuse_twice)
    except (ValueError, RecursionError):
        raise _malformed("the body is not JSON as RFC 8259 has it") from None


def _pointer(path: str | None) -> str:
    """A JSON pointer (RFC 6901) from msgspec's path; keys of dictionaries are not told by it."""
    steps = _PATH_STEP.findall((path or "").replace("[...]", ""))
    return "".join("/" + _escape(name or index) for name, index in steps)


def _escape(name: str) -> str:
    return name[:_NAME_CHARS_MAX].replace("~", "~0").replace("/", "~1")


def _malformed(detail: str) -> ProblemError:
    return ProblemError(Problem("malformed_json", detail))


def _raw_card_data(pointer: str) -> ProblemError:
    fault = FieldProblem(pointer, "raw_card_data_refused", "card data in the clear")
    return ProblemError(Problem("raw_card_data_refused", errors=(fault,)))
