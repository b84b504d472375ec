"""The child's side of a process that the supervisor started.

Theory of operation. A process is born with everything it needs open: its listening sockets, its
launch document, a pipe to say "ready" on, and the lifeline. The lifeline is a pipe whose other end
only the supervisor holds, and nothing is ever written to it. End of file on it means "drain": the
supervisor closed it, or is gone, however that happened; the kernel sees to it. This is why no
process needs to be told that its supervisor was killed, and why none outlives it for long. (A
parent-death signal would not do: it fires when the *thread* that spawned us ends.)

`run_service` tightens the process step by step: limits first, then the files that only root may
open (`prepare`), then the change of uid, then no inspection. Only then does Trio start and `serve`
run. `serve` watches `service.draining`: it closes its intake, finishes what it has accepted, and
returns; the process exits 0. If it does not return in time, an alarm of the kernel ends it, even
when the event loop itself hangs and the supervisor is no longer there to do it.
"""

from __future__ import annotations

import contextlib
import gc
import math
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
import trio
from prometheus_client import CollectorRegistry

from chassis.causes import in_words
from chassis.clock import follow_offset
from chassis.crash_points import follow_arming
from chassis.log import configure_logging, get_logger
from chassis.masking import mask_text
from chassis.metrics import Metrics
from chassis.runtime_metrics import CollectorPauses, register_runtime_metrics
from chassis.service.hardening import become, forbid_inspection, limit_resources
from chassis.service.health import HealthServer
from chassis.service.launch import (
    FAILED,
    READY,
    REASON_BYTES_MAX,
    LaunchDocument,
    read_launch_document,
)
from chassis.service.relocation import keep_code_in_reach
from chassis.settings.tree import Settings

# Past the supervisor's own deadline, so that it acts first and can say so.
ALARM_MARGIN_S = 5.0

# Objects made, less those let go, before Python looks for cycles among them. What a payment in
# flight holds is in no cycle, so a collection finds nothing; the default of 700 runs one for every
# few dozen payments in flight, this one only where many thousands are. A pause is a millisecond.
COLLECTION_THRESHOLD = 20_000

_log = get_logger(__name__)


@attrs.define(kw_only=True)
class Service:
    """What a process has been given, and how it speaks with its supervisor.

    Attributes:
        name: which process: `api`, `switch`, `hsm`, or a network's name.
        index: worker number among processes of the same name.
        settings: the whole tree, without other processes' secrets.
        shard: whose ledger it works on; 0 also for what serves all of them.
        data_dir: absolute, of its shard; the process owns its own sub-directory of it.
        stack_dir: absolute; what all shards share: certificates, the HSM, the networks.
        listeners: bound, listening sockets by role: `http`, `mux`, `network`, `metrics`.
        endpoints: where peers listen: Unix socket paths or `host:port`, by the peer's name.
        secrets: this process's own, by name: `database_dsn`.
        allowed_uids: which uid a role has, for checks on Unix sockets. Without uid separation
            all roles have the same.
        registry: shown at `/metrics`; `metrics` is registered in it.
        metrics: where to register this process's series, before `ready()`.
        checks: what `/readyz` asks beyond `ready()`, by name; add before `ready()`.
        draining: set when the process must close its intake, finish and return.
        exit_code: with which the process ends when it has returned.
    """

    name: str
    index: int
    settings: Settings
    data_dir: Path
    listeners: dict[str, socket.socket]
    endpoints: dict[str, list[str]]
    secrets: dict[str, str] = attrs.field(repr=False)
    allowed_uids: dict[str, int]
    registry: CollectorRegistry
    metrics: Metrics
    checks: dict[str, Callable[[], bool]] = attrs.field(factory=dict)
    draining: trio.Event = attrs.field(factory=trio.Event)
    exit_code: int = 0
    shard: int = 0
    stack_dir: Path = attrs.field(
        default=attrs.Factory(lambda self: self.data_dir, takes_self=True)
    )
    _ready_fd: int | None = None

    def ready(self) -> None:
        """Tell the supervisor, once, that requests are welcome.

        What has been made up to here lives as long as the process, so it is taken out of the
        garbage collector's sight: full collections then skip it.
        """
        if self._ready_fd is None:
            return
        gc.collect()
        gc.freeze()
        with contextlib.suppress(BrokenPipeError):  # no supervisor left: the lifeline says so too
            os.write(self._ready_fd, READY)
        os.close(self._ready_fd)
        self._ready_fd = None

    def failed(self, error: BaseException) -> None:
        """Tell the supervisor why we end, if that is before `ready()`; it has to give the reason.

        Later on a failure is told by the log alone.
        """
        if self._ready_fd is None:
            return
        reason = mask_text(in_words(error)).encode(errors="replace")[:REASON_BYTES_MAX]
        with contextlib.suppress(BrokenPipeError):
            os.write(self._ready_fd, FAILED + reason)

    @property
    def is_ready(self) -> bool:
        """Whether `ready()` was called and no drain has begun."""
        return self._ready_fd is None and not self.draining.is_set()

    def readiness(self) -> dict[str, bool]:
        """Every check by name, as `/readyz` shows it."""
        return {"process": self.is_ready} | {name: check() for name, check in self.checks.items()}


