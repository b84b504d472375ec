"""A data directory serves one stack at a time, and sockets get a short folder of their own."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from chassis.supervisor import (
    DirectoryLock,
    StartError,
    bind_unix,
    make_folder,
    make_runtime_folder,
)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """The folder of the lock."""
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


async def test_the_lock_is_held_against_others_and_names_its_holder(run_folder: Path) -> None:
    """While a holder lives nobody waits: the second one is refused at once."""
    first, second = DirectoryLock(run_folder), DirectoryLock(run_folder)
    assert await first.acquire(wait_s=0) is False
    with pytest.raises(StartError, match=rf"another stack \(process {os.getpid()}\) runs on"):
        await second.acquire(wait_s=60)
    first.release()
    second.release()


async def test_a_released_lock_can_be_taken(run_folder: Path) -> None:
    """An orderly end leaves nothing in the way."""
    for _ in range(2):
        lock = DirectoryLock(run_folder)
        assert await lock.acquire(wait_s=0) is False
        lock.release()


def _orphan(lock: DirectoryLock, seconds: float) -> subprocess.Popen[bytes]:
    """A process that inherited the lock, whose supervisor is gone."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    orphan = subprocess.Popen(["sleep", str(seconds)], pass_fds=(lock.fileno(),))
    os.pwrite(lock.fileno(), f"{gone.pid}\n".encode().ljust(16), 0)
    lock.release()
    return orphan


async def test_orphans_of_a_killed_supervisor_are_waited_for(run_folder: Path) -> None:
    """The lock stays until the last process that inherited it has ended."""
    first = DirectoryLock(run_folder)
    await first.acquire(wait_s=0)
    orphan = _orphan(first, 0.2)
    second = DirectoryLock(run_folder)
    assert await second.acquire(wait_s=10) is True
    assert orphan.wait() == 0
    second.release()


async def test_waiting_for_orphans_has_an_end(run_folder: Path) -> None:
    """Processes that do not end keep the next stack from starting, with a way to find them."""
    first = DirectoryLock(run_folder)
    await first.acquire(wait_s=0)
    orphan = _orphan(first, 60)
    second = DirectoryLock(run_folder)
    with pytest.raises(StartError, match=r"still use .* after 0\.1 s; see `lsof"):
        await second.acquire(wait_s=0.1)
    second.release()
    orphan.kill()
    orphan.wait()


async def test_a_lock_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """A missing folder is an error with its path."""
    with pytest.raises(StartError, match="lock cannot be opened: No such file"):
        await DirectoryLock(tmp_path / "missing").acquire(wait_s=0)


def test_a_folder_has_exactly_the_mode_asked_for(tmp_path: Path) -> None:
    """The umask, and what was there before, do not matter."""
    make_folder(tmp_path / "a" / "b", mode=0o1770)
    assert _mode(tmp_path / "a" / "b") == 0o1770
    make_folder(tmp_path / "a" / "b", mode=0o700)
    assert _mode(tmp_path / "a" / "b") == 0o700


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path: Path) -> None:
    """What cannot become a folder is an error with its path."""
    (tmp_path / "taken").touch()
    with pytest.raises(StartError, match="taken cannot be set up"):
        make_folder(tmp_path / "taken", mode=0o700)


def test_the_runtime_folder_is_short_however_long_the_data_directory(tmp_path: Path) -> None:
    """A data directory of 150 characters and more still gets sockets."""
    data_dir = tmp_path / ("x" * 150)
    folder = make_runtime_folder(data_dir, {}, mode=0o700)
    assert _mode(folder) == 0o700
    bind_unix(folder / "network-twenty-characters").close()
    assert make_runtime_folder(data_dir, {}, mode=0o711) == folder
    assert make_runtime_folder(tmp_path / "other", {}, mode=0o700) != folder
    folder.rmdir()
    make_runtime_folder(tmp_path / "other", {}, mode=0o700).rmdir()


def test_a_name_that_belongs_to_a_stranger_is_refused(tmp_path: Path) -> None:
    """In a shared folder someone may have made a link under our name: it is not followed."""
    folder = make_runtime_folder(tmp_path, {}, mode=0o700)
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(StartError, match="belongs to somebody else"):
        make_runtime_folder(tmp_path, {}, mode=0o700)
    folder.unlink()
