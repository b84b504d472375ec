"""`turnout bench audit` measures what it says, and finds what it changes."""

from __future__ import annotations

import pytest

from benchmarks import audit
from benchmarks.report import WrongResultsError
from benchmarks.stream import attempt_record


def test_the_document_has_a_cost_for_each_step() -> None:
    """A short run: every figure is there and above zero."""
    document = audit.run(records=2_000, checkpoint=500, rounds=1)
    assert document["name"] == "audit"
    assert document["cpu_us_per_op"].keys() == {"sign", "verify", "compare"}
    assert all(value > 0 for value in document["cpu_us_per_op"].values())
    assert document["results"]["verified_per_s_per_core"] > 0


def test_rows_that_are_not_the_records_end_it() -> None:
    """A record twice is no two rows."""
    record = attempt_record(1)
    with pytest.raises(WrongResultsError, match="differ from themselves"):
        audit._compare_us([record, record])
