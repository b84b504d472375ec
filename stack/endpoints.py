"""Where a running stack can be reached: `<data-dir>/run/endpoints.json` (contract 1).

Written when every process is ready and again after each restart, removed at the end. A stack that
was killed leaves the file behind, so readers check that its supervisor lives.
The directory of a shard above 0 has a file of its own, so that whoever works on one ledger finds
there what a stack of one ledger would have published.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from chassis.durable import write_durably
from chassis.settings import SHARDS_MAX
from chassis.shard_names import name_within, stack_of
from chassis.supervisor import process_is_alive

T = TypeVar("T")

FILE: Final = Path("run", "endpoints.json")
SHARD_BYTES_MAX: Final = 16_384  # of the most switches, each with a socket and two more lines
FILE_BYTES_MAX: Final = SHARD_BYTES_MAX * SHARDS_MAX


class APIEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The merchant-facing API."""

    url: str  # such as http://127.0.0.1:8080, no slash at its end


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """The addresses and process ids of one running stack."""

    pid: int  # of the supervisor
    api: APIEndpoint
    shop: str | None = None  # the demo shop's URL
    metrics: dict[str, str]  # process key -> URL of its /metrics
    networks: dict[str, str]  # network -> host:port
    # hsm, switch: Unix sockets; postgres: the folder of its socket; switch@1 … of other shards
    sockets: dict[str, list[str]]
    processes: dict[str, int]  # process key -> process id


def of_shard(endpoints: Endpoints, shard: int) -> Endpoints:
    """What is published in the directory of a shard (1 or above): its own, under plain names.

    API, HSM and networks are those of the stack, and so is the supervisor.
    """
    own = {"hsm": endpoints.sockets["hsm"]}
    return msgspec.structs.replace(
        endpoints,
        metrics=_within(endpoints.metrics, shard),
        sockets=own | _within(endpoints.sockets, shard),
        processes=_within(endpoints.processes, shard),
    )


def _within(by_key: Mapping[str, T], shard: int) -> dict[str, T]:
    named = ((name_within(key, shard), value) for key, value in by_key.items())
    return {name: value for name, value in named if name is not None}


class NotRunningError(Exception):
    """No stack runs on this data directory; says how to start one."""


def write_endpoints(data_dir: Path, endpoints: Endpoints) -> None:
    """Publish where the stack is; readable by everyone, it holds no secret.

    Raises:
        OSError: the disk does not take it.
    """
    document = msgspec.json.format(msgspec.json.encode(endpoints), indent=2)
    write_durably(data_dir / FILE, document + b"\n", mode=0o644)


def remove_endpoints(data_dir: Path) -> None:
    """Take back what was published, by us or by a stack that was killed."""
    (data_dir / FILE).unlink(missing_ok=True)


def read_endpoints(data_dir: Path) -> Endpoints:
    """Where the stack on this data directory is.

    Raises:
        NotRunningError: none runs there, or it is not ready yet.
    """
    path = data_dir / FILE
    stack_dir = stack_of(data_dir) or data_dir
    advice = f"no stack runs on {stack_dir}; start one there with `turnout up`"
    try:
        with path.open("rb") as file:
            endpoints = msgspec.json.decode(file.read(FILE_BYTES_MAX), type=Endpoints)
    except FileNotFoundError:
        raise NotRunningError(advice) from None
    except (OSError, msgspec.DecodeError) as error:
        raise NotRunningError(f"{path} cannot be read: {error}") from error
    if not process_is_alive(endpoints.pid):
        raise NotRunningError(advice)
    return endpoints
