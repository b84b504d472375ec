"""How commands end: which failures are told in one line, and with which exit status.

0 did it · 1 ran and found a fault · 2 usage (click's) · 3 could not start · 130 second Ctrl-C.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from chassis.supervisor import StartError
from ledger.errors import ConnectionLostError as LedgerLostError
from ledger.errors import LedgerError
from stack.api_keys import SealingError
from stack.credentials import CredentialsError
from stack.endpoints import NotRunningError
from stack.signing import SigningError
from turnout_client import ConnectionLostError, SealError, TurnoutError

EXIT_FAULT: Final = 1
EXIT_USAGE: Final = 2
EXIT_CANNOT_START: Final = 3

# The first class that fits decides, so narrower ones stand first.
_EXITS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (NotRunningError, EXIT_CANNOT_START),
    (CredentialsError, EXIT_CANNOT_START),
    (StartError, EXIT_CANNOT_START),
    (LedgerLostError, EXIT_CANNOT_START),
    (ConnectionLostError, EXIT_CANNOT_START),
    (SigningError, EXIT_USAGE),
    (SealError, EXIT_USAGE),
    (SealingError, EXIT_FAULT),
    (LedgerError, EXIT_FAULT),
    (TurnoutError, EXIT_FAULT),
)


@contextmanager
def told_in_one_line(command: str) -> Iterator[None]:
    """Turn the failures that a user can mend into a line on stderr and an exit status."""
    try:
        yield
    except tuple(kind for kind, _ in _EXITS) as error:
        click.echo(f"turnout {command}: {error}", err=True)
        sys.exit(next(status for kind, status in _EXITS if isinstance(error, kind)))
