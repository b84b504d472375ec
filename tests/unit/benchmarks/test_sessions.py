"""Failed authentications are counted from the switches' metrics, and never taken for none."""

from __future__ import annotations

import pytest

from benchmarks.report import WrongResultsError
from benchmarks.sessions import FAILURES, failures_counted


def _page(*counts: int) -> str:
    lines = [
        "# TYPE turnout_switch_macs_bad counter",
        'turnout_switch_other_total{network="v"} 9.0',
    ]
    for metric, count in zip(FAILURES, counts, strict=False):
        lines.append(f'{metric}{{network="vsim"}} {count}.0')
        lines.append(f'{metric}{{network="msim"}} 1.0')
    return "\n".join(lines)


def test_failures_of_all_networks_and_switches_are_summed() -> None:
    """By metric; what is no failure is left out."""
    counted = failures_counted([_page(0, 2, 0, 0), _page(5, 0, 0, 0)])
    assert counted == dict(zip(FAILURES, (7, 4, 2, 2), strict=True))


def test_a_metric_that_is_gone_is_no_zero() -> None:
    """A renamed metric must not look like a run without failures."""
    with pytest.raises(WrongResultsError, match=FAILURES[-1]):
        failures_counted([_page(0, 0, 0)])
