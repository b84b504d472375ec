"""The document."""

from __future__ import annotations

from certification import report
from certification.catalog import Row
from certification.invariants import ABSENT
from certification.results import Result, failed

ROW = Row("RV01", "Reversal <after> silence", "No 0110", "0420")
RESULTS = [
    Result(row=ROW, result="passed", seconds=1.25, evidence=["seen & noted"], wire=["→ #1 0200"]),
    failed(Row("XX01", "p", "s", "e"), "it did not run"),
]


def test_the_document_counts() -> None:
    """Counts, cases and what was not checked."""
    document = report.document(RESULTS, profile="certification", seed=7, factor=0.2, seconds=3.0)
    assert (document["passed"], document["failed"], document["seed"]) == (1, 1, 7)
    assert document["cases"][0] == {
        "id": "RV01", "result": "passed", "seconds": 1.25, "evidence": ["seen & noted"],
    }  # fmt: skip
    assert document["cases"][1]["evidence"] == ["✗ it did not run"]
    assert document["absent"].keys() == ABSENT.keys()
