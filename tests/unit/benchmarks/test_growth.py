"""What the proof of growth takes for a fault, without a database."""

from __future__ import annotations

import pytest

from benchmarks.growth import GROWING, PLANNED, WHOLE, judge
from benchmarks.report import WrongResultsError
from ledger.statements import QUERIES

GOOD = {"speed_ratio": 0.97, "hot_update_ratio": 0.95, "dead_ratio": 0.02}


@pytest.mark.parametrize(
    ("line", "is_fault"),
    [
        ("  ->  Seq Scan on outcomes_2026_11 o  (cost=0.00..9.00 rows=1 width=4)", True),
        ("Seq Scan on idempotency", True),
        ("Parallel Seq Scan on payment_intents_default payment_intents_3", True),
        ("Seq Scan on switch_leases  (cost=0.00..1.01 rows=1 width=44)", False),
        ("Index Scan using outcomes_2026_11_pkey on outcomes_2026_11 o", False),
    ],
)
def test_a_scan_of_a_table_that_grows_is_a_fault(line: str, *, is_fault: bool) -> None:
    """Whichever of its partitions; small tables are read as they come."""
    assert bool(GROWING.search(line)) is is_fault


def test_nearly_every_named_query_is_explained() -> None:
    """Those that are left out exist, and what is no plan is the odd BEGIN or ROLLBACK."""
    assert QUERIES.keys() >= WHOLE
    planned = [name for name, query in QUERIES.items() if PLANNED.match(query.sql)]
    assert len(planned) >= 0.9 * len(QUERIES)


@pytest.mark.parametrize(
    ("name", "value"), [("speed_ratio", 0.89), ("hot_update_ratio", 0.89), ("dead_ratio", 0.21)]
)
def test_each_figure_past_its_bound_is_a_fault(name: str, value: float) -> None:
    """And good ones are none."""
    judge(GOOD)
    with pytest.raises(WrongResultsError, match=name if name != "dead_ratio" else "dead"):
        judge({**GOOD, name: value})
