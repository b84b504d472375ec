"""What a DE 39 response code means, from one versioned data table.

The table is `response_codes.toml`, beside this module. A code it does not list is a decline
without retry: an unknown word from a network never becomes an approval.
"""

from __future__ import annotations

import tomllib
from importlib.resources import files
from typing import Literal

from msgspec import Struct, convert

CodeClass = Literal["approve", "hard", "soft", "data", "generic", "our_fault", "undecided", "wait"]
Advice = Literal["", "retry_later", "use_other_card", "do_not_retry", "authenticate"]
AdviceRole = Literal["final", "nothing_found", "retry", "poison"]
DeclineClass = Literal["hard", "soft", "data", "generic"]


class ResponseCode(Struct, frozen=True, forbid_unknown_fields=True, rename={"code_class": "class"}):
    """One row of the table."""

    code_class: CodeClass
    decline: str = ""
    advice: Advice = ""
    partial: bool = False  # approved for less than was asked (DE 4 of the answer)
    zero_amount_only: bool = False  # an approval only of an account verification


class _Advices(Struct, frozen=True, forbid_unknown_fields=True):
    final: tuple[str, ...] = ()
    nothing_found: tuple[str, ...] = ()
    retry: tuple[str, ...] = ()


class _Table(Struct, frozen=True, forbid_unknown_fields=True):
    version: str
    default: ResponseCode
    codes: dict[str, ResponseCode]
    advices: _Advices = _Advices()


class ResponseCodes:
    """Look-up by DE 39; total, because a network may say anything."""

    __slots__ = ("_codes", "_default", "_roles", "version")

    def __init__(self, table: bytes | str) -> None:
        parsed = convert(tomllib.loads(table if isinstance(table, str) else table.decode()), _Table)
        self.version = parsed.version
        self._codes = parsed.codes
        self._default = parsed.default
        for code, row in parsed.codes.items():
            if len(code) != 2 or not code.isalnum():
                raise ValueError(f"response code {code!r}: DE 39 is two letters or digits")
            if row.code_class in {"hard", "soft", "data", "generic", "our_fault"} and not (
                row.decline and row.advice
            ):
                raise ValueError(f"response code {code!r}: a decline needs a code and an advice")
        self._roles = _roles(parsed.advices)

    def __contains__(self, code: str) -> bool:
        return code in self._codes

    def is_alarming(self, code: str) -> bool:
        """Whether a person should look: the network blames us, or says what nobody knows."""
        row = self._codes.get(code)
        return row is None or row.code_class == "our_fault"

    def look_up(self, code: str) -> ResponseCode:
        """The row of `code`, or the default decline."""
        return self._codes.get(code, self._default)

    def advice_role(self, code: str) -> AdviceRole:
        """What `code` means in the answer to an advice; approvals are final however they read."""
        role = self._roles.get(code)
        if role is not None:
            return role
        row = self._codes.get(code)
        return "final" if row is not None and row.code_class == "approve" else "poison"


def _roles(advices: _Advices) -> dict[str, AdviceRole]:
    rows: tuple[tuple[AdviceRole, tuple[str, ...]], ...] = (
        ("final", advices.final),
        ("nothing_found", advices.nothing_found),
        ("retry", advices.retry),
    )
    roles: dict[str, AdviceRole] = {}
    for role, codes in rows:
        for code in codes:
            if code in roles:
                raise ValueError(f"response code {code!r}: an advice has one role for it")
            roles[code] = role
    return roles


def load_response_codes() -> ResponseCodes:
    """The bundled table."""
    return ResponseCodes(files("switch.core").joinpath("response_codes.toml").read_bytes())


_DECLINE_CLASSES: dict[CodeClass, DeclineClass] = {"hard": "hard", "soft": "soft", "data": "data"}


def decline_class(row: ResponseCode) -> DeclineClass:
    """How final a decline is, for the rules on trying a card again (iso8583.md 2.3)."""
    return _DECLINE_CLASSES.get(row.code_class, "generic")


NOT_SENT = ResponseCode("soft", "network_unavailable", "retry_later")
"""How a merchant hears of an attempt of which no byte left."""
