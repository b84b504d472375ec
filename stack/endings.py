"""How commands end: failures that a user can mend are told in one line, with an exit status.

0 did it · 1 ran and found a fault · 2 usage (click's) · 3 could not start · 130 second Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

import click

EXIT_FAULT: Final = 1
EXIT_USAGE: Final = 2


@contextmanager
def told_in_one_line(command: str, exits: Mapping[type[Exception], int]) -> Iterator[None]:
    """Turn some exceptions into a line on stderr and the end of the program.

    Args:
        command: as typed, such as `pay`.
        exits: the exit status of each kind; the first one that fits decides.
    """
    try:
        yield
    except BrokenPipeError:  # whoever read our output has gone: nothing is left to be told
        raise
    except tuple(exits) as error:
        click.echo(f"turnout {command}: {_told(error)}", err=True)
        sys.exit(next(status for kind, status in exits.items() if isinstance(error, kind)))


def _told(error: Exception) -> str:
    """What is wrong, and with files of somebody else's what to do about it."""
    if not isinstance(error, OSError) or error.filename is None:
        return str(error)
    text = f"{error.filename}: {error.strerror}"
    if isinstance(error, PermissionError):
        text += "; run this as the user who started the stack, or as root"
    return text
