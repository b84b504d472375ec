"""How results are put together."""

from __future__ import annotations

from certification.catalog import Row
from certification.results import Result, merged

ROW = Row("RV01", "p", "s", "e")


def test_one_failed_play_fails_the_case() -> None:
    """A case passes only if every play of it does; the reasons come first."""
    good = Result(row=ROW, result="passed", seconds=1.0, evidence=["fine"])
    bad = Result(row=ROW, result="failed", seconds=2.0, evidence=["✗ broken"])
    both = merged([good, bad])
    assert (both.result, both.seconds, both.evidence) == ("failed", 2.0, ["✗ broken", "fine"])
    assert merged([good, good]).result == "passed"
    assert merged([good]) is good
