"""Which shards a data directory has."""

from __future__ import annotations

from pathlib import Path

from chassis.shard_names import mark_founded, shard_directory, shards_in


def test_a_folder_that_was_begun_and_never_founded_is_no_shard(tmp_path: Path) -> None:
    """A start that its ledger refused may be followed by one with as many shards as before."""
    assert shards_in(tmp_path) == 1
    for shard in (1, 2):
        shard_directory(tmp_path, shard).mkdir(parents=True)
    assert shards_in(tmp_path) == 1
    mark_founded(tmp_path, 0)
    mark_founded(tmp_path, 1)
    mark_founded(tmp_path, 1)
    assert shards_in(tmp_path) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]
