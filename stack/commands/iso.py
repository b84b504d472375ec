"""`turnout iso`: read and write single ISO 8583 messages by hand."""

from __future__ import annotations

import json
import re
import sys
from typing import Any, Final

import click

from stack.endings import EXIT_FAULT, told_in_one_line
from stack.options import EXIT_CANNOT_START

INPUT_CHARS_MAX: Final = 262_144  # no message is near; a wrong file is not read to its end
_SEPARATORS: Final = re.compile(r"[\s:,]+|(?<![0-9A-Fa-f])0[xX]")
_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,2}")


class HexBytes(click.ParamType[bytes]):
    """Bytes as hex digits; spaces, colons and `0x` between them do not count; `-` is stdin."""

    name = "hex|-"

    def convert(
        self, value: str | bytes, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        """Read the digits; what is wrong with them is told without them."""
        if isinstance(value, bytes):
            return value
        digits = _SEPARATORS.sub("", _text(value))
        if len(digits) > INPUT_CHARS_MAX:
            self.fail("is too long for a message", param, ctx)
        if not re.fullmatch(r"[0-9A-Fa-f]+", digits):
            self.fail("must be hex digits, and at least two", param, ctx)
        if len(digits) % 2:
            self.fail(f"has {len(digits)} hex digits: one is missing", param, ctx)
        return bytes.fromhex(digits)


class Fields(click.ParamType[dict[int, str]]):
    """A JSON object: element number to value, "0" the message type; `-` is stdin."""

    name = "json|-"

    def convert(
        self, value: str | dict[int, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> dict[int, str]:
        """Read the object; what is wrong with a value is told without it."""
        if isinstance(value, dict):
            return value
        try:
            pairs = json.loads(_text(value), object_pairs_hook=tuple)
        except ValueError:
            pairs = None
        if not isinstance(pairs, tuple):  # a list is none
            self.fail("must be one JSON object", param, ctx)
        fields: dict[int, str] = {}
        for key, text in pairs:
            if not _NUMBER.fullmatch(key) or int(key) in fields:
                self.fail("has a key that is no element number, or one twice", param, ctx)
            if not isinstance(text, str):
                self.fail(f'"{key}" must be a string: leading zeros matter', param, ctx)
            fields[int(key)] = text
        return fields


def _text(value: str) -> str:
    return sys.stdin.read(INPUT_CHARS_MAX * 2) if value == "-" else value


def _dialect_option(command: Any) -> Any:
    return click.option(
        "--dialect",
        "dialect_name",
        metavar="NAME|FILE",
        default="net87b",
        show_default=True,
        help="net87b, vip, cis, or the path of a dialect file (.toml).",
    )(command)


@click.group()
def iso() -> None:
    """Decode and encode ISO 8583 messages by hand."""


@iso.command()
@click.argument("data", type=HexBytes(), metavar="HEX|-")
@_dialect_option
@click.option(
    "--framed/--unframed",
    "framed",
    default=None,
    help="Whether a frame of the dialect stands around the message. Default: find out.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def decode(data: bytes, *, dialect_name: str, framed: bool | None, as_json: bool) -> None:
    """Show a message element by element, card data masked.

    HEX may hold spaces, colons and 0x; - reads it from standard input. Exit status 1 if it is no
    message of the dialect: then what could be read is shown, what is wrong, and what may be.
    """
    # When called: --help must not wait for the codec.
    from switch.iso8583 import DialectError, load_dialect  # noqa: PLC0415
    from switch.iso8583.explain import document, read, show  # noqa: PLC0415

    with told_in_one_line("iso decode", {DialectError: EXIT_CANNOT_START}):
        dialect = load_dialect(dialect_name)
    reading = read(dialect, data, framed=framed)
    if as_json:
        click.echo(json.dumps(document(dialect, reading), indent=2))
    else:
        show(dialect, reading, sys.stdout)
    sys.exit(0 if reading.ok else EXIT_FAULT)


@iso.command()
@click.argument("fields", type=Fields(), metavar="JSON|-")
@_dialect_option
@click.option("--framed", is_flag=True, help="Put the dialect's frame around the message.")
@click.option("--fit", is_flag=True, help="Fill fixed elements: zeros before digits, else spaces.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def encode(
    fields: dict[int, str], *, dialect_name: str, framed: bool, fit: bool, as_json: bool
) -> None:
    """Pack a message and print it as hex.

    JSON is an object of element number to value, "0" the message type; - reads it from standard
    input. The hex holds what the values hold, card numbers too. Exit status 1 if they are no
    message of the dialect.
    """
    # When called: --help must not wait for the codec.
    from chassis.framing import FrameError  # noqa: PLC0415
    from switch.iso8583 import DialectError, EncodeError, load_dialect  # noqa: PLC0415
    from switch.iso8583.explain import fault_words, framing_words  # noqa: PLC0415
    from switch.iso8583.framing import framer_for  # noqa: PLC0415

    with told_in_one_line("iso encode", {DialectError: EXIT_CANNOT_START, FrameError: EXIT_FAULT}):
        dialect = load_dialect(dialect_name)
        known = dialect.elements if fit else {}
        try:
            data = dialect.encode(
                {de: known[de].fit(text) if de in known else text for de, text in fields.items()}
            )
        except EncodeError as error:
            click.echo(f"turnout iso encode: {fault_words(dialect, error)}", err=True)
            sys.exit(EXIT_FAULT)
        if framed:
            data = framer_for(dialect.framing, dialect.framing.frame_bytes_max).wrap(data)
    if as_json:
        framing = framing_words(dialect.framing) if framed else None
        summary = {"dialect": dialect.name, "framing": framing, "bytes": len(data)}
        click.echo(json.dumps(summary | {"hex": data.hex()}))
    else:
        click.echo(data.hex())
