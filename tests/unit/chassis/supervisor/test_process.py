"""What a child is given, and how its end is told."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import trio

from chassis.settings import Settings
from chassis.supervisor import Ending, ProcessSpec, ProcessUnit, UnitPlan, process_is_alive
from chassis.supervisor.process import child_environment, describe_status, open_memory_file


def _unit(*command: str) -> ProcessUnit:
    spec = ProcessSpec(
        plan=UnitPlan(key="toy"),
        name="toy",
        settings=Settings(),
        data_dir=Path("/srv/turnout"),
        command=command,
        secrets={"database_dsn": "hunter2"},
    )
    return ProcessUnit(spec)


def _open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_memory_file_is_read_from_its_beginning() -> None:
    """The reader gets all of it and then its end, and it has no name on a disk."""
    data = b"x" * 200_000
    with os.fdopen(open_memory_file(data), "rb") as file:
        assert os.fstat(file.fileno()).st_nlink == 0
        assert file.read() == data


def test_a_child_sees_a_part_of_our_environment() -> None:
    """Search paths, languages and the kind of terminal pass; settings, keys and home do not."""
    ours = {
        "PATH": "/bin",
        "LC_ALL": "C",
        "NO_COLOR": "1",
        "PYTHONPATH": "/x",
        "HOME": "/root",
        "TURNOUT_DATABASE_URL": "hunter2",
        "AWS_SECRET_ACCESS_KEY": "hunter2",
    }
    assert child_environment(ours, Path("/srv/turnout")) == {
        "PATH": "/bin",
        "LC_ALL": "C",
        "NO_COLOR": "1",
        "PYTHONPATH": "/x",
        "HOME": "/srv/turnout",
    }


@pytest.mark.parametrize(
    ("status", "words"),
    [(0, "exit status 0"), (3, "exit status 3"), (-9, "signal 9 (SIGKILL)"), (-40, "signal 40")],
)
def test_an_end_is_told_in_words(status: int, words: str) -> None:
    """Signals have their names; real-time signals have none."""
    assert describe_status(status) == words


async def test_a_program_that_does_not_exist_is_an_ending() -> None:
    """The supervisor is told like of any other failure, and no descriptor stays open."""
    before = _open_files()
    ending = await _unit("/does/not/exist").run(pytest.fail)
    assert ending == Ending(
        "cannot be started: [Errno 2] No such file or directory: '/does/not/exist'"
    )
    assert _open_files() == before


@pytest.mark.parametrize(
    ("command", "ending"),
    [
        (("/bin/sh", "-c", "exit 0", "sh"), Ending("exit status 0", well=True)),
        (("/bin/sh", "-c", "exit 7", "sh"), Ending("exit status 7")),
        (("/bin/sh", "-c", "kill -9 $$", "sh"), Ending("signal 9 (SIGKILL)")),
    ],
)
async def test_a_process_ends_in_its_own_way(command: tuple[str, ...], ending: Ending) -> None:
    """Its status is the ending's words; only exit status 0 is well."""
    unit = _unit(*command)
    assert await unit.run(pytest.fail) == ending
    assert unit.process_id is None


async def test_a_kill_before_the_process_is_there_holds(nursery: trio.Nursery) -> None:
    """A unit that is killed between its start and its first step does not live on."""
    unit = _unit("/bin/sh", "-c", "sleep 60", "sh")
    unit.kill()
    with trio.fail_after(5):
        assert await unit.run(pytest.fail) == Ending("signal 9 (SIGKILL)")


def test_the_spec_does_not_show_its_secrets() -> None:
    """A unit in a traceback or a log shows whose it is."""
    assert "hunter2" not in repr(_unit("/bin/true"))


def test_an_ended_process_is_not_alive() -> None:
    """One that waits to be reaped counts as gone, as does a number nobody has."""
    assert process_is_alive(os.getpid())
    ended = subprocess.Popen(["/bin/true"])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not reaped
    assert not process_is_alive(ended.pid)
    ended.wait()
    assert not process_is_alive(ended.pid)
