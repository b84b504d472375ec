"""`turnout bench stream` measures what it says, and checks it."""

from __future__ import annotations

from benchmarks.stream import run


def test_the_document_has_a_cost_for_each_step() -> None:
    """A short run: every figure is there and above zero."""
    document = run(records=400, batch=100, rounds=1)
    assert document["name"] == "stream"
    assert document["cpu_us_per_op"].keys() == {"append", "read", "decode", "monitor"}
    assert all(value > 0 for value in document["cpu_us_per_op"].values())
    assert document["results"]["appended_per_s"] > 0
