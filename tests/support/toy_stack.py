"""A stack of toy processes under the real supervisor, in a process of its own.

Run as a program it supervises what the JSON document in its first argument says. `ToyStack` starts
that program from a test, and watches it from outside.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import msgspec
import trio

from chassis.durable import write_durably
from chassis.log import configure_logging
from chassis.service import Identity
from chassis.settings import Log, Settings, Supervisor
from chassis.supervisor import (
    DirectoryLock,
    ProcessSpec,
    ProcessUnit,
    StartError,
    UnitPlan,
    bind_tcp,
    make_folder,
    supervise,
)

TOY_SERVICE = str(Path(__file__).with_name("toy_service.py"))
DEADLINE_S = 30.0
QUICK = {"restart_min_s": 0.05, "restart_max_s": 0.1, "drain_timeout_s": 10.0}


@attrs.frozen(kw_only=True)
class Toy:
    """One toy process: its key, what it does, and where it stands in the order."""

    key: str
    behavior: str = "good"
    needs: tuple[str, ...] = ()
    stop_rank: int = 0
    listens: bool = False
    identity: tuple[int, int, tuple[int, ...]] | None = None


class ToyStack:
    """A running toy stack, seen from a test. A context manager: nothing of it survives.

    Args:
        folder: its data directory; may exist.
        toys: its processes.
        python_path: one more folder for every process to import from.
        limits: settings of the supervisor.
    """

    def __init__(
        self, folder: Path, toys: Sequence[Toy], *, python_path: str = "", **limits: float
    ) -> None:
        self.folder = folder
        self.journal = folder / "journal"
        make_folder(folder, mode=0o711)
        self.journal.touch()
        self.journal.chmod(0o666)
        document = {
            "folder": str(folder),
            "toys": [attrs.asdict(toy) for toy in toys],
            "limits": QUICK | limits,
        }
        self._error_log = folder / f"stderr-{time.monotonic_ns()}"
        with self._error_log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-P", __file__, json.dumps(document)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env=os.environ
                | {"TURNOUT_DATABASE_URL": "postgresql://owner:hunter2@/x"}
                | ({"PYTHONPATH": python_path} if python_path else {}),
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        """The stack itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Kill whatever is left; the processes then end by their lifelines."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for line in self.notes():
            with _tolerating_absence():
                os.killpg(int(line.split()[2]), signal.SIGKILL)

    @property
    def stderr(self) -> str:
        """What the supervisor has said so far."""
        return self._error_log.read_text()

    def notes(self) -> list[str]:
        """The journal's lines."""
        return self.journal.read_text().splitlines()

    def events(self, event: str) -> list[str]:
        """The keys that noted an event, in order."""
        return [line.split()[0] for line in self.notes() if line.split()[1] == event]

    def process_ids(self) -> dict[str, int]:
        """Wait until the stack is up; process ids by key."""
        path = self.folder / "published.json"
        self.wait_until(path.exists)
        return msgspec.json.decode(path.read_bytes(), type=dict[str, int])

    def wait_until(self, condition: Any) -> None:
        """Poll until something outside has happened."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"waited in vain; stderr: {self.stderr}"
            assert self.process.poll() is None, f"it has ended; stderr: {self.stderr}"
            time.sleep(0.01)

    def signal(self, number: signal.Signals) -> None:
        """Signal the supervisor's whole process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """The supervisor's exit status."""
        return self.process.wait(DEADLINE_S)


@contextmanager
def _tolerating_absence() -> Iterator[None]:
    try:
        yield
    except ProcessLookupError:
        return


def _unit(toy: dict[str, Any], folder: Path, settings: Settings, held_fd: int) -> ProcessUnit:
    listeners = {}
    if toy["listens"]:
        listeners["http"] = bind_tcp("127.0.0.1", 0, purpose="a toy", setting="toy.port")
        (folder / f"{toy['key']}.address").write_text(listeners["http"].address)
    identity = toy["identity"] and Identity(
        uid=toy["identity"][0], gid=toy["identity"][1], groups=tuple(toy["identity"][2])
    )
    spec = ProcessSpec(
        plan=UnitPlan(key=toy["key"], needs=tuple(toy["needs"]), stop_rank=toy["stop_rank"]),
        name="toy",
        settings=settings,
        data_dir=folder,
        listeners=listeners,
        secrets={
            "key": toy["key"],
            "journal": str(folder / "journal"),
            "facts": str(folder / f"{toy['key']}.facts"),
        },
        identity=identity,
        command=(sys.executable, "-P", TOY_SERVICE, toy["behavior"]),
    )
    return ProcessUnit(spec, held_fds=(held_fd,))


async def _main(document: dict[str, Any]) -> int:
    folder = Path(document["folder"])
    settings = Settings(supervisor=msgspec.convert(document["limits"], Supervisor))
    make_folder(folder / "run", mode=0o755)
    lock = DirectoryLock(folder / "run")
    try:
        await lock.acquire(wait_s=settings.supervisor.drain_timeout_s)
    except StartError as error:
        print(error, file=sys.stderr)  # noqa: T201 - it is a program
        return 3
    units = [_unit(toy, folder, settings, lock.fileno()) for toy in document["toys"]]

    def publish(process_ids: Any) -> None:
        write_durably(folder / "published.json", msgspec.json.encode(dict(process_ids)))

    return await supervise(units, settings=settings.supervisor, publish=publish)


if __name__ == "__main__":
    configure_logging(Log(format="json"), process="up")
    sys.exit(trio.run(_main, json.loads(sys.argv[1])))
