"""A stack in the foreground of a terminal: its program ends with a status, and says why."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import click
import trio

from chassis.supervisor import StartError
from stack.options import EXIT_CANNOT_START
from stack.run import StackFailedError

EXIT_INTERRUPTED: Final = 130


def run_in_foreground(command: str, main: Callable[[], Awaitable[int]]) -> int:
    """Run the program of a command that starts a stack; what keeps it from starting is told.

    Args:
        command: as typed, such as `up`.
        main: gives the exit status of a stack that did start.

    Returns:
        The exit status.
    """
    try:
        return trio.run(main)
    except StartError as error:
        click.echo(f"turnout {command}: {error}", err=True)
        return EXIT_CANNOT_START
    except StackFailedError as error:  # it has said why
        return error.exit_code
    except KeyboardInterrupt:  # before there was anything to drain
        return EXIT_INTERRUPTED
