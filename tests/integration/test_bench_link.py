from __future__ import annotations

import pytest
import trio

from benchmarks import link
from benchmarks.report import WrongResultsError
from switch.iso8583 import load_dialect
from switch.link.events import Answered, Unknown


def test_the_benchmark_measures_and_checks_its_answers() -> None:
    """A short run gives a whole document with figures that hang together."""
    document = link.run(seconds=0.2, rounds=2, in_flight=16)
    results = document["results"]
    assert document["name"] == "link"
    assert results["round_trips_per_s"] >= results["round_trips_per_s_min"] > 0
    assert results["p50_ms"] <= results["p99_ms"] <= results["max_ms"]
    assert set(document["cpu_us_per_op"]) == {"switch", "network"}


async def _unreachable() -> trio.abc.Stream:
    raise ConnectionRefusedError


@pytest.mark.parametrize(
    "event", [Answered("000001", {0: "0210", 11: "000002"}, 0), Unknown("000001", "timeout")]
)
async def test_a_wrong_answer_ends_the_run(event: Answered | Unknown) -> None:
    """Another message's answer, or none, is a wrong result and not a slow one."""
    load = link.Load(load_dialect("net87b"), _unreachable, 1)
    load._on_events([event])
    with pytest.raises(WrongResultsError):
        await load.drive(0.01, 0)


async def test_a_link_that_is_not_up_ends_the_run() -> None:
    """A benchmark that sends nothing has no figure."""
    load = link.Load(load_dialect("net87b"), _unreachable, 1)
    with pytest.raises(WrongResultsError, match="no window slot"):
        await load.drive(0.01, 1)
