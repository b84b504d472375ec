"""Acting on the ledger of a running stack: one session of the administrator's role, one action."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

import trio

from chassis.log import configure_logging
from chassis.supervisor import StartError
from ledger.connection import Connection
from ledger.errors import ConnectionLostError, LedgerError
from stack.endings import EXIT_FAULT, told_in_one_line
from stack.endpoints import NotRunningError
from stack.options import EXIT_CANNOT_START, Place, quiet_log
from stack.running import RunningStack, find_running

EXITS: Final[dict[type[Exception], int]] = {
    NotRunningError: EXIT_CANNOT_START,
    StartError: EXIT_CANNOT_START,  # the database's passwords are the supervisor's
    ConnectionLostError: EXIT_CANNOT_START,
    LedgerError: EXIT_FAULT,
}

T = TypeVar("T")
Document = dict[str, Any]
Action = Callable[[RunningStack, Connection], Awaitable[T]]


def act(
    command: str,
    place: Place,
    action: Action[T],
    exits: Mapping[type[Exception], int] = EXITS,
) -> T:
    """Run an action on the stack of a place.

    What a user can mend is told in one line, and ends the program.

    Args:
        command: as typed, such as `merchants list`.
        place: whose stack.
        action: gets the stack and a session of role turnout_admin.
        exits: the exit status of what the action may raise.
    """
    with told_in_one_line(command, exits):
        stack = find_running(place.settings, place.data_dir)
        configure_logging(quiet_log(place.settings.log), process=command.partition(" ")[0])
        return trio.run(partial(_with_session, stack, action))


async def _with_session(stack: RunningStack, action: Action[T]) -> T:
    async with stack.administration() as session:
        return await action(stack, session)
