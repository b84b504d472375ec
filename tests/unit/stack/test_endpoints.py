"""What a running stack publishes, and what is left when it was killed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from chassis.settings import SHARDS_MAX
from chassis.settings.tree import SWITCHES_MAX
from chassis.shard_names import unit_key
from stack.endpoints import (
    FILE,
    APIEndpoint,
    Endpoints,
    NotRunningError,
    of_shard,
    read_endpoints,
    remove_endpoints,
    write_endpoints,
)

SOCKET_PATH_MAX = 107  # sun_path

ENDPOINTS = Endpoints(
    pid=os.getpid(),
    api=APIEndpoint(url="http://127.0.0.1:8080"),
    metrics={"api": "http://127.0.0.1:9464/metrics"},
    networks={"vsim": "127.0.0.1:8583"},
    sockets={"hsm": ["/run/turnout/hsm-0"]},
    processes={"api": 1},
)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with its run folder."""
    (tmp_path / "run").mkdir()
    return tmp_path


def test_what_was_written_is_read(data_dir: Path) -> None:
    """The document survives, and holds the keys of contract 1."""
    write_endpoints(data_dir, ENDPOINTS)
    assert read_endpoints(data_dir) == ENDPOINTS
    document = msgspec.json.decode((data_dir / FILE).read_bytes())
    assert document["api"] == {"url": "http://127.0.0.1:8080"}
    assert {"pid", "api", "metrics", "networks", "sockets"} <= document.keys()


def test_what_the_largest_stack_publishes_is_read(data_dir: Path) -> None:
    """As many shards as there may be, with as many switches, in a folder with a long path."""
    own = [f"switch-{index}" for index in range(SWITCHES_MAX)]
    own += ["postgres", "replica", "relay", "relay-2", "comparer", "audit", "witness", "postings"]
    own += ["forwarder"]
    shards = range(SHARDS_MAX)
    units = [unit_key(name, shard) for shard in shards for name in own]
    sockets = {
        unit_key("switch", shard): [_socket(unit_key(name, shard)) for name in own[:SWITCHES_MAX]]
        for shard in shards
    }
    write_endpoints(
        data_dir,
        largest := msgspec.structs.replace(
            ENDPOINTS,
            metrics=dict.fromkeys(units, "http://127.127.127.127:65535/metrics"),
            sockets=sockets | {unit_key("postgres", shard): [_socket("pg")] for shard in shards},
            processes=dict.fromkeys(units, 4_194_304),
        ),
    )
    assert read_endpoints(data_dir) == largest


def _socket(name: str) -> str:
    """The longest path that the socket of a unit may have."""
    return f"/{'x' * (SOCKET_PATH_MAX - len(name) - 2)}/{name}"


def test_without_a_stack_the_remedy_is_named(data_dir: Path) -> None:
    """No file, or one that was taken back, means that nothing runs."""
    with pytest.raises(NotRunningError, match="start one there with `turnout up`"):
        read_endpoints(data_dir)
    write_endpoints(data_dir, ENDPOINTS)
    remove_endpoints(data_dir)
    remove_endpoints(data_dir)
    with pytest.raises(NotRunningError, match="no stack runs"):
        read_endpoints(data_dir)


def test_a_shard_publishes_its_own_under_plain_names(data_dir: Path) -> None:
    """What works on one ledger finds what a stack of one ledger would have published."""
    whole = msgspec.structs.replace(
        ENDPOINTS,
        metrics={"relay": "http://a", "relay@1": "http://b", "relay@11": "http://c"},
        sockets={"hsm": ["/h"], "switch": ["/s"], "switch@1": ["/s@1"], "postgres@1": ["/pg@1"]},
        processes={"api": 1, "relay": 2, "switch-0@1": 3, "relay@1": 4, "relay@11": 5},
    )
    directory = data_dir / "shards" / "1"
    (directory / "run").mkdir(parents=True)
    write_endpoints(directory, of_shard(whole, 1))
    own = read_endpoints(directory)
    assert (own.pid, own.api, own.networks) == (whole.pid, whole.api, whole.networks)
    assert own.metrics == {"relay": "http://b"}
    assert own.sockets == {"hsm": ["/h"], "switch": ["/s@1"], "postgres": ["/pg@1"]}
    assert own.processes == {"switch-0": 3, "relay": 4}


def test_without_a_stack_a_shard_names_where_to_start_one(data_dir: Path) -> None:
    """A shard is not started by itself."""
    with pytest.raises(NotRunningError, match=rf"no stack runs on {data_dir}; start one there"):
        read_endpoints(data_dir / "shards" / "1")


def test_the_file_of_a_killed_stack_does_not_count(data_dir: Path) -> None:
    """A supervisor that no longer lives has no endpoints."""
    gone = subprocess.Popen(["true"])
    gone.wait()
    write_endpoints(data_dir, msgspec.structs.replace(ENDPOINTS, pid=gone.pid))
    with pytest.raises(NotRunningError, match="no stack runs"):
        read_endpoints(data_dir)


@pytest.mark.parametrize("content", [b"", b"{", b'{"pid":1}'])
def test_a_broken_file_is_named(data_dir: Path, content: bytes) -> None:
    """Half a document, or another one, is an error with the path."""
    (data_dir / FILE).write_bytes(content)
    with pytest.raises(NotRunningError, match=r"endpoints\.json cannot be read"):
        read_endpoints(data_dir)
