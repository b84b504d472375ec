"""The figure of doubts is told of a right run alone."""

from __future__ import annotations

import attrs
import pytest

from benchmarks.agreement import Agreement
from benchmarks.doubts import Found, _document
from benchmarks.report import WrongResultsError

FOUND = Found(resolved_s=[1.0, 1.5, 2.0, 4.0], otherwise=0, inquiries=6)
AGREED = Agreement(sent=8, answered=8, held=8, carried=8, lost=(), duplicated=(), disagree=())


def test_the_median_is_of_what_was_found_out() -> None:
    """In milliseconds, with the inquiries that it took."""
    results = _document({"count": 8}, FOUND, AGREED, expected=4)["results"]
    assert results["doubts"] == 4
    assert results["resolved_p50_ms"] == pytest.approx(1_500, rel=0.01)
    assert results["inquiries_per_doubt"] == 1.5


@pytest.mark.parametrize(
    ("found", "agreement"),
    [
        (attrs.evolve(FOUND, otherwise=1), AGREED),
        (attrs.evolve(FOUND, resolved_s=[1.0, 1.5, 2.0]), AGREED),
        (FOUND, attrs.evolve(AGREED, lost=("pi_1",))),
        (Found(resolved_s=[], otherwise=0, inquiries=0), AGREED),
    ],
    ids=["reversed", "fewer", "lost", "none"],
)
def test_a_run_that_went_wrong_has_no_figure(found: Found, agreement: Agreement) -> None:
    """A doubt that was reversed, one that never came to be, and witnesses that disagree."""
    with pytest.raises(WrongResultsError):
        _document({"count": 8}, found, agreement, expected=4 if found.resolved_s else 0)
