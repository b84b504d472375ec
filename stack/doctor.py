"""Whether this machine can run a stack: each thing that `turnout up` needs, looked at beforehand.

A check looks and changes nothing. It is `ok`, a `warning` (the stack runs, but not as it should
in production) or `failed` (it would not start, or not for long), and says how to mend it.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final, Literal

import trio
from attrs import frozen

from chassis.settings import Settings, settings_of_shard
from chassis.shard_names import shard_directory, shards_in
from chassis.supervisor import StartError, bind_tcp, choose_runtime_folder, find_closed_folder
from ledger.embedded.binaries import find_binaries
from ledger.embedded.identity import Identity
from ledger.errors import EmbeddedPostgresError
from stack.endpoints import NotRunningError, read_endpoints
from stack.layout import (
    check_api_processes,
    check_shards,
    shop_runs,
    simulated_networks,
    stack_users,
)
from stack.redis import RedisUnusableError, look_at_redis
from stack.replica import check_replica
from stack.sockets import metrics_ports

PYTHON_MIN: Final = (3, 11)
SPARE_FILES: Final = 512  # links, database sessions, logs: what a process opens besides clients
VOLATILE_FILE_SYSTEMS: Final = frozenset({"tmpfs", "ramfs"})
# What stops where the disk of one of these folders is full; docs/operations.md tells more.
WRITERS: Final[Mapping[str, str]] = {
    "postgres": "without it nothing goes on",
    "stream": "events wait in the database's WAL until then, and payments once that is too long",
    "second": "the second relay waits until then, and payments once it pins too much WAL",
    "audit": "nothing is signed until then",
    "witness": "nothing is witnessed until then",
    "hsm": "captures, refunds and reversals wait until then",
    "networks": "simulated networks answer nothing until then",
    "archive": "`turnout archive run` copies nothing until then, and removes nothing",
}
ONCE: Final = frozenset({"hsm", "networks"})  # however many shards there are
_WRITER_BYTES: Final = 16_777_216
_TIME_ERROR = 5  # adjtimex(2): the clock is not synchronized
_DAY_S = 86_400

Status = Literal["ok", "warning", "failed"]


@frozen
class Check:
    """What was looked at, how it is, and what would mend it."""

    name: str
    status: Status
    detail: str
    remedy: str = ""


def examine(settings: Settings, data_dir: Path, environ: Mapping[str, str]) -> list[Check]:
    """Carry out every check; takes about a second."""
    checks: tuple[Callable[[], Iterator[Check]], ...] = (
        check_python,
        lambda: check_ports(settings, data_dir),
        lambda: look_at_shards(settings, data_dir),
        lambda: check_sockets(data_dir, environ),
        lambda: check_disk(settings, data_dir),
        lambda: check_disks_of_writers(settings, data_dir),
        lambda: check_open_files(settings),
        check_clock,
        lambda: check_users(settings, data_dir),
        lambda: check_postgres(settings),
        lambda: check_limits(settings),
    )
    return [found for check in checks for found in check()]


def check_python() -> Iterator[Check]:
    """The interpreter, and the system it runs on."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < PYTHON_MIN:
        yield Check("python", "failed", version, "install Python 3.11 or newer")
    else:
        yield Check("python", "ok", version)
    if sys.platform == "linux":
        yield Check("system", "ok", f"Linux {os.uname().release}")
    else:
        yield Check("system", "warning", sys.platform, "only Linux is tested")


def check_ports(settings: Settings, data_dir: Path) -> Iterator[Check]:
    """Every address that the stack would listen on."""
    try:
        running = read_endpoints(data_dir)
    except NotRunningError:
        running = None
    if running is not None:
        detail = f"in use by the stack that runs on {data_dir} (process {running.pid})"
        yield Check("ports", "ok", detail)
        return
    for host, port, purpose, setting in _addresses(settings):
        if port == 0:
            continue
        try:
            bind_tcp(host, port, purpose=purpose, setting=setting).close()
        except StartError as error:
            problem, _, remedy = str(error).partition("; ")
            yield Check("ports", "failed", problem, remedy)
        else:
            yield Check("ports", "ok", f"{host} port {port}, for {purpose}, is free")


