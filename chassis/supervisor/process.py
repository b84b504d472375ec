"""One child process: what it is given, how it is started, and how its end is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType

import trio
from attrs import define, field, frozen

from chassis.service.launch import (
    FAILED,
    READY,
    REASON_BYTES_MAX,
    Identity,
    LaunchDocument,
    LaunchError,
    encode_launch_document,
)
from chassis.settings.tree import Settings
from chassis.supervisor.events import UnitPlan
from chassis.supervisor.listeners import Listener
from chassis.supervisor.units import Ending, Ready

# What a child sees of our environment. Everything else stays behind: TURNOUT_DATABASE_URL holds
# the owner's password, and who knows what a shell profile exports.
_ENVIRONMENT = ("LANG", "LD_LIBRARY_PATH", "NO_COLOR", "PATH", "TERM", "TMPDIR", "TZ")
_ENVIRONMENT_PREFIXES = ("LC_", "PYTHON")
_STDERR = 2


@frozen(kw_only=True)
class ProcessSpec:
    """One process of a stack.

    Attributes:
        plan: its key, needs and stop rank.
        name: the service, such as `hsm`; `turnout serve NAME` runs it.
        index: worker number among processes of this name.
        settings: what it may know of the settings (no other process's secrets).
        data_dir: its shard's data directory, which is the stack's for shard 0.
        shard: whose ledger it works on; 0 also for what serves all of them.
        stack_dir: the stack's data directory; None = `data_dir`.
        listeners: the sockets it serves, by role.
        endpoints: where its peers listen, by the peer's name.
        secrets: its own, by name.
        allowed_uids: the uid of each role that may connect to its Unix sockets.
        identity: who it becomes; None = it stays who we are.
        command: the program and its arguments; `--launch-fd N` is appended.
    """

    plan: UnitPlan
    name: str
    index: int = 0
    settings: Settings
    data_dir: Path
    shard: int = 0
    stack_dir: Path | None = None
    listeners: Mapping[str, Listener] = MappingProxyType({})
    endpoints: Mapping[str, Sequence[str]] = MappingProxyType({})
    secrets: Mapping[str, str] = field(default=MappingProxyType({}), repr=False)
    allowed_uids: Mapping[str, int] = MappingProxyType({})
    identity: Identity | None = None
    command: tuple[str, ...] = field()

    @command.default
    def _default_command(self) -> tuple[str, ...]:
        # -P: the working directory must not decide what gets imported.
        return (sys.executable, "-P", "-m", "turnout", "serve", self.name)


@define
class ProcessUnit:
    """Runs a process by exec, in a session of its own, with a lifeline.

    Args:
        spec: what to run.
        held_fds: files that it inherits only to keep them open (the lock).
        environ: our environment, of which it sees a part.
    """

    spec: ProcessSpec
    held_fds: tuple[int, ...] = ()
    environ: Mapping[str, str] = field(factory=lambda: os.environ, repr=False)
    _process: trio.Process | None = field(default=None, init=False)
    _lifeline: int = field(default=-1, init=False)
    # Asked for before the process is there; kept until `run` returns.
    _drain_asked: bool = field(default=False, init=False)
    _kill_asked: bool = field(default=False, init=False)

    @property
    def plan(self) -> UnitPlan:
        """What the machine must know of it."""
        return self.spec.plan

    @property
    def process_id(self) -> int | None:
        """While it runs."""
        return None if self._process is None else self._process.pid

    async def run(self, ready: Ready) -> Ending:
        """Start it, hear that it is ready, wait for its end."""
        try:
            with ExitStack() as ours:
                return await self._run(ready, ours)
        except (OSError, LaunchError) as error:
            return Ending(f"cannot be started: {error}")
        finally:
            self._process = None
            self._drain_asked = self._kill_asked = False

    def drain(self) -> None:
        """Close the lifeline: the process reads end of file, finishes and exits."""
        self._drain_asked = True
        self._close_lifeline()

    def kill(self) -> None:
        """Kill the process and whatever it has started: its whole group."""
        self._kill_asked = True
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)

    async def _run(self, ready: Ready, ours: ExitStack) -> Ending:
        ours.callback(self._close_lifeline)
        self._process, ready_pipe = await self._spawn(ours)
        if self._drain_asked:
            self._close_lifeline()
        if self._kill_asked:
            self.kill()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_hear_ready, ready_pipe, ready)
            status = await self._process.wait()
            nursery.cancel_scope.cancel(reason="the process has ended")
        reason = _hear_reason(ready_pipe)
        how = describe_status(status) + (f" ({reason})" if reason else "")
        return Ending(how, well=status == 0)

    def _close_lifeline(self) -> None:
        if self._lifeline >= 0:
            os.close(self._lifeline)
            self._lifeline = -1

    async def _spawn(self, ours: ExitStack) -> tuple[trio.Process, int]:
        """Start the process; `ours` closes our ends later. Returns the pipe that says ready too."""
        with ExitStack() as theirs:
            lifeline_fd, self._lifeline = os.pipe()
            theirs.callback(os.close, lifeline_fd)
            ready_pipe, ready_fd = os.pipe()
            ours.callback(os.close, ready_pipe)
            theirs.callback(os.close, ready_fd)
            document = self._document(lifeline_fd, ready_fd)
            launch_fd = open_memory_file(encode_launch_document(document))
            theirs.callback(os.close, launch_fd)
            sockets = document.listeners.values()
            process = await trio.lowlevel.open_process(
                [*self.spec.command, "--launch-fd", str(launch_fd)],
                pass_fds=(launch_fd, lifeline_fd, ready_fd, *sockets, *self.held_fds),
                stdin=subprocess.DEVNULL,
                stdout=_STDERR,  # our own stdout is for one JSON document
                start_new_session=True,
                env=child_environment(self.environ, self.spec.data_dir),
            )
        return process, ready_pipe

    def _document(self, lifeline_fd: int, ready_fd: int) -> LaunchDocument:
        spec = self.spec
        return LaunchDocument(
            name=spec.name,
            index=spec.index,
            settings=spec.settings,
            data_dir=str(spec.data_dir),
            listeners={role: item.socket.fileno() for role, item in spec.listeners.items()},
            endpoints={peer: list(addresses) for peer, addresses in spec.endpoints.items()},
            secrets=dict(spec.secrets),
            allowed_uids=dict(spec.allowed_uids),
            lifeline_fd=lifeline_fd,
            ready_fd=ready_fd,
            identity=spec.identity,
            shard=spec.shard,
            stack_dir=str(spec.stack_dir or ""),
        )


async def _hear_ready(ready_pipe: int, ready: Ready) -> None:
    await trio.lowlevel.wait_readable(ready_pipe)
    if os.read(ready_pipe, len(READY)) == READY:
        ready()


def _hear_reason(ready_pipe: int) -> str:
    """Why a process that has ended was never ready, in its own words; empty if it did not say."""
    os.set_blocking(ready_pipe, False)  # a grandchild may hold the other end
    try:
        told = os.read(ready_pipe, len(FAILED) + REASON_BYTES_MAX)
    except BlockingIOError:
        return ""
    return told.removeprefix(FAILED).decode(errors="replace")


def open_memory_file(data: bytes) -> int:
    """A descriptor to read `data` from that is on no disk; the caller closes it."""
    if sys.platform == "linux":
        descriptor = os.memfd_create("turnout-launch")
    else:
        with tempfile.TemporaryFile() as file:  # has no name, but touches a disk
            descriptor = os.dup(file.fileno())
    with os.fdopen(os.dup(descriptor), "wb") as writer:
        writer.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def child_environment(environ: Mapping[str, str], data_dir: Path) -> dict[str, str]:
    """What a process sees of our environment; its home is the data directory."""
    kept = {
        name: value
        for name, value in environ.items()
        if name in _ENVIRONMENT or name.startswith(_ENVIRONMENT_PREFIXES)
    }
    return kept | {"HOME": str(data_dir)}


def describe_status(status: int) -> str:
    """A return code as `subprocess` has it, in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"signal {-status} ({signal.Signals(-status).name})"
    except ValueError:
        return f"signal {-status}"
