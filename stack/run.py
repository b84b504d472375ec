"""Running a whole stack in this process's care, from the lock to the last socket file."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import trio
from attrs import define, field

from chassis.log import get_logger
from chassis.service import forbid_core_dumps
from chassis.settings import Settings, settings_of_shard
from chassis.shard_names import shard_directory
from chassis.supervisor import (
    DirectoryLock,
    Unit,
    Users,
    make_runtime_folder,
    supervise,
)
from stack.compose import compose, network_endpoints
from stack.context import Provision, ShardContext, StackContext
from stack.database import keep_passwords, load_passwords, make_database, postgres_folder
from stack.endpoints import (
    APIEndpoint,
    Endpoints,
    of_shard,
    remove_endpoints,
    write_endpoints,
)
from stack.layout import (
    PASS_THROUGH,
    check_api_processes,
    check_forwarder,
    check_shards,
    make_certificates,
    make_data_folders,
    make_development_keks,
    make_run_folder,
    stack_users,
)
from stack.live import refuse_what_test_mode_left
from stack.replica import check_replica, make_replica
from stack.sockets import Sockets, bind_sockets

# Past a drain, a process ends by its own alarm; see chassis.service.run.
ORPHANS_MARGIN_S = 10.0

_log = get_logger(__name__)


class StackFailedError(Exception):
    """The stack ended before it was ready; it has said why.

    Attributes:
        exit_code: what the program should exit with.
    """

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"the stack did not start (exit status {exit_code})")
        self.exit_code = exit_code


@define
class RunningStack:
    """A stack under its supervisor.

    Attributes:
        context: what it is made of.
        endpoints: where it can be reached; process ids follow restarts.
        ready: set when every process is.
        stop: set it to have the stack drained.
        stopped: set when it has stopped, whoever asked for that.
        exit_code: the supervisor's, once stopped.
        body: what is canceled when it has stopped.
    """

    context: StackContext
    endpoints: Endpoints
    ready: trio.Event = field(factory=trio.Event)
    stop: trio.Event = field(factory=trio.Event)
    stopped: trio.Event = field(factory=trio.Event)
    exit_code: int = 0
    body: trio.CancelScope = field(factory=trio.CancelScope)


@asynccontextmanager
async def running_stack(
    settings: Settings,
    *,
    data_dir: Path,
    environ: Mapping[str, str],
    provision: Sequence[Provision] = (),
) -> AsyncIterator[RunningStack]:
    """Start a stack, have it ready in the body, stop it at the end of the body.

    While it runs this process handles SIGINT, SIGTERM and SIGHUP: the first drains the stack and
    cancels the body, which then ends without an error; `exit_code` tells the rest.

    Args:
        settings: the whole tree.
        data_dir: absolute; made if missing.
        environ: the process environment, for the place of the runtime folder.
        provision: see `stack.compose`.

    Raises:
        StartError: something about this machine is in the way; says how to mend it.
        StackFailedError: a process or a step failed while starting; it has said why.
    """
    with ExitStack() as held:
        lock = DirectoryLock(make_run_folder(data_dir))
        held.callback(lock.release)
        await _acquire(lock, settings)
        context = _prepare(settings, data_dir, environ, held)
        units = compose(context, provision=provision, held_fds=(lock.fileno(),))
        stack = RunningStack(context, _endpoints(context, {}))
        failure = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_supervise, stack, units)
            try:
                with stack.body:
                    await stack.ready.wait()
                    yield stack
            except Exception as error:  # noqa: BLE001 - raised again below, unwrapped, after the drain
                failure = error
            finally:
                stack.stop.set()
        if failure is not None:
            raise failure
        if not stack.ready.is_set():
            raise StackFailedError(stack.exit_code)


async def _supervise(stack: RunningStack, units: Sequence[Unit]) -> None:
    """Run the units to their orderly end, also when whoever wanted the stack is canceled."""

    def publish(process_ids: Mapping[str, int]) -> None:
        stack.endpoints = _endpoints(stack.context, process_ids)
        _publish(stack.context, stack.endpoints)
        stack.ready.set()

    with trio.CancelScope(shield=True):
        settings = stack.context.settings.supervisor
        stack.exit_code = await supervise(
            units, settings=settings, publish=publish, stop=stack.stop
        )
    stack.stopped.set()
    stack.body.cancel(reason="the stack has stopped")


async def _acquire(lock: DirectoryLock, settings: Settings) -> None:
    wait_s = settings.supervisor.drain_timeout_s + ORPHANS_MARGIN_S
    if await lock.acquire(wait_s=wait_s):
        _log.warning("an earlier stack was killed; its processes have drained now")


def _prepare(
    settings: Settings, data_dir: Path, environ: Mapping[str, str], held: ExitStack
) -> StackContext:
    """Everything that can be done, and can fail, before a process starts."""
    forbid_core_dumps()  # of ours and of Postgres; the other processes see to it themselves
    check_shards(settings, data_dir)
    users = stack_users(settings, euid=os.geteuid())
    if not users.separated:
        _log.warning("trust zones not separated: every process runs as this user")
    for shard in range(settings.shards.count):
        remove_endpoints(shard_directory(data_dir, shard))
        held.callback(remove_endpoints, shard_directory(data_dir, shard))
    refuse_what_test_mode_left(settings, data_dir)
    check_api_processes(settings)
    check_forwarder(settings)
    check_replica(settings)
    make_data_folders(settings, data_dir, users)
    make_certificates(settings, data_dir, users)
    make_development_keks(settings, data_dir, users)
    runtime_dir = _runtime_folder(data_dir, environ, held)
    sockets = bind_sockets(settings, runtime_dir, users)
    held.callback(sockets.close)
    return StackContext(
        settings=settings,
        data_dir=data_dir,
        runtime_dir=runtime_dir,
        users=users,
        sockets=sockets,
        shards=make_shards(settings, data_dir, runtime_dir, users, sockets),
    )


def make_shards(
    settings: Settings, stack_dir: Path, runtime_dir: Path, users: Users, sockets: Sockets
) -> list[ShardContext]:
    """Every ledger of the stack, with one set of passwords for all of them.

    Raises:
        StartError: the passwords cannot be kept.
    """
    passwords = load_passwords(stack_dir)
    shards = []
    for number, switches in enumerate(sockets.switches):
        own, data_dir = settings_of_shard(settings, number), shard_directory(stack_dir, number)
        keep_passwords(data_dir, passwords)
        database, resource = make_database(
            own, data_dir, postgres_folder(runtime_dir, number), users, passwords
        )
        shards.append(
            ShardContext(
                number=number,
                settings=own,
                data_dir=data_dir,
                switches=switches,
                database=database,
                resource=resource,
                replica=make_replica(
                    own,
                    number=number,
                    data_dir=data_dir,
                    runtime_dir=runtime_dir,
                    users=users,
                    database=database,
                    passwords=passwords,
                ),
            )
        )
    return shards


def _runtime_folder(data_dir: Path, environ: Mapping[str, str], held: ExitStack) -> Path:
    # Postgres runs as another user whenever we are root, so root's folder lets users through.
    mode = PASS_THROUGH if os.geteuid() == 0 else 0o700
    runtime_dir = make_runtime_folder(data_dir, environ, mode=mode)
    held.callback(shutil.rmtree, runtime_dir, ignore_errors=True)
    return runtime_dir


def _endpoints(context: StackContext, process_ids: Mapping[str, int]) -> Endpoints:
    sockets = {"hsm": context.hsm_sockets}
    for shard in context.shards:
        sockets[shard.key("switch")] = shard.switch_sockets
        folder = postgres_folder(context.runtime_dir, shard.number)
        sockets[shard.key("postgres")] = [] if shard.resource is None else [str(folder)]
    return Endpoints(
        pid=os.getpid(),
        api=APIEndpoint(url=context.api_url),
        shop=context.shop_url,
        metrics={
            key: f"http://{listener.address}/metrics"
            for key, listener in context.sockets.metrics.items()
        },
        networks={name: hosts[0] for name, hosts in network_endpoints(context).items()},
        sockets=sockets,
        processes=dict(process_ids),
    )


def _publish(context: StackContext, endpoints: Endpoints) -> None:
    """Write the endpoints; a full disk must not take a running stack down."""
    try:
        for shard in context.shards[1:]:
            write_endpoints(shard.data_dir, of_shard(endpoints, shard.number))
        write_endpoints(context.data_dir, endpoints)
    except OSError as error:
        _log.error("endpoints.json cannot be written", reason=error.strerror)
