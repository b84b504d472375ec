"""What commands take as arguments, checked at the door; messages never repeat a card number."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Final

import click

from chassis.secrets import PAN_DIGITS_MAX, PAN_DIGITS_MIN
from ledger.ids import IdError, Prefix, parse_id

PRINTABLE: Final = r"[\x20-\x7e]+"
LINE: Final = r"[^\x00-\x1f\x7f]*\S[^\x00-\x1f\x7f]*"  # any script, no control characters


class Body(click.ParamType[bytes]):
    """The bytes of a body: the text itself, or `@FILE`, or `@-` for standard input."""

    name = "body|@file"

    def convert(
        self, value: str | bytes, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Read the body without changing a byte."""
        if isinstance(value, bytes):
            return value
        if not value.startswith("@"):
            return os.fsencode(value)
        if value == "@-":
            return sys.stdin.buffer.read()
        try:
            return Path(value[1:]).read_bytes()
        except OSError as error:
            self.fail(f"{value[1:]}: {error.strerror}", param, ctx)


class CardNumber(click.ParamType[str]):
    """The digits of a card number; spaces between them do not count."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check the form, not the check digit: the simulated networks take any."""
        digits = value.replace(" ", "")
        if not (
            PAN_DIGITS_MIN <= len(digits) <= PAN_DIGITS_MAX
            and digits.isascii()
            and digits.isdigit()
        ):
            self.fail(f"must have {PAN_DIGITS_MIN} to {PAN_DIGITS_MAX} digits", param, ctx)
        return digits


class PublicId(click.ParamType[bytes]):
    """A public id such as `mer_…`, converted to its sixteen bytes.

    Args:
        prefix: of the kind of thing that it names.
    """

    def __init__(self, prefix: Prefix) -> None:
        self.name = f"{prefix}_…"
        self._prefix = prefix

    def convert(
        self, value: str | bytes, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Check the form."""
        if isinstance(value, bytes):
            return value
        try:
            return parse_id(self._prefix, value)
        except IdError as error:
            self.fail(str(error), param, ctx)


class Text(click.ParamType[str]):
    """A text of a given form.

    Args:
        length_max: in characters.
        form: a regular expression that the whole text must match.
        wanted: the form in words.
    """

    name = "text"

    def __init__(
        self, length_max: int, form: str = PRINTABLE, wanted: str = "printable ASCII"
    ) -> None:
        self._length_max = length_max
        self._form = re.compile(form)
        self._wanted = wanted

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Check form and length."""
        if not self._form.fullmatch(value):
            self.fail(f"must be {self._wanted}", param, ctx)
        if len(value) > self._length_max:
            self.fail(f"must have at most {self._length_max} characters", param, ctx)
        return value


def writable(context: click.Context, option: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file that cannot be written before what it is to hold has been made."""
    if path is not None and not os.access(path if path.exists() else path.parent, os.W_OK):
        raise click.BadParameter(f"{path} cannot be written", context, option)
    return path
