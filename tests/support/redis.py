"""A real Redis of a test's own: in memory alone, on a free port, killed when the test says so."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic, sleep
from typing import Final

from attrs import define

from chassis.settings.redis import Redis

READY_WITHIN_S: Final = 20.0
# Tests do not wait; a busy machine may.
QUICK: Final = {"reconnect_min_s": 0.01, "reconnect_max_s": 0.05, "answer_timeout_s": 5.0}


@define
class RedisServer:
    """One server, which can die and come back on its port with nothing remembered."""

    port: int
    folder: str
    process: subprocess.Popen[bytes] | None = None

    def settings(self) -> Redis:
        """How it is reached."""
        return Redis(url=f"redis://127.0.0.1:{self.port}", **QUICK)  # type: ignore[arg-type]

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.process = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
             "--appendonly", "no", "--dir", self.folder, "--maxmemory-policy", "noeviction"],
            stdout=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = monotonic() + READY_WITHIN_S
        while True:
            assert self.process.poll() is None, "redis-server ended"
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as asked:
                    asked.sendall(b"PING\r\n")
                    if asked.recv(7) == b"+PONG\r\n":
                        return
            except OSError:
                assert monotonic() < deadline, "redis-server does not answer"
            sleep(0.02)

    def kill(self) -> None:
        """Kill it; what it knew is lost."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def redis_server() -> Iterator[RedisServer]:
    """Run a server until the block ends."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        server = RedisServer(port, folder)
        server.start()
        try:
            yield server
        finally:
            server.kill()