Serve = Callable[[Service], Awaitable[None]]
Prepare = Callable[[Service], None]


def run_service(launch_fd: int, serve: Serve, *, prepare: Prepare | None = None) -> None:
    """Run one process from its launch document to its end.

    Args:
        launch_fd: descriptor of the inherited launch document.
        serve: the process itself; returning ends it.
        prepare: opens what only root may open; called before the uid changes.

    Raises:
        LaunchError: there is no launch document.
        HardeningError: the kernel refused to take a privilege away.
        BaseException: whatever `serve` raises; the process then ends with a masked traceback.
        SystemExit: `serve` has returned and chose an exit status.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the supervisor's to interpret
    document = read_launch_document(launch_fd)
    name = f"{document.name}-{document.index}" if document.index else document.name
    name += f"@{document.shard}" if document.shard else ""
    configure_logging(document.settings.log, process=name)
    if document.settings.testing.clock_offset_file:
        follow_offset(Path(document.settings.testing.clock_offset_file))
    if document.settings.testing.crash_point_file:
        follow_arming(Path(document.settings.testing.crash_point_file))
    limit_resources()
    os.chdir("/")
    pauses = CollectorPauses()
    service = _make_service(document, pauses)
    try:
        if prepare is not None:
            prepare(service)
        if document.identity is not None:
            keep_code_in_reach(document.identity)
            become(document.identity)
        forbid_inspection()
        pauses.install()
        gc.set_threshold(COLLECTION_THRESHOLD)
        trio.run(_run, service, serve, document.lifeline_fd)
    except BaseException as error:
        service.failed(error)
        raise
    if service.exit_code:
        sys.exit(service.exit_code)


def _make_service(document: LaunchDocument, pauses: CollectorPauses) -> Service:
    registry = CollectorRegistry()
    metrics = Metrics(document.name)
    registry.register(metrics)
    register_runtime_metrics(metrics, pauses)
    return Service(
        name=document.name,
        index=document.index,
        settings=document.settings,
        data_dir=Path(document.data_dir),
        listeners={
            role: socket.socket(fileno=descriptor)
            for role, descriptor in document.listeners.items()
        },
        endpoints=document.endpoints,
        secrets=document.secrets,
        allowed_uids=document.allowed_uids,
        registry=registry,
        metrics=metrics,
        shard=document.shard,
        stack_dir=Path(document.stack_dir or document.data_dir),
        ready_fd=document.ready_fd,
    )


async def _run(service: Service, serve: Serve, lifeline_fd: int) -> None:
    async with trio.open_nursery() as nursery:
        await nursery.start(_watch_sigterm, service.draining)
        nursery.start_soon(_watch_lifeline, service.draining, lifeline_fd)
        nursery.start_soon(_limit_drain, service)
        if (metrics_listener := service.listeners.get("metrics")) is not None:
            health = HealthServer(service.registry, service.readiness)
            await nursery.start(health.serve, metrics_listener)
        await serve(service)
        nursery.cancel_scope.cancel(reason="the service has returned")


async def _watch_lifeline(draining: trio.Event, lifeline_fd: int) -> None:
    os.set_blocking(lifeline_fd, False)
    while True:
        await trio.lowlevel.wait_readable(lifeline_fd)
        if os.read(lifeline_fd, 1) == b"":
            break
    draining.set()


async def _watch_sigterm(
    draining: trio.Event, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        task_status.started()
        async for _ in signals:
            draining.set()


async def _limit_drain(service: Service) -> None:
    await service.draining.wait()
    limit_s = service.settings.supervisor.drain_timeout_s + ALARM_MARGIN_S
    _log.debug("draining", limit_s=limit_s)
    signal.alarm(math.ceil(limit_s))  # not caught: the default action of SIGALRM ends the process
