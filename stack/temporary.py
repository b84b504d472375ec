"""A whole stack for a while: a data directory of its own, free ports, nothing left behind.

For benchmarks, certification and tests. The stack is `turnout up` in a process of its own, so it is
exactly what users run, and nothing of its supervisor shares the caller's event loop. It holds the
read end of a pipe: if the caller dies, however that happens, the stack drains and ends.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Final

import trio
from attrs import define, evolve

from chassis.shard_names import shard_directory
from stack.credentials import DEMO_FILE, Credentials, load_credentials
from stack.endpoints import Endpoints, NotRunningError, read_endpoints

READY_TIMEOUT_S: Final = 120.0  # initdb and the first start of everything, on a busy machine
STOP_TIMEOUT_S: Final = 60.0  # the drain and Postgres' checkpoint, then it is killed
# One merchant sends all the load of a benchmark or of chaos: more than one should be let.
_ROOM_FOR_LOAD: Final = {
    f"limits.{sender}_{what}": "1000000"
    for sender in ("key", "merchant")
    for what in ("reads_per_s", "reads_burst", "writes_per_s", "writes_burst")
}
_POLL_S: Final = 0.02
_LOG_TAIL_CHARACTERS: Final = 4_000


class TemporaryStackError(Exception):
    """The stack did not become ready; carries the end of its log."""


@define(kw_only=True)
class TemporaryStack:
    """A stack that lives as long as a block.

    Attributes:
        data_dir: its data directory.
        endpoints: where it is; see `refresh`.
        process_id: of its supervisor.
        log_file: everything it has written on stderr.
        exit_code: of `turnout up`; None while it runs.
    """

    data_dir: Path
    endpoints: Endpoints
    process_id: int
    log_file: Path
    exit_code: int | None = None

    def refresh(self) -> Endpoints:
        """Read the endpoints again: process ids change when a process is restarted.

        Raises:
            NotRunningError: the stack has ended.
        """
        self.endpoints = read_endpoints(self.data_dir)
        return self.endpoints

    def of_shard(self, shard: int) -> TemporaryStack:
        """The same stack as who works on one of its ledgers sees it.

        Raises:
            NotRunningError: the stack has ended.
        """
        data_dir = shard_directory(self.data_dir, shard)
        return evolve(self, data_dir=data_dir, endpoints=read_endpoints(data_dir))

    def credentials(self) -> Credentials:
        """The demo shop's."""
        return load_credentials(self.data_dir / DEMO_FILE)


@asynccontextmanager
async def temporary_stack(
    overrides: Mapping[str, str] = MappingProxyType({}),
    *,
    parent: Path | None = None,
    keep: bool = False,
) -> AsyncIterator[TemporaryStack]:
    """Run a stack on free ports and a fresh data directory until the block ends.

    Args:
        overrides: settings by dotted key, as text: `{"hsm.workers": "2"}`. There is no demo shop
            unless `shop.enabled` asks for it: nobody would look at it.
        parent: where to make the data directory; None = the folder for temporary files. As root
            it must be open to other users, for processes run under uids of their own.
        keep: leave the data directory behind.

    Raises:
        TemporaryStackError: it did not become ready.
    """
    folder = _make_folder(parent)
    stack = None
    try:
        async with stack_in(folder, overrides) as stack:
            yield stack
    finally:
        if stack is not None and stack.exit_code != 0:
            _clear_orphans(stack)
        if not keep:
            # In a thread: the ledger of a long run is many files.
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(_remove, folder)


def _make_folder(parent: Path | None) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="turnout-", dir=parent))
    folder.chmod(0o711)  # other users pass through to what is theirs
    return folder


def _clear_orphans(stack: TemporaryStack) -> None:
    """End and remove what a killed supervisor has left: nobody will start a stack there again."""
    for process_id in stack.endpoints.processes.values():
        with contextlib.suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    _remove(Path(stack.endpoints.sockets["switch"][0]).parent)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


@asynccontextmanager
async def stack_in(
    folder: Path,
    overrides: Mapping[str, str] = MappingProxyType({}),
    *,
    under: Sequence[str] = (),
    config: Path | None = None,
) -> AsyncIterator[TemporaryStack]:
    """Run a stack on `<folder>/data`, which may hold an earlier one's, and leave it there.

    Args:
        folder: exists, and is open to other users; `up.log` is written there too.
        overrides: settings by dotted key, as text. Limits of keys and merchants are out of the way
            of load unless they say otherwise.
        under: a program and its arguments to become the stack by exec, such as `unshare --user`.
        config: a settings file, the only place where networks can be added.

    Raises:
        TemporaryStackError: it did not become ready.
    """
    data_dir, log_file = folder / "data", folder / "up.log"
    with log_file.open("wb") as log:
        process = await trio.lowlevel.open_process(
            [*under, *_command(data_dir, {**_ROOM_FOR_LOAD, **overrides}, config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=_environment(),
            start_new_session=True,
        )
    stack = None
    try:
        endpoints = await _until_ready(process, data_dir, log_file)
        stack = TemporaryStack(
            data_dir=data_dir, endpoints=endpoints, process_id=process.pid, log_file=log_file
        )
        yield stack
    finally:
        with trio.CancelScope(shield=True):
            exit_code = await _stop(process)
        if stack is not None:
            stack.exit_code = exit_code


def _command(data_dir: Path, overrides: Mapping[str, str], config: Path | None) -> list[str]:
    command = [sys.executable, "-P", "-m", "turnout", "up", "--free-ports", "--stop-on-eof"]
    command += ["--data-dir", str(data_dir)]
    if config is not None:
        command += ["--config", str(config)]
    for key, value in ({"shop.enabled": "false"} | dict(overrides)).items():
        command += ["--set", f"{key}={value}"]
    return command


def _environment() -> dict[str, str]:
    """Ours without its settings and without a settings file of the user's: a stack like any."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TURNOUT_")}
    return kept | {"XDG_CONFIG_HOME": "/nonexistent"}


async def _until_ready(process: trio.Process, data_dir: Path, log_file: Path) -> Endpoints:
    with trio.move_on_after(READY_TIMEOUT_S):
        while process.poll() is None:
            with contextlib.suppress(NotRunningError):
                endpoints = read_endpoints(data_dir)
                if endpoints.pid == process.pid:  # else of one that is just being killed
                    return endpoints
            await trio.sleep(_POLL_S)
    said = (await trio.Path(log_file).read_text(errors="replace"))[-_LOG_TAIL_CHARACTERS:]
    if process.poll() is None:
        raise TemporaryStackError(f"the stack was not ready after {READY_TIMEOUT_S:g} s:\n{said}")
    raise TemporaryStackError(f"the stack ended with status {process.returncode}:\n{said}")


async def _stop(process: trio.Process) -> int:
    """Ask it to stop by the end of its input; kill it if it does not in time."""
    assert process.stdin is not None
    await process.stdin.aclose()
    with trio.move_on_after(STOP_TIMEOUT_S):
        return await process.wait()
    process.kill()
    return await process.wait()
