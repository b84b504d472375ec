"""What a case reads of the switch's metrics."""

from __future__ import annotations

import pytest

from certification.scrape import Metrics

METRICS = Metrics(
    (
        ("turnout_switch_messages_total", 'network="vsim",fate="late"', 2.0),
        ("turnout_switch_messages_total", 'network="msim",fate="late"', 3.0),
        ("turnout_switch_resident_bytes", "", 1e6),
    )
)


def test_a_sum_is_over_what_has_the_labels() -> None:
    """Fewer labels, more series."""
    assert METRICS.total("turnout_switch_messages_total", fate="late") == 5
    assert METRICS.total("turnout_switch_messages_total", network="vsim", fate="late") == 2
    assert METRICS.total("turnout_switch_resident_bytes") == 1e6


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        ("turnout_switch_process_resident_memory_bytes", {}),
        ("turnout_switch_messages_total", {"fate": "lost"}),
    ],
)
def test_a_sum_over_nothing_is_no_figure(name: str, labels: dict[str, str]) -> None:
    """A misspelled name would make every comparison of before and after come out well."""
    with pytest.raises(ValueError, match=name):
        METRICS.total(name, **labels)
