"""`python -m benchmarks.http_server`: the HTTP layer alone, with a handler that does nothing.

The figure of ADR 0002: requests a second that one core of `api.http` parses and answers, head of
a signed GET, two bytes of JSON. The server runs in a process of its own; `requests_per_s_per_core`
is requests by CPU second of that process, system calls included.
"""

from __future__ import annotations

import multiprocessing
import os
import socket
import statistics
from multiprocessing.synchronize import Event

import trio

from api.http.answer import JSON, Answer, prepare_head
from api.http.exchange import Exchange
from api.http.server import Server
from benchmarks.driving import drive
from benchmarks.prepared import Signer
from benchmarks.report import Document, bench_document, process_cpu_s, show
from chassis.settings import API

CONNECTIONS = 64
ASSUMED_PER_S = 80_000


def run(*, seconds: float = 2.0, rounds: int = 5) -> Document:
    """Measure and return the document; figures are medians of the rounds."""
    context = multiprocessing.get_context("spawn")
    stop = context.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=CONNECTIONS) as listener:
        os.set_inheritable(listener.fileno(), True)
        server = context.Process(target=_serve, args=(listener, stop))
        server.start()
        assert server.pid is not None
        host, port = listener.getsockname()
        request = Signer(f"{host}:{port}", "pk_test_bench", "sk_test_bench").request("GET", "/x")
        figures = []
        for _ in range(rounds):
            before = process_cpu_s(server.pid)
            result = drive(
                host,
                port,
                [request] * int(seconds * ASSUMED_PER_S),
                connections=CONNECTIONS,
                seconds=seconds,
            )
            cpu_s = process_cpu_s(server.pid) - before
            figures.append((result.per_s, result.answered / cpu_s))
        stop.set()
        server.join()
    per_core = statistics.median(figure for _, figure in figures)
    return bench_document(
        "http_server",
        parameters={"seconds": seconds, "rounds": rounds, "connections": CONNECTIONS},
        results={
            "requests_per_s": statistics.median(figure for figure, _ in figures),
            "requests_per_s_per_core": per_core,
        },
        cpu_us_per_op={"server": 1e6 / per_core},
    )


def _serve(listener: socket.socket, stop: Event) -> None:
    answer = Answer(prepare_head(200, JSON), b"{}")

    def handle(exchange: Exchange) -> None:
        exchange.answer(answer)

    async def main() -> None:
        draining = trio.Event()
        server = Server(API(), handle, finished=lambda _exchange, _status: None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.serve, [listener], draining)
            await trio.to_thread.run_sync(stop.wait)
            draining.set()

    trio.run(main)


if __name__ == "__main__":
    show(run(), as_json=False)