def _addresses(settings: Settings) -> Iterator[tuple[str, int, str, str]]:
    yield settings.api.host, settings.api.port, "the API", "api.port"
    if shop_runs(settings):
        yield settings.shop.host, settings.shop.port, "the demo shop", "shop.port"
    for name, network in simulated_networks(settings).items():
        yield network.host, network.port, f"network {name}", f"networks.{name}.port"
    for key, port, setting in metrics_ports(settings):
        yield settings.metrics.host, port, f"metrics of {key}", setting


def look_at_shards(settings: Settings, data_dir: Path) -> Iterator[Check]:
    """Whether every ledger of the data directory would be started, with the replica asked for."""
    try:
        check_replica(settings)
    except StartError as error:
        problem, _, remedy = str(error).partition("; ")
        yield Check("replica", "failed", problem, remedy)
    try:
        check_shards(settings, data_dir)
    except StartError as error:
        problem, _, remedy = str(error).partition("; ")
        yield Check("shards", "failed", problem, remedy)
        return
    count, found = settings.shards.count, shards_in(data_dir)
    if count > found:
        yield Check("shards", "ok", f"{count} to start; {data_dir} has {found} so far")
    elif count > 1:
        where = "in the databases of shards.database_urls" if settings.shards.database_urls else ""
        yield Check("shards", "ok", f"{count}, {where or 'each with a Postgres of its own'}")


def check_sockets(data_dir: Path, environ: Mapping[str, str]) -> Iterator[Check]:
    """A place for Unix sockets, whose paths are short."""
    try:
        folder = choose_runtime_folder(data_dir, environ)
        with socket.socket(socket.AF_UNIX), tempfile.TemporaryDirectory(dir=folder.parent):
            yield Check("sockets", "ok", f"Unix sockets go to {folder}")
    except (StartError, OSError) as error:
        yield Check("sockets", "failed", str(error), "make /run or the temporary folder writable")


