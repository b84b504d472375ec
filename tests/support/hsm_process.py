"""The HSM as a process, and a way to ask it."""

from __future__ import annotations

import os
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import trio

from benchmarks.child import service_process
from chassis.mux import MuxClient, dial_unix
from chassis.settings.tree import HSM, Log, Settings
from hsm_sim.wire import HSMReply, HSMRequest

ME = os.getuid()
EVERY_ROLE = {"switch": ME, "api": ME, "admin": ME}
Client = MuxClient[HSMRequest, HSMReply]


@contextmanager
def worker(
    folder: Path,
    *,
    index: int = 0,
    allowed_uids: dict[str, int] | None = None,
    hsm: HSM | None = None,
    mode: str = "test",
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running worker process and the path of its socket."""
    path = str(folder / f"hsm{index}.sock")
    Path(path).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with service_process(
            "hsm",
            settings=Settings(mode=mode, hsm=hsm or HSM(), log=Log(level="warning")),
            data_dir=folder,
            listeners={"mux": listener},
            allowed_uids=EVERY_ROLE if allowed_uids is None else allowed_uids,
            index=index,
        ) as process:
            listener.close()
            yield process, path


@asynccontextmanager
async def connected(path: str) -> AsyncIterator[Client]:
    """A client of a worker."""
    client: Client = MuxClient(
        request_type=HSMRequest, reply_type=HSMReply, limits=Settings().mux, name="hsm"
    )
    async with trio.open_nursery() as nursery:
        with trio.fail_after(20):
            await nursery.start(client.run, partial(dial_unix, path))
        yield client
        nursery.cancel_scope.cancel()


async def ask(path: str, *requests: HSMRequest) -> list[HSMReply]:
    """Ask a worker one thing after the other."""
    async with connected(path) as client:
        with trio.fail_after(20):
            return [await client.call(request) for request in requests]


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another process brings about."""
    with trio.fail_after(20):
        while not condition():
            await trio.sleep(0.02)
