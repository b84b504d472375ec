"""What MACs cost is the median over pairs, each pair compared by itself."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.macs import document


def _run(switch_us: float, hsm_us: float) -> dict[str, Any]:
    return {
        "cpu_us_per_op": {"switch": switch_us, "hsm": hsm_us},
        "results": {"load_cpu_us": 10.0, "charges_per_s": 1e6 / switch_us},
    }


def test_pairs_are_compared_one_by_one() -> None:
    """A slow spell falls on both halves of its pair; the load generator counts as well."""
    pairs = [
        (_run(50, 40), _run(65, 50)),
        (_run(110, 80), _run(130, 110)),
        (_run(50, 40), _run(60, 55)),
    ]
    made = document({"rounds": 3}, pairs)
    assert made["results"]["throughput_taken_ratio"] == pytest.approx(0.2)
    assert made["results"]["throughput_taken_ratio_max"] == pytest.approx(0.2)
    assert made["cpu_us_per_op"] == {"switch": 15.0, "hsm": 15.0}
