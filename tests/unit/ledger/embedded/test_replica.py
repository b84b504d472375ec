"""When a replica has to be copied before it can go on."""

from __future__ import annotations

from typing import Any

import pytest

from ledger.embedded.replica import FAILURES_COPIED_AFTER, why_copy
from ledger.embedded.slot import SlotState

GOOD: dict[str, Any] = {
    "found_version": "18",
    "version": "18",
    "same_boot": True,
    "slot": SlotState("reserved", in_use=False),
    "set_back": False,
    "failures": 0,
}


@pytest.mark.parametrize(
    ("changes", "because"),
    [
        ({}, ""),
        ({"slot": SlotState("extended", in_use=True)}, ""),
        ({"found_version": ""}, "no copy yet"),
        ({"found_version": "17"}, "belongs to Postgres 17"),
        ({"same_boot": False}, "machine was restarted"),
        ({"slot": SlotState("", in_use=False)}, "no replication slot"),
        ({"slot": SlotState("unreserved", in_use=True)}, "given up"),
        ({"slot": SlotState("lost", in_use=False)}, "given up"),
        ({"set_back": True, "same_boot": False}, "set back"),
        ({"failures": FAILURES_COPIED_AFTER - 1}, ""),
        ({"failures": FAILURES_COPIED_AFTER}, "failed to start"),
        ({"failures": FAILURES_COPIED_AFTER + 1}, ""),
    ],
)
def test_a_copy_is_made_where_nothing_else_helps(changes: dict[str, Any], because: str) -> None:
    """And after failures once only: the ledger is not copied over and over."""
    reason = why_copy(**GOOD | changes)
    assert because in reason
    assert bool(reason) is bool(because)