def check_disk(settings: Settings, data_dir: Path) -> Iterator[Check]:
    """Room for the ledger, on a disk that keeps it."""
    existing = next(path for path in (data_dir, *data_dir.parents) if path.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        yield Check("disk", "failed", f"{existing} is not writable", "choose another --data-dir")
        return
    free = shutil.disk_usage(existing).free
    needed = settings.ledger.free_bytes_min
    detail = f"{existing} has {free // 1_000_000:,} MB free"
    if free < needed:
        remedy = f"at least {needed // 1_000_000:,} MB are needed: free some, or move --data-dir"
        yield Check("disk", "failed", detail, remedy)
    else:
        yield Check("disk", "ok", detail)
    kind = file_system(existing, Path("/proc/self/mounts").read_text())
    if kind in VOLATILE_FILE_SYSTEMS:
        remedy = "choose a --data-dir on a disk; this one forgets"
        yield Check("disk", "warning", f"{existing} is on {kind}", remedy)


def check_disks_of_writers(settings: Settings, data_dir: Path) -> Iterator[Check]:
    """Room on each writer's disk, where that is another one than the data directory's."""
    needed = dict.fromkeys(WRITERS, _WRITER_BYTES) | {
        "postgres": settings.ledger.free_bytes_min,
        "stream": settings.stream.segment_bytes,
        "second": settings.stream.segment_bytes,
        "archive": settings.stream.segment_bytes,
    }
    for name, folder in _folders_of_writers(settings, data_dir):
        try:
            if folder.stat().st_dev == data_dir.stat().st_dev:
                continue
            free = shutil.disk_usage(folder).free
        except OSError:  # not there yet, or not for us to look at
            continue
        detail = f"{folder} has {free // 1_000_000:,} MB free, on a disk of its own"
        if free >= needed[name]:
            yield Check("disk", "ok", detail)
            continue
        remedy = f"make room: {-(-needed[name] // 1_000_000):,} MB or more; {WRITERS[name]}"
        yield Check("disk", "failed" if name == "postgres" else "warning", detail, remedy)


def _folders_of_writers(settings: Settings, data_dir: Path) -> Iterator[tuple[str, Path]]:
    """Each writer's name and its folders; HSM and networks have one for the whole stack."""
    for name in WRITERS:
        for shard in range(1 if name in ONCE else settings.shards.count):
            yield name, shard_directory(data_dir, shard) / name
    for shard in range(settings.shards.count):
        own = settings_of_shard(settings, shard)
        for name, elsewhere in (
            ("second", own.relay.second_directory),
            ("witness", own.audit.witness_dir),
            ("archive", own.archive.url),
        ):
            if elsewhere and "://" not in elsewhere:
                yield name, Path(elsewhere)


def file_system(path: Path, mounts: str) -> str:
    """The kind of file system that holds `path`, from the text of /proc/mounts (proc(5))."""
    kinds: dict[Path, str] = {}
    for line in mounts.splitlines():
        _, mounted_on, kind, *_ = line.split(" ")
        kinds[Path(mounted_on.replace("\\040", " "))] = kind
    resolved = path.resolve()
    holders = (folder for folder in (resolved, *resolved.parents) if folder in kinds)
    return kinds[next(holders, Path("/"))] if kinds else ""


def check_open_files(settings: Settings) -> Iterator[Check]:
    """As many open files as the api may have connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = settings.api.connections_max + SPARE_FILES
    if hard == resource.RLIM_INFINITY or hard >= needed:
        yield Check("open files", "ok", f"the limit is {hard}, {needed} are needed")
    else:
        remedy = f"raise the limit (ulimit -Hn {needed}) or lower api.connections_max"
        yield Check("open files", "failed", f"the limit is {hard}, {needed} are needed", remedy)


def check_clock() -> Iterator[Check]:
    """A clock that merchants' time stamps can be compared with."""
    newest = Path(__file__).stat().st_mtime
    if time.time() < newest - _DAY_S:
        detail = "the clock is behind the date of the program itself"
        yield Check("clock", "failed", detail, "set the clock")
    elif _is_synchronized():
        yield Check("clock", "ok", "synchronized")
    else:
        detail = "the kernel does not know of a synchronized clock"
        yield Check("clock", "warning", detail, "run chrony or systemd-timesyncd")


def _is_synchronized() -> bool:
    if sys.platform != "linux":
        return True
    timex = ctypes.create_string_buffer(256)  # struct timex; all zero asks without changing
    state: int = ctypes.CDLL(None).adjtimex(timex)
    return state not in (-1, _TIME_ERROR)


def check_users(settings: Settings, data_dir: Path) -> Iterator[Check]:
    """Whether each process gets a user of its own, and reaches its files."""
    users = stack_users(settings, euid=os.geteuid())
    if not users.separated:
        remedy = "start as root, with supervisor.separate_uids = true"
        detail = "trust zones not separated: every process runs as this user"
        yield Check("users", "warning", detail, remedy)
        return
    if (closed := find_closed_folder(data_dir)) is not None:
        remedy = "choose another --data-dir, or open that folder (chmod o+x)"
        yield Check("users", "failed", f"{closed} is closed to the processes' users", remedy)
    else:
        yield Check("users", "ok", f"each process has a uid from {settings.supervisor.uid_base} on")


def check_postgres(settings: Settings) -> Iterator[Check]:
    """The programs of Postgres; a server elsewhere is not contacted."""
    for given, key in (
        (settings.ledger.url, "ledger.url"),
        (settings.shards.database_urls, "shards.database_urls"),
    ):
        if given:
            yield Check("postgres", "ok", f"elsewhere, as {key} says; not contacted")
            return
    ourselves = Identity(os.geteuid(), os.getegid(), switched=False)
    try:
        binaries = trio.run(find_binaries, settings.ledger.bindir, Path("/nonexistent"), ourselves)
    except EmbeddedPostgresError as error:
        yield Check("postgres", "failed", str(error), "see ledger.bindir and ledger.url")
    else:
        yield Check("postgres", "ok", f"{binaries.version} in {binaries.folder}")


def check_limits(settings: Settings) -> Iterator[Check]:
    """What the API's limits stand on: whose addresses it sees, and where processes share."""
    if settings.mode == "live" and not settings.limits.trusted_proxies:
        detail = "limits.trusted_proxies is empty: behind a proxy, no address has its own limit"
        yield Check("limits", "warning", detail, "name your proxies there, if there are any")
    try:
        check_api_processes(settings)
    except StartError as error:
        yield Check("redis", "failed", str(error), "set redis.url, or api.processes = 1")
        return
    if not settings.redis.url:
        return
    try:
        yield Check("redis", "ok", look_at_redis(settings.redis))
    except RedisUnusableError as error:
        yield Check("redis", "failed", str(error), "start it with maxmemory-policy noeviction")
