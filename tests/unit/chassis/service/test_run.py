"""How a process speaks with its supervisor."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from chassis.metrics import Metrics
from chassis.service import Service
from chassis.service.launch import FAILED, READY, REASON_BYTES_MAX
from chassis.settings import Settings


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Our end and the process's."""
    ours, theirs = os.pipe()
    os.set_blocking(ours, False)
    yield ours, theirs
    os.close(ours)


@pytest.fixture
def service(pipe: tuple[int, int]) -> Service:
    """A process that is not ready yet."""
    listeners: dict[str, socket.socket] = {}
    return Service(
        name="toy",
        index=0,
        settings=Settings(),
        data_dir=Path("/nonexistent"),
        listeners=listeners,
        endpoints={},
        secrets={},
        allowed_uids={},
        registry=CollectorRegistry(),
        metrics=Metrics("toy"),
        ready_fd=pipe[1],
    )


def test_a_process_says_why_it_was_never_ready(service: Service, pipe: tuple[int, int]) -> None:
    """Type and text of what went wrong, without what must not be written."""
    service.failed(ExceptionGroup("", [OSError("/pki/switch.pem: no 4242 4242 4242 4242 here")]))
    assert os.read(pipe[0], 4_096) == FAILED + b"OSError: /pki/switch.pem: no [masked] here"
    os.close(pipe[1])


def test_a_long_reason_is_cut(service: Service, pipe: tuple[int, int]) -> None:
    """The pipe takes it as a whole, so a process that fails does not wait for its supervisor."""
    service.failed(ValueError("x" * 100_000))
    assert len(os.read(pipe[0], 65_536)) == len(FAILED) + REASON_BYTES_MAX
    os.close(pipe[1])


def test_after_ready_a_failure_is_the_logs(service: Service, pipe: tuple[int, int]) -> None:
    """The pipe is closed: the supervisor restarts what was ready, whatever ended it."""
    service.ready()
    service.failed(ValueError("later"))
    assert os.read(pipe[0], 4_096) == READY


def test_a_supervisor_that_is_gone_is_told_nothing(service: Service) -> None:
    """The lifeline says so too."""
    ours, theirs = os.pipe()
    os.close(ours)
    os.close(service._ready_fd)
    service._ready_fd = theirs
    service.failed(ValueError("unheard"))
    os.close(theirs)
