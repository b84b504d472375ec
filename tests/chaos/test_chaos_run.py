"""A short run of `turnout chaos`, and the control that any lie of a witness is found out."""

from __future__ import annotations

from random import Random

import attrs
import pytest

from chaos.run import Order, Run, processes_of, run_chaos
from chaos.schedule import schedule
from network_sim.journal import Entry

pytestmark = pytest.mark.chaos
ORDER = Order(seed=7, duration_s=20.0, rate_per_s=25.0)
CONTROLS = 40  # lines taken away, each alone


async def test_three_witnesses_agree_and_any_missing_line_is_found_out() -> None:
    """Nothing is wrong after all these faults; with one line less in a book, one payment is."""
    run = await run_chaos(ORDER)
    assert run.holds, (run.verdict.reasons, run.witnesses.streamed, run.witnesses.audited)
    document = run.document()
    assert document.keys() == {
        "seed", "charges", "faults", "unresolved", "lost", "duplicated", "disagree", "stream",
        "audit", "postings",
    }  # fmt: skip
    assert document["charges"] > ORDER.rate_per_s * ORDER.duration_s / 2
    assert all(fault["in_flight"] > 0 for fault in document["faults"])
    planned = {(fault.kind, fault.target) for fault in schedule(7, 20.0, processes_of(1))}
    assert {(fault["kind"], fault["target"]) for fault in document["faults"]} <= planned
    # One waits for what another has put out of action, so a busy machine gets through fewer.
    assert len(document["faults"]) >= len(planned) // 2
    _control(run)


def _control(run: Run) -> None:
    """Take lines away, one at a time: the payment of each is named, and no other."""
    witnesses = run.witnesses
    owners = {attempt.key: attempt.intent for attempt in witnesses.ledger.attempts}
    books = list(witnesses.books)
    assert len(books) > CONTROLS
    for place in Random(1).sample(range(len(books)), CONTROLS):
        short = attrs.evolve(witnesses, books=[*books[:place], *books[place + 1 :]])
        named = [row["payment"] for row in short.compared().disagree]
        assert named == [owners[books[place].key]], _shown(books[place].entry)


def _shown(entry: Entry) -> str:
    return f"{entry.mti} {entry.response_code} {entry.posted_change:+d} {entry.held_change:+d}"
