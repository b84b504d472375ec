"""The lock and the log of our server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ledger.embedded.cluster import explain
from ledger.embedded.files import LOG_BYTES_MAX, FolderLock, ServerLog
from ledger.embedded.orphans import clear_socket_lock, recorded_process
from ledger.errors import EmbeddedPostgresError


def test_a_folder_has_one_holder(tmp_path: Path) -> None:
    """The second is refused while the first holds the lock, and served afterwards."""
    first, second = FolderLock(tmp_path / "new" / "lock"), FolderLock(tmp_path / "new" / "lock")
    first.acquire()
    first.acquire()
    with pytest.raises(EmbeddedPostgresError, match="another process runs Postgres on"):
        second.acquire()
    first.release()
    second.acquire()
    second.release()


def test_a_lock_that_cannot_be_made_says_why(tmp_path: Path) -> None:
    """A file where a folder should be is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(EmbeddedPostgresError, match=r"cannot write .*file/lock"):
        FolderLock(tmp_path / "file" / "lock").acquire()


def test_the_tail_begins_with_this_start(tmp_path: Path) -> None:
    """A FATAL of last week must not explain today's failure."""
    log = ServerLog(tmp_path / "log")
    assert log.tail() == b""
    (tmp_path / "log").write_bytes(b"FATAL: last week\n")
    descriptor = log.open()
    os.write(descriptor, b"FATAL: today\n")
    os.close(descriptor)
    assert log.tail() == b"FATAL: today\n"


def test_a_log_past_its_bound_is_cut_under_its_writer(tmp_path: Path) -> None:
    """The writer appends, so it goes on at the start of the file."""
    log = ServerLog(tmp_path / "log")
    log.bound()
    descriptor = log.open()
    os.truncate(tmp_path / "log", LOG_BYTES_MAX)
    log.bound()
    assert (tmp_path / "log").stat().st_size == LOG_BYTES_MAX
    os.write(descriptor, b"x")
    log.bound()
    os.write(descriptor, b"after\n")
    os.close(descriptor)
    assert (tmp_path / "log").read_bytes() == b"after\n"


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        (b"x: No space left on device\n", "no space left on the device"),
        (b"one\ninitdb: error: cannot\nremoving\n", "initdb: error: cannot"),
        (b"words\nmore words\n", "words; more words"),
        (b"", "it said nothing"),
    ],
)
def test_the_telling_line_is_picked(output: bytes, expected: str) -> None:
    """Of pages of output the operator sees what matters."""
    assert expected in explain(output)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("123\n/data\n", 123), ("-123\n", 123), ("", None), ("words\n", None)],
)
def test_the_process_id_file_is_read_with_care(
    tmp_path: Path, text: str, expected: int | None
) -> None:
    """A torn or foreign file is no process id."""
    (tmp_path / "postmaster.pid").write_text(text)
    assert expected == recorded_process(tmp_path)


def test_only_our_own_socket_lock_is_removed(tmp_path: Path) -> None:
    """A lock of another data folder may belong to a living server."""
    lock = tmp_path / "lock"
    lock.write_text("1\n/elsewhere\n")
    clear_socket_lock(lock, tmp_path)
    assert lock.exists()
    lock.write_text(f"1\n{tmp_path}\n")
    clear_socket_lock(lock, tmp_path)
    assert not lock.exists()
    clear_socket_lock(lock, tmp_path)
