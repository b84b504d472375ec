"""The api process as the supervisor starts it, but for the process."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest

from api.service import serve
from chassis.metrics import Metrics
from chassis.mux import MuxServer
from chassis.service import Service
from chassis.settings import API, Ledger, Settings
from hsm_sim import wire as hsm_wire
from switch.wire import SwitchReply, SwitchRequest
from tests.support.api import QUICK, HSMStandIn, SwitchStandIn
from tests.support.http import WireClient
from tests.support.postgres import LedgerDSN


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with room for Unix sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        yield Path(name)


def unix_listener(path: Path) -> socket.socket:
    """A listening Unix socket."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def make_service(
    folder: Path, dsn: LedgerDSN, http: socket.socket, *, connect_timeout_s: float = 10.0
) -> Service:
    """What the supervisor would hand to the api."""
    registry, metrics = CollectorRegistry(), Metrics("api")
    registry.register(metrics)
    return Service(
        name="api",
        index=0,
        settings=Settings(
            api=API(nonce_slots=4_096, drain_timeout_s=2.0),
            ledger=Ledger(connect_timeout_s=connect_timeout_s),
            mux=QUICK,
        ),
        data_dir=folder,
        listeners={"http": http},
        endpoints={"hsm": [str(folder / "hsm")], "switch": [str(folder / "switch")]},
        secrets={"database_dsn": dsn("turnout_api")},
        allowed_uids={"hsm": os.geteuid(), "switch": os.geteuid()},
        registry=registry,
        metrics=metrics,
    )


async def run_peers(folder: Path, nursery: trio.Nursery, stack: ExitStack) -> None:
    """Stand-ins of the HSM and the switch where the service looks for them."""
    peers: list[tuple[str, Any, Any, Any]] = [
        ("hsm", hsm_wire.HSMRequest, hsm_wire.HSMReply, HSMStandIn().on_batch),
        ("switch", SwitchRequest, SwitchReply, SwitchStandIn().on_batch),
    ]
    for name, request_type, reply_type, on_batch in peers:
        server: MuxServer[Any, Any] = MuxServer(
            request_type=request_type, reply_type=reply_type, limits=QUICK, on_batch=on_batch
        )
        listener = stack.enter_context(unix_listener(folder / name))
        nursery.start_soon(
            lambda server=server, listener=listener: server.serve(
                listener, allowed_uids=None, task_status=trio.TASK_STATUS_IGNORED
            )
        )


async def ask(port: int, target: str) -> tuple[int, Any]:
    """Status and JSON of an open route."""
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    async with stream:
        client = WireClient(stream)
        await client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        response = await client.receive()
        return response.status, json.loads(response.body)


async def test_the_process_serves_and_drains(ledger_dsn: LedgerDSN, folder: Path) -> None:
    """It opens with the first full second, tells its state and its numbers, and ends when asked."""
    with ExitStack() as stack, trio.fail_after(20):
        http = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = http.getsockname()[1]
        service = make_service(folder, ledger_dsn, http)
        async with trio.open_nursery() as peers, trio.open_nursery() as nursery:
            started_s = time.time()
            nursery.start_soon(serve, service)
            # Nobody listens for the peers yet: the api is alive but not ready.
            assert await ask(port, "/healthz") == (200, {"status": "ok", "checks": {}})
            assert int(time.time()) > int(started_s)
            status, readiness = await ask(port, "/readyz")
            assert (status, readiness["status"]) == (503, "unavailable")
            own = {
                name: readiness["checks"][name] for name in ("process", "ledger", "hsm", "switch")
            }
            assert own == {"process": True, "ledger": True, "hsm": False, "switch": False}
            await run_peers(folder, peers, stack)
            while (await ask(port, "/readyz"))[0] != 200:
                await trio.sleep(0.01)
            assert (await ask(port, "/keys"))[0] == 200
            page = generate_latest(service.registry).decode()
            service.draining.set()
            peers.cancel_scope.cancel()
    assert 'turnout_api_requests_total{route="listCaptureKeys",status="2xx"} 1.0' in page
    assert 'turnout_api_queries_batches_total{kind="intents",shard="0"} 0.0' in page
    assert "turnout_api_nonces_used_ratio 0.0" in page
    assert page.count("\n") < 900


async def test_without_a_ledger_the_process_ends(ledger_dsn: LedgerDSN, folder: Path) -> None:
    """A wrong password is not retried for ever: the supervisor hears of it."""
    with socket.create_server(("127.0.0.1", 0)) as http:
        service = make_service(folder, ledger_dsn, http, connect_timeout_s=0.5)
        service.secrets["database_dsn"] = ledger_dsn("turnout_api").replace("password", "pass")
        with pytest.raises(ExceptionGroup), trio.fail_after(20):
            await serve(service)
