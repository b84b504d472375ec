"""`turnout bench idle`: what `turnout up` burns with nothing to do."""

from __future__ import annotations

from functools import partial

import trio

from benchmarks.report import Document, bench_document, progress
from benchmarks.workplace import cpu_by_group
from stack.temporary import temporary_stack

SETTLE_S = 5.0  # after the start: links up, checkpoints done, caches filled


def run(*, seconds: float = 20.0, keep: bool = False) -> Document:
    """Measure an idle stack, the supervisor included; `cpu_percent` is of one core."""
    return trio.run(partial(_run, seconds=seconds, keep=keep))


async def _run(*, seconds: float, keep: bool) -> Document:
    async with temporary_stack(keep=keep) as stack:
        processes = {**stack.endpoints.processes, "supervisor": stack.process_id}
        await trio.sleep(SETTLE_S)
        progress(f"watching an idle stack for {seconds:g} s ...")
        before = cpu_by_group(processes)
        began = trio.current_time()
        await trio.sleep(seconds)
        elapsed = trio.current_time() - began
        after = cpu_by_group(processes)
    used = {group: after[group] - before[group] for group in after}
    return bench_document(
        "idle",
        {"seconds": elapsed},
        {"cpu_percent": 100 * sum(used.values()) / elapsed},
        {group: seconds_used * 1_000_000 / elapsed for group, seconds_used in used.items()},
    )
