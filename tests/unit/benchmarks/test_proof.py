"""Evidence is summed up by medians, and memory that grows is named."""

from __future__ import annotations

from benchmarks.proof import medians, memory_grown


def test_medians_of_every_numeric_figure() -> None:
    """Texts and booleans are left out; a process's cost is a figure too."""
    runs = [
        {"results": {"per_s": value, "ok": True, "note": "x"}, "cpu_us_per_op": {"api": 2 * value}}
        for value in (3.0, 1.0, 2.0)
    ]
    assert medians(runs) == {"results.per_s": 2.0, "cpu_us_per_op.api": 4.0}


def test_memory_may_grow_by_its_bound_and_no_further() -> None:
    """Five percent and 8 MiB are allowed."""
    mebibyte = 1_048_576
    results = {
        "resident_early_bytes": {"api": 100 * mebibyte, "switch": 100 * mebibyte},
        "resident_bytes": {"api": 113 * mebibyte, "switch": 114 * mebibyte},
    }
    assert memory_grown({"results": results}) == ["switch"]
