"""Driving a server with the load generator, which runs in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
import msgspec

from benchmarks.load import LoadOutcome, LoadSpec


class LoadError(Exception):
    """The generator itself failed; carries what it said."""


@attrs.frozen
class LoadResult:
    """What a drive brought, and what it cost the generator."""

    outcome: LoadOutcome
    seconds: float  # from the first request to the last answer

    @property
    def answered(self) -> int:
        """Requests that were answered with any HTTP status."""
        return sum(1 for status in self.outcome.status if status)

    @property
    def per_s(self) -> float:
        """Answers a second."""
        return self.answered / self.seconds

    @property
    def load_cpu_us(self) -> float:
        """CPU of the generator for each request, microseconds."""
        return self.outcome.cpu_s * 1_000_000 / max(1, self.outcome.sent)


def drive(
    host: str,
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int,
    seconds: float,
    rate: float = 0.0,
) -> LoadResult:
    """Send the requests, closed loop or at a constant rate, and collect every answer.

    Raises:
        LoadError: the generator could not run.
    """
    with tempfile.TemporaryDirectory(prefix="turnout-load-") as folder:
        spec = LoadSpec(
            host=host,
            port=port,
            requests=f"{folder}/requests",
            outcome=f"{folder}/outcome",
            connections=connections,
            seconds=seconds,
            rate=rate,
        )
        Path(spec.requests).write_bytes(msgspec.msgpack.encode(requests))
        Path(folder, "spec").write_bytes(msgspec.msgpack.encode(spec))
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load", f"{folder}/spec"],
            check=False,
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise LoadError(done.stderr[-2_000:])
        outcome = msgspec.msgpack.decode(Path(spec.outcome).read_bytes(), type=LoadOutcome)
    return LoadResult(outcome, outcome.elapsed_s)
