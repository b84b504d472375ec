"""A server of the S3 protocol on a free port, as a process of its own, with one empty bucket."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

import obstore
from attrs import define

from chassis.settings.archive import Archive
from ledger.archive.store import BucketStore

BUCKET = "turnout-archive"
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


@define
class S3Server:
    """A running server.

    Attributes:
        endpoint: its URL.
        process: it.
    """

    endpoint: str
    process: subprocess.Popen[str]

    def settings(self, **changes: object) -> Archive:
        """How to reach it."""
        fields: dict[str, object] = {"s3_endpoint": self.endpoint, "s3_timeout_s": 10.0}
        return Archive(**(fields | changes))  # type: ignore[arg-type]

    def store(self, prefix: str) -> BucketStore:
        """A store under a prefix of the bucket."""
        return BucketStore(f"s3://{BUCKET}/{prefix}", self.settings())

    def replace(self, prefix: str, name: str, data: bytes) -> None:
        """Overwrite an object, as no run of the archive would."""
        store = self.store(prefix)._store
        assert store is not None
        obstore.put(store, name, data)

    def stop(self) -> None:
        """End it; it has kept nothing."""
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Start a server, and end it behind the block."""
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ENVIRONMENT, "PYTHONWARNINGS": "ignore"},
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if (found := re.search(r"http://127\.0\.0\.1:\d+", line)) is not None:
                break
        else:
            raise AssertionError("the S3 server ended before it listened")
        server = S3Server(found[0], process)
        _send(urllib.request.Request(f"{server.endpoint}/{BUCKET}", method="PUT"))
        yield server
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()


def _send(request: urllib.request.Request) -> None:
    with urllib.request.urlopen(request, timeout=10) as reply:
        reply.read()
