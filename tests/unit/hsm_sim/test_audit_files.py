"""The audit log in files of bounded size: one chain through all, whatever dies when."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chassis.secrets import Key
from hsm_sim.audit import AuditError, AuditLog, Finding, verify_files
from hsm_sim.audit_files import finished_name, log_files

KEY = Key(b"a" * 32)
FILE_BYTES = 2_000
APPENDING = """
import sys
from pathlib import Path
from chassis.secrets import Key
from hsm_sim.audit import AuditLog
log = AuditLog(Path(sys.argv[1]), Key(b"a" * 32), worker=0, file_bytes=600)
print("begun", flush=True)
while True:
    log.append([("secrets_sealed", {"count": 1})], at_s=5, tell=False)
"""


def _log(folder: Path, lines: int) -> Path:
    path = folder / "audit.log"
    log = AuditLog(path, KEY, worker=0, file_bytes=FILE_BYTES)
    for number in range(lines):
        log.append([("secrets_sealed", {"count": number})], at_s=number, tell=False)
    return path


def test_a_log_goes_on_in_another_file(tmp_path: Path) -> None:
    """None grows beyond its bound but by a line; the chain goes through all of them."""
    path = _log(tmp_path, 40)
    files = log_files(path)
    assert len(files) > 3
    assert files[-1] == path
    assert all(file.stat().st_size < FILE_BYTES + 500 for file in files)
    assert verify_files(path, KEY) == []
    assert verify_files(path, KEY, head=(40, "another")) == [
        Finding(len(path.read_bytes().splitlines()), "cut", "audit.log")
    ]


def _remove(file: Path) -> None:
    file.unlink()


def _cut(file: Path) -> None:
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(lines[:-1]))


def _write_otherwise(file: Path) -> None:
    """The same lines, and so the same chain, but not the same file."""
    file.write_bytes(file.read_bytes().replace(b"\n", b" \n", 1))


@pytest.mark.parametrize("place", [0, 1], ids=["first", "second"])
@pytest.mark.parametrize("spoil", [_remove, _cut, _write_otherwise])
def test_a_file_that_is_another_is_named(
    tmp_path: Path, place: int, spoil: Callable[[Path], None]
) -> None:
    """Also where every line in it is one of ours, and in its place."""
    path = _log(tmp_path, 40)
    file = log_files(path)[place]
    spoil(file)
    assert Finding(1, "file", file.name) in verify_files(path, KEY)


def test_a_death_between_the_two_names_is_made_good(tmp_path: Path) -> None:
    """The old file has both then, and the new one none; the next line finishes it again."""
    path = _log(tmp_path, 40)
    whole = log_files(path)
    newest, before = path.read_bytes(), whole[-2]
    path.unlink()
    path.hardlink_to(before)
    (tmp_path / ".audit.log.next").write_bytes(newest[:40])
    assert log_files(path)[-1] == path
    assert len(log_files(path)) == len(whole) - 1
    log = AuditLog(path, KEY, worker=0, file_bytes=FILE_BYTES)
    log.append([("secrets_sealed", {"count": 1})], at_s=5, tell=False)
    assert verify_files(path, KEY) == []
    assert len(log_files(path)) == len(whole)


def test_a_finished_file_of_another_log_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    """A copy that was put back under that name: what has been written since would be lost."""
    path = _log(tmp_path, 1)
    written = path.read_bytes()
    in_the_way = tmp_path / finished_name(path, 1)
    in_the_way.write_bytes(written)
    log = AuditLog(path, KEY, worker=0, file_bytes=10)
    for _ in range(2):
        with pytest.raises(FileExistsError, match="another finished file is in the way"):
            log.append([("secrets_sealed", {"count": 1})], at_s=5, tell=False)
        assert path.read_bytes() == written


@pytest.mark.parametrize("left", [None, b""], ids=["missing", "empty"])
def test_a_log_does_not_begin_anew_behind_finished_files(
    tmp_path: Path, left: bytes | None
) -> None:
    """Its newest file is gone: a chain that began with line 1 again would hide that."""
    path = _log(tmp_path, 40)
    path.unlink()
    if left is not None:
        path.write_bytes(left)
    log = AuditLog(path, KEY, worker=0, file_bytes=FILE_BYTES)
    with pytest.raises(AuditError, match="missing behind audit-0"):
        log.append([("secrets_sealed", {"count": 1})], at_s=5, tell=False)
    assert path.exists() is (left is not None)


def test_a_torn_line_at_the_bound_is_removed_before_the_file_is_finished(tmp_path: Path) -> None:
    """It was confirmed to nobody, and would be no line of the finished file."""
    path = tmp_path / "audit.log"
    log = AuditLog(path, KEY, worker=0, file_bytes=10)
    log.append([("secrets_sealed", {"count": 1})], at_s=5, tell=False)
    with path.open("ab") as file:
        file.write(b'{"sequence":2,')
    for number in range(3):
        log.append([("secrets_sealed", {"count": number})], at_s=5, tell=False)
    assert verify_files(path, KEY) == []


def test_kill_nine_leaves_a_whole_log(tmp_path: Path) -> None:
    """Wherever it falls: each second line finishes a file."""
    path = tmp_path / "audit.log"
    for pause_s in (0.02, 0.05, 0.11):
        process = subprocess.Popen(
            [sys.executable, "-c", APPENDING, str(path)], stdout=subprocess.PIPE
        )
        with process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"begun\n"
            time.sleep(pause_s)
            process.send_signal(signal.SIGKILL)
        log = AuditLog(path, KEY, worker=1, file_bytes=600)
        log.append([("secrets_sealed", {"count": 7})], at_s=9, tell=False)
        assert verify_files(path, KEY) == []
    assert len(log_files(path)) > 3
