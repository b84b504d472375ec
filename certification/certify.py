"""One certification from its order to its report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import attrs
import trio

from certification import page, profile, report
from certification.catalog import Row
from certification.peer import PeerPlace, run_peer
from certification.progress import say, tell
from certification.results import Result
from certification.runner import run_cases
from chassis.log import configure_logging
from chassis.settings import Log


class CannotStartError(Exception):
    """Nothing could be certified; says why."""


@attrs.frozen(kw_only=True)
class Order:
    """What is to be certified."""

    rows: Sequence[Row]
    seed: int
    factor: float | None = None  # None = the profile's
    keep: bool = False


def certify_switch(order: Order) -> tuple[dict[str, Any], str]:
    """Play the cases against a stack of their own; the document and the page.

    Raises:
        CannotStartError: the stack does not start.
    """
    configure_logging(Log(level="error"), process="certify")
    factor = order.factor or profile.FACTOR
    say(f"profile {profile.NAME}: timers x {factor:g}, seed {order.seed}")
    began = time.monotonic()

    async def run() -> list[Result]:
        return await run_cases(
            order.rows, factor=factor, seed=order.seed, keep=order.keep, tell=tell
        )

    results = trio.run(run)
    if all(result.never_ran for result in results):
        raise CannotStartError(results[0].evidence[0])
    summary = report.document(
        results,
        profile=profile.NAME,
        seed=order.seed,
        factor=factor,
        seconds=time.monotonic() - began,
    )
    return summary, page.render(results, summary, at=datetime.now(tz=UTC))


def certify_peer(order: Order, place: PeerPlace) -> tuple[dict[str, Any], str]:
    """Judge an acquirer that calls; the document and the page.

    Raises:
        CannotStartError: the port is taken, or the files cannot be used.
    """
    configure_logging(Log(level="error"), process="certify")
    began = time.monotonic()
    try:
        results = trio.run(run_peer, order.rows, place, tell)
    except (OSError, ValueError) as error:
        raise CannotStartError(str(error)) from None
    summary = report.document(
        results, profile="peer", seed=order.seed, factor=1.0, seconds=time.monotonic() - began
    )
    return summary, page.render(results, summary, at=datetime.now(tz=UTC))
