"""Questions about webhooks, one at a time: they are rare, and each is a query or two.

An errand is an async function of a session; what it raises as a problem becomes its answer, so the
task that runs errands never ends by one of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from api.coalescing import Coalescer
from api.errors import Problem, ProblemError
from ledger.statements import Runner

Errand = Callable[[Runner], Awaitable[Any]]
Errands = Coalescer[Errand, Any]


def make_errands(runner: Runner, *, queue_max: int) -> Errands:
    """Runs errands on one ledger; `runner` is of role turnout_api."""
    return Coalescer("webhooks", partial(_run, runner), queue_max=queue_max, batch_max=1)


async def _run(runner: Runner, errands: list[Errand]) -> list[Any]:
    return [await _answer(runner, errand) for errand in errands]


async def _answer(runner: Runner, errand: Errand) -> Any | Problem:
    try:
        return await errand(runner)
    except ProblemError as error:
        return error.problem
