"""Options that the commands for operators share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import click

from ledger.operator_limits import NOTE_CHARACTERS_MAX, OPERATOR_CHARACTERS_MAX
from stack.commands.parameters import LINE, Text

LIMIT_MAX: Final = 10_000
LIMIT_DEFAULT: Final = 100

Command = Callable[..., None]

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def limit_option(command: Command) -> Command:
    """Give a command `--limit`."""
    return click.option(
        "--limit",
        type=click.IntRange(1, LIMIT_MAX),
        default=LIMIT_DEFAULT,
        show_default=True,
        help="How many at most, oldest first.",
    )(command)


def operator_option(command: Command) -> Command:
    """Give a command `--operator`; without one it receives None."""
    return click.option(
        "--operator",
        type=Text(OPERATOR_CHARACTERS_MAX, LINE, "one line"),
        help="Who does this, for the record.  [default: who is logged in]",
    )(command)


def note_option(help_: str, *, required: bool = False) -> Callable[[Command], Command]:
    """Give a command `--note`; without one it receives None."""
    return click.option(
        "--note", type=Text(NOTE_CHARACTERS_MAX, LINE, "one line"), required=required, help=help_
    )
