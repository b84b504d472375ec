"""A stack for a while says why it did not start, and leaves nothing behind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stack.temporary import TemporaryStackError, temporary_stack


def _left_in(folder: Path) -> list[Path]:
    return list(folder.iterdir())


async def test_a_stack_that_cannot_start_says_why(open_tmp_path: Path) -> None:
    """The error carries the end of the log, and the folder is gone."""
    with pytest.raises(TemporaryStackError, match=r"status 3:\n.*did you mean api\.port"):
        async with temporary_stack({"api.prot": "1"}, parent=open_tmp_path):
            pytest.fail("it must not start")
    assert _left_in(open_tmp_path) == []


async def test_what_was_asked_to_be_kept_is_kept(open_tmp_path: Path) -> None:
    """With `keep` the folder and its log stay for inspection."""
    with pytest.raises(TemporaryStackError):
        async with temporary_stack({"api.prot": "1"}, parent=open_tmp_path, keep=True):
            pytest.fail("it must not start")
    (folder,) = _left_in(open_tmp_path)
    assert "api.prot" in (folder / "up.log").read_text()


def test_the_end_of_input_stops_a_stack(open_tmp_path: Path) -> None:
    """Whoever started a stack with `--stop-on-eof` takes it along, however it dies."""
    command = [sys.executable, "-P", "-m", "turnout", "up", "--free-ports", "--stop-on-eof"]
    done = subprocess.run(
        [*command, "--data-dir", str(open_tmp_path / "data")],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")
    assert "turnout is ready: API http://127.0.0.1:" in done.stderr
    assert not (open_tmp_path / "data" / "run" / "endpoints.json").exists()
