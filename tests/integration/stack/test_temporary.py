"""A stack for a while says why it did not start, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import trio

from chassis.supervisor import process_is_alive
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


async def test_a_killed_stack_leaves_no_process(open_tmp_path: Path) -> None:
    """Not even its Postgres and its sockets, which a stack's next start would have cleared."""
    async with temporary_stack(parent=open_tmp_path) as stack:
        os.kill(stack.process_id, signal.SIGKILL)
    assert stack.exit_code == -signal.SIGKILL
    with trio.fail_after(20):
        while any(map(process_is_alive, stack.endpoints.processes.values())):
            await trio.sleep(0.01)
    assert _left_in(open_tmp_path) == []
    assert not Path(stack.endpoints.sockets["switch"][0]).parent.exists()
