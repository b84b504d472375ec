"""Evidence is summed up by medians, and memory that grows is named."""

from __future__ import annotations

import inspect
from importlib import import_module

import pytest

from benchmarks.proof import EXIT_USAGE, PROOFS, main, medians, memory_grown


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


@pytest.mark.parametrize(("benchmark", "options"), [(each[1], each[2]) for each in PROOFS])
def test_every_part_is_a_benchmark_with_its_options(
    benchmark: str, options: dict[str, object]
) -> None:
    """What is measured hours later must be there."""
    parameters = inspect.signature(import_module(f"benchmarks.{benchmark}").run).parameters
    assert options.keys() <= parameters.keys()


def test_a_part_that_does_not_exist_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    """A mistyped name must not look like evidence that is there already."""
    assert main(["drian"]) == EXIT_USAGE
    assert "drian" in capsys.readouterr().err
