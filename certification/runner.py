"""Playing the cases: groups of stacks, cases side by side, a result for each id that was asked for.

Whatever happens, each id gets a result. A case passes only if its function returned and every
invariant holds at its end; one that did not run is failed.
"""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, Final

import trio

from certification.bench import Bench, in_groups, open_bench
from certification.catalog import Row
from certification.desk import Desk
from certification.evidence import CaseFailedError
from certification.invariants import check_all
from certification.registry import CASE_TIMEOUT_S, Script, plays_of, scripts
from certification.results import Result, Tell, failed, merged
from certification.trace import shown

AT_ONCE_MAX: Final = 16  # cases side by side on one stack: more would only wait for the CPU
STACKS_AT_ONCE_MAX: Final = 2  # a stack is six processes
STACK_REASON_MAX: Final = 1_000  # characters of why a stack did not start
EVIDENCE_MAX: Final = 40  # lines of a case's evidence


async def run_cases(
    rows: Sequence[Row], *, factor: float, seed: int, keep: bool, tell: Tell
) -> list[Result]:
    """Play the cases of these rows; one result each, in the order of the rows.

    Args:
        rows: of the table.
        factor: multiplies the timers.
        seed: the order of the cases and whatever they draw.
        keep: leave the data directories behind.
        tell: called with each result as it is known.
    """
    known = scripts()
    results: dict[str, Result] = {}
    plays: dict[str, Script] = {}
    row_of: dict[str, Row] = {}
    parts: dict[str, list[Result]] = {}
    for row in rows:
        if row.id not in known:
            results[row.id] = failed(row, "there is no function for this case: it did not run")
            tell(results[row.id])
            continue
        own = plays_of(row.id, known[row.id])
        plays |= own
        row_of |= dict.fromkeys(own, row)
        parts[row.id] = []

    def record(result: Result) -> None:
        row = result.row
        parts[row.id].append(result)
        if len(parts[row.id]) == len(plays_of(row.id, known[row.id])):
            results[row.id] = merged(parts[row.id])
            tell(results[row.id])

    stacks = trio.CapacityLimiter(STACKS_AT_ONCE_MAX)

    async def play_group(group: Mapping[str, Script]) -> None:
        async with stacks:
            try:
                async with open_bench(group, factor=factor, seed=seed, keep=keep) as bench:
                    await _play_group(bench, group, row_of, record)
            except* Exception as problem:  # noqa: BLE001  one stack must not end the others
                reason = "; ".join(str(leaf)[-STACK_REASON_MAX:] for leaf in _leaves(problem))
                for play_id in group:
                    if row_of[play_id].id not in results:
                        record(failed(row_of[play_id], f"its stack did not start: {reason}"))

    groups = in_groups(plays)
    Random(seed).shuffle(groups)
    async with trio.open_nursery() as nursery:
        for group in groups:
            nursery.start_soon(play_group, group)
    return [results.get(row.id) or failed(row, "it did not run") for row in rows]


async def _play_group(
    bench: Bench, group: Mapping[str, Script], row_of: Mapping[str, Row], record: Tell
) -> None:
    order = list(group)
    Random(bench.seed).shuffle(order)
    limiter = trio.CapacityLimiter(AT_ONCE_MAX)

    async def one(play_id: str) -> None:
        async with limiter:
            record(await _play(bench, play_id, row_of[play_id], group[play_id]))

    async with trio.open_nursery() as nursery:
        for play_id in order:
            nursery.start_soon(one, play_id)


async def _play(bench: Bench, play_id: str, row: Row, script: Script) -> Result:
    began = trio.current_time()
    desk: Desk | None = None
    problems: list[str] = []
    try:
        with trio.fail_after(CASE_TIMEOUT_S):
            async with trio.open_nursery() as nursery:
                desk = bench.desk(play_id, nursery)
                if script.up:
                    await desk.network.signed_on(script.connections)
                await script.play(desk)
                problems += await _invariants(desk)
                nursery.cancel_scope.cancel()
    except* CaseFailedError as group:
        problems += [str(error) for error in _leaves(group)]
    except* Exception as group:  # noqa: BLE001  a broken case must not end the others
        problems += [_place(error) for error in _leaves(group)]
    network = bench.networks[play_id]
    network.clear()
    problems += network.faults
    seen = list(desk.evidence) if desk is not None else []
    evidence = [f"✗ {problem}" for problem in problems] + seen[:EVIDENCE_MAX]
    return Result(
        row=row,
        result="failed" if problems else "passed",
        seconds=trio.current_time() - began,
        evidence=evidence,
        wire=shown(network.trace),
    )


async def _invariants(desk: Desk) -> list[str]:
    found = check_all(await desk.rest())
    problems = [f"{name}: {text}" for name, violations in found.items() for text in violations]
    if not problems:
        desk.saw(f"{', '.join(found)} hold")
    return problems


def _leaves(group: BaseExceptionGroup[Any]) -> list[BaseException]:
    leaves: list[BaseException] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves


def _place(error: BaseException) -> str:
    """What went wrong and where in the case, without what the message may hold."""
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if "certification" in frame.filename
    ]
    at = f" at {frames[-1].name}:{frames[-1].lineno}" if frames else ""
    text = str(error)[:300]
    return f"{type(error).__name__}{at}{': ' + text if text else ''}"
