"""What a process is, once the supervisor has started it."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.support.toy_stack import Toy, ToyStack

UID = 52_777  # has no name and owns nothing


def _facts(stack: ToyStack) -> dict[str, Any]:
    stack.process_ids()
    facts: dict[str, Any] = json.loads((stack.folder / "toy.facts").read_text())
    return facts


def test_a_process_is_hardened(open_tmp_path: Path) -> None:
    """No core files, no new privileges, its own session, no terminal, a clean environment."""
    with ToyStack(open_tmp_path / "data", [Toy(key="toy", behavior="facts")]) as stack:
        facts = _facts(stack)
        assert facts["no_new_privs"] == "1"
        assert facts["core_limit"] == [0, 0]
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        assert facts["open_files"] == [hard, hard]
        assert facts["sigint_ignored"]
        assert facts["session"]
        assert facts["stdin"] == "/dev/null"
        assert "HOME" in facts["environment"]
        assert not any(name.startswith("TURNOUT") for name in facts["environment"])
        assert "hunter2" not in stack.stderr


def test_a_process_can_neither_be_inspected_nor_dumped(open_tmp_path: Path) -> None:
    """In /proc it belongs to root, whoever runs it, and a crash writes no memory to disk."""
    with ToyStack(open_tmp_path / "data", [Toy(key="toy")]) as stack:
        process_id = stack.process_ids()["toy"]
        assert Path(f"/proc/{process_id}/environ").stat().st_uid == 0
        os.kill(process_id, signal.SIGABRT)
        stack.wait_until(lambda: "toy: signal 6 (SIGABRT)" in stack.stderr)
        assert list(Path("/").glob("core*")) == []


def test_sigterm_drains_one_process(open_tmp_path: Path) -> None:
    """A process told to stop by itself finishes its work, and is then started again."""
    with ToyStack(open_tmp_path / "data", [Toy(key="toy", behavior="slow")]) as stack:
        first = stack.process_ids()["toy"]
        os.kill(first, signal.SIGTERM)
        stack.wait_until(lambda: stack.process_ids()["toy"] != first)
        assert stack.events("ended") == ["toy"]
        assert "toy: exit status 0; starting it again" in stack.stderr


def test_a_process_may_choose_its_exit_status(open_tmp_path: Path) -> None:
    """It has returned, so it has said why: the supervisor tells the status, without a traceback."""
    with ToyStack(open_tmp_path / "data", [Toy(key="toy", behavior="status-4")]) as stack:
        first = stack.process_ids()["toy"]
        os.kill(first, signal.SIGTERM)
        stack.wait_until(lambda: stack.process_ids()["toy"] != first)
        assert "toy: exit status 4; starting it again" in stack.stderr
        assert "Traceback" not in stack.stderr


@pytest.mark.privileged
def test_a_process_becomes_its_own_user(open_tmp_path: Path) -> None:
    """It loses root for good, and still finds every module and data file it asks for late."""
    closed = open_tmp_path / "closed"
    package = closed / "site" / "closed_toy"
    package.mkdir(parents=True)
    package.joinpath("__init__.py").touch()
    package.joinpath("late.py").write_text("VALUE = 'found'")
    package.joinpath("data.txt").write_text("read")
    closed.chmod(0o700)
    identity = (UID, UID + 1, (UID + 2, UID + 3))
    with ToyStack(
        open_tmp_path / "data",
        [Toy(key="toy", behavior="facts", identity=identity)],
        python_path=str(closed / "site"),
        start_attempts_max=1,
    ) as stack:
        facts_file = stack.folder / "toy.facts"
        facts_file.touch()
        os.chown(facts_file, UID, UID)
        facts = _facts(stack)
        assert facts["uids"] == [UID] * 3
        assert facts["gids"] == [UID + 1] * 3
        assert facts["groups"] == [UID + 2, UID + 3]
        assert facts["no_new_privs"] == "1"
