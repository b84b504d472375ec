"""Witnesses of a stack of several shards are heard shard by shard."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.witnesses import network_decisions
from benchmarks.workplace import group_of

LINE = (
    "1\t{}\t000001\t0102030405\t0ABCDEFGHIJK\tSHOP\t0200\t000000\t000000002499\t840\t"
    "424242******4242\t00\t100000\t0\t\t\t0\t2499\n"
)


def test_a_networks_lines_are_told_apart_by_acquirer(tmp_path: Path) -> None:
    """Two shards may use one RRN and STAN; under their own acquirer id each is one payment's."""
    (tmp_path / "networks").mkdir()
    lines = map(LINE.format, ("400001", "400002", "400002"))
    (tmp_path / "networks" / "vsim.log").write_text("".join(lines))
    found = [len(list(network_decisions(tmp_path, ["vsim"], shard))) for shard in (0, 1, 2)]
    assert found == [1, 2, 0]
    assert len(list(network_decisions(tmp_path, ["vsim"]))) == 3


@pytest.mark.parametrize(
    ("process", "group"),
    [("hsm-0", "hsm"), ("vsim", "networks"), ("postgres@1", "postgres"), ("switch-0@3", "switch")],
)
def test_processes_of_all_shards_are_one_group(process: str, group: str) -> None:
    """What a charge costs is asked of the stack, not of a shard."""
    assert group_of(process) == group
