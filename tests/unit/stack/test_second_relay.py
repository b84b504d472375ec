"""`turnout relay compare` on two streams in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ledger.stream.segments.files import segment_path, shard_folder
from stack.commands.relay import relay
from tests.support.comparing import first_start, repair, wal, write


def _compare(data_dir: Path, *arguments: str) -> Result:
    return CliRunner().invoke(relay, ["compare", "--data-dir", str(data_dir), *arguments])


async def test_streams_that_are_alike_show_their_root(tmp_path: Path) -> None:
    """Ranges, gaps and counts; exit status 0."""
    await write(tmp_path, *first_start(), wal(0, 30))
    gap = repair(range(10, 20), up_to=19, old_lsn=64 * 10 + 32)
    await write(tmp_path / "second", *first_start(), wal(0, 10), *gap, wal(20, 8))
    done = _compare(tmp_path, "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["ok"], document["compared"]) == (0, True, 18)
    assert [one["leaves"] for one in document["ranges"]] == [10, 8]
    assert document["records"] == {"first": 30, "second": 28}
    assert document["gaps"][1]["repaired_second"] == 10
    assert document["waits_for"] == "second"
    shown = _compare(tmp_path)
    assert "0 and 10 repaired, rows alike" in shown.stdout
    assert "the second stream" in shown.stdout


async def test_streams_that_differ_end_with_status_1(tmp_path: Path) -> None:
    """With table, key, LSN and the place in both files."""
    elsewhere = tmp_path / "disk"
    await write(tmp_path / "data", *first_start(), wal(0, 10))
    await write(elsewhere, *first_start(), wal(0, 4), wal(5, 5))
    arguments = ("--set", f"relay.second_directory={elsewhere}")
    done = _compare(tmp_path / "data", "--json", *arguments)
    document = json.loads(done.stdout)
    assert (done.exit_code, document["ok"], document["differences_total"]) == (1, False, 1)
    (one,) = document["differences"]
    assert (one["kind"], one["lsn"], one["first_offset"]) == ("only_first", "0/140", 4)
    assert one["second"].startswith(f"{elsewhere}/stream/0/")
    shown = _compare(tmp_path / "data", *arguments)
    assert shown.exit_code == 1
    assert "only_first 0/140 outcomes intent_id=00000000-0000-0000-0000-000000000004" in (
        shown.stdout
    )


@pytest.mark.parametrize("missing", ["first", "second"])
async def test_without_two_streams_there_is_nothing_to_compare(
    tmp_path: Path, missing: str
) -> None:
    """It names the one that is not there, and the setting; exit status 3."""
    if missing == "second":
        await write(tmp_path, *first_start(), wal(0, 10))
    done = _compare(tmp_path)
    assert done.exit_code == 3
    assert f"there is no {missing} stream in {tmp_path}" in done.stderr
    assert "relay.second = true" in done.stderr


async def test_damage_is_a_difference(tmp_path: Path) -> None:
    """A byte that was flipped on disk: file and byte of its batch."""
    await write(tmp_path, *first_start(), wal(0, 10))
    await write(tmp_path / "second", *first_start(), wal(0, 10))
    path = segment_path(shard_folder(tmp_path / "second", 0), 0)
    data = bytearray(path.read_bytes())
    data[len(data.rstrip(b"\0")) - 20] ^= 1
    path.write_bytes(data)
    done = _compare(tmp_path, "--json")
    document = json.loads(done.stdout)
    assert (done.exit_code, document["ok"]) == (1, False)
    assert document["differences"][0]["kind"] == "damage"
    assert document["differences"][0]["second"].startswith(f"{path}:")
