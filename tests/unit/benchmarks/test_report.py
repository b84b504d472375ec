from __future__ import annotations

import json
import os
import time

import pytest

from benchmarks import report


def test_a_document_has_the_agreed_keys() -> None:
    """Every benchmark's JSON has the same outline."""
    document = report.bench_document("link", {"seconds": 1.0}, {"round_trips_per_s": 2.0}, {"a": 3})
    assert list(document) == [
        "name",
        "machine",
        "parameters",
        "results",
        "cpu_us_per_op",
        "peers",
    ]
    assert document["peers"] == {}
    assert document["machine"]["cores"] >= 1


def test_json_is_one_document_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """With --json stdout parses as one JSON document."""
    document = report.bench_document("link", {}, {"n": 1}, {}, {"peer": 2})
    report.show(document, as_json=True)
    assert json.loads(capsys.readouterr().out) == document


def test_the_table_names_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    """People see the same figures as programs."""
    document = report.bench_document(
        "link", {"codec": "compiled"}, {"rate": 61_234.5, "exact": True}, {"switch": 4.56789}
    )
    report.show(document, as_json=False)
    shown = capsys.readouterr().out
    for text in ("results.rate", "61,234", "4.57", "compiled", "True"):
        assert text in shown


def test_progress_stays_off_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    """What is said while measuring goes to stderr."""
    report.progress("warming up")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "warming up\n")


def test_process_cpu_counts_our_own_work() -> None:
    """The figure grows with the work of the process it names."""
    before = report.process_cpu_s(os.getpid())
    assert before == pytest.approx(time.process_time(), abs=0.5)


def test_process_cpu_of_nobody_is_an_error() -> None:
    """A process that is gone is said to be gone."""
    with pytest.raises(ProcessLookupError):
        report.process_cpu_s(2**22 + 1)


def test_nested_figures_stand_on_lines_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A table shows each figure of a group, not the group as Python writes it."""
    figures = {"create_cpu_us": {"hsm": 47.0, "api": 45.0}}
    report.show(report.bench_document("x", {}, figures, {}), as_json=False)
    table = capsys.readouterr().out
    assert "results.create_cpu_us.hsm" in table
    assert "{" not in table
