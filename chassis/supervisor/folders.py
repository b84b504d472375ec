"""The folders a stack runs in: its data directory, held by a lock, and a short one for sockets.

Theory of operation of the lock. One stack at a time may use a data directory. The supervisor holds
an exclusive `flock` on `run/lock`, and every process it starts inherits that open file. The kernel
drops the lock when the last of them is gone, and not before: after a supervisor was killed, its
processes drain by themselves (they see end of file on their lifelines), and a new supervisor that
waits for the lock cannot meet them. The file holds the supervisor's process id, to tell the two
cases apart: that process lives (another stack is running: refuse), or it does not (wait).
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import trio

from chassis.supervisor.errors import StartError
from chassis.supervisor.listeners import SOCKET_PATH_BYTES_MAX

LOCK_POLL_S = 0.05
_SOCKET_NAME_BYTES = 32  # room for the longest socket name below the runtime folder


def make_folder(path: Path, *, mode: int, owner: tuple[int, int] | None = None) -> None:
    """Make a folder, parents included, with exactly this mode and owner, whatever the umask.

    Raises:
        StartError: it cannot be made, or is not a folder.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(mode)
        if owner is not None:
            os.chown(path, *owner)
    except OSError as error:
        raise StartError(f"the folder {path} cannot be set up: {error.strerror}") from error


class DirectoryLock:
    """The lock on one data directory.

    Args:
        run_folder: `<data-dir>/run`, which exists.
    """

    def __init__(self, run_folder: Path) -> None:
        self._path = run_folder / "lock"
        self._descriptor = -1

    def fileno(self) -> int:
        """The open file, for processes to inherit."""
        return self._descriptor

    async def acquire(self, *, wait_s: float) -> bool:
        """Take the lock, waiting for processes that a killed supervisor left draining.

        Returns:
            Whether there was anything to wait for.

        Raises:
            StartError: another stack runs here, or its processes did not end within `wait_s`.
        """
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StartError(f"{self._path} cannot be opened: {error.strerror}") from error
        waited = False
        deadline_s = trio.current_time() + wait_s
        while not self._try_lock():
            self._refuse_a_living_holder()
            if trio.current_time() >= deadline_s:
                raise StartError(
                    f"processes of an earlier stack still use {self._path.parent.parent} "
                    f"after {wait_s:g} s; see `lsof {self._path}`"
                )
            waited = True
            await trio.sleep(LOCK_POLL_S)
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)
        return waited

    def release(self) -> None:
        """Let go of the file; the lock goes with the last process that inherited it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _try_lock(self) -> bool:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _refuse_a_living_holder(self) -> None:
        text = os.pread(self._descriptor, 32, 0).decode("ascii", "replace").strip()
        if text.isdigit() and process_is_alive(int(text)):
            raise StartError(
                f"another stack (process {text}) runs on {self._path.parent.parent}; "
                "stop it, or choose another folder with --data-dir"
            )


def process_is_alive(process_id: int) -> bool:
    """Whether a process runs, whoever owns it; one that has ended and waits to be reaped does not.

    Where there is no /proc to tell the two apart, an unreaped process counts as alive.
    """
    try:
        status = Path(f"/proc/{process_id}/stat").read_text(errors="replace")
    except FileNotFoundError:
        return not Path("/proc/self/stat").exists() and _can_be_signaled(process_id)
    except ProcessLookupError:  # it ended while we read
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def _can_be_signaled(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def make_runtime_folder(data_dir: Path, environ: Mapping[str, str], *, mode: int) -> Path:
    """Make the private folder for a stack's Unix sockets; see `choose_runtime_folder`.

    Raises:
        StartError: no place is short enough, or a stranger owns the name.
    """
    folder = choose_runtime_folder(data_dir, environ)
    _claim(folder, mode)
    return folder


def choose_runtime_folder(data_dir: Path, environ: Mapping[str, str]) -> Path:
    """Where a stack's Unix sockets go: a short path, the same at every start.

    Socket paths hold 107 bytes, so they cannot stand below a data directory of any length. The
    name carries a digest of the data directory.

    Raises:
        StartError: no place is short enough, or none can be written to.
    """
    digest = hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:12]
    for parent in _runtime_parents(environ):
        folder = parent / f"turnout-{os.geteuid()}-{digest}"
        is_short = len(os.fsencode(folder)) + _SOCKET_NAME_BYTES <= SOCKET_PATH_BYTES_MAX
        if is_short and parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
            return folder
    raise StartError("no folder for Unix sockets: neither /run nor the temporary folder will do")


def _runtime_parents(environ: Mapping[str, str]) -> Iterator[Path]:
    if os.geteuid() == 0:
        yield Path("/run")
    elif environ.get("XDG_RUNTIME_DIR", "").startswith("/"):
        yield Path(environ["XDG_RUNTIME_DIR"])
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")  # noqa: S108 - the name below it is checked to be ours


def _claim(folder: Path, mode: int) -> None:
    """Make the folder or take over our own; in a shared /tmp the name may be a stranger's."""
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise StartError(f"the folder {folder} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        raise StartError(f"{folder} belongs to somebody else; remove it")
    folder.chmod(mode)
