"""A process for the supervisor's tests: becomes ready, drains, or misbehaves as it is told.

Run as `toy_service.py BEHAVIOR --launch-fd N`. What it does it writes to a journal that all
processes of a test share, one `KEY EVENT PID` a line.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from importlib import import_module
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import trio

from chassis.service import Service, run_service

BEHAVIOR = sys.argv[1]
# A package that a test has put into a folder which only root may enter.
CLOSED_PACKAGE = import_module("closed_toy") if find_spec("closed_toy") else None


def _note(service: Service, event: str) -> None:
    journal = os.open(service.secrets["journal"], os.O_WRONLY | os.O_APPEND)
    os.write(journal, f"{service.secrets['key']} {event} {os.getpid()}\n".encode())
    os.close(journal)


async def _greet(stream: trio.SocketStream) -> None:
    await stream.send_all(f"{os.getpid()}\n".encode())
    await stream.aclose()


LATE_IMPORTS = (
    "_lsprof",  # a shared library of the interpreter
    "zipapp",  # a module of the standard library
    "xml.dom.minidom",  # a sub-package of it
    "trio.testing",  # a sub-package of a loaded package in site-packages
    "prometheus_client.bridge.graphite",  # as above, one deeper
    "chassis.framing",  # a sub-module from the checkout
)


def _use_what_was_never_touched_before() -> None:
    """Do what a service does long after its start: late imports, codecs, data files."""
    for name in LATE_IMPORTS:
        assert name not in sys.modules, f"{name} is loaded already, so it proves nothing"
        import_module(name)
    if CLOSED_PACKAGE is not None:
        assert import_module("closed_toy.late").VALUE == "found"
        assert files("closed_toy").joinpath("data.txt").read_text() == "read"
        assert Path(str(CLOSED_PACKAGE.__file__)).with_name("data.txt").read_text() == "read"
    "turnout.example".encode("idna")
    b"\x80".decode("cp1252")
    assert files("chassis").joinpath("py.typed").is_file()


def _facts() -> dict[str, object]:
    status = dict(
        line.split(":\t", 1) for line in Path("/proc/thread-self/status").read_text().splitlines()
    )
    return {
        "uids": os.getresuid(),
        "gids": os.getresgid(),
        "groups": os.getgroups(),
        "no_new_privs": status["NoNewPrivs"],
        "core_limit": resource.getrlimit(resource.RLIMIT_CORE),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "sigint_ignored": signal.getsignal(signal.SIGINT) is signal.SIG_IGN,
        "session": os.getsid(0) == os.getpid(),
        "environment": sorted(os.environ),
        "stdin": str(Path("/proc/thread-self/fd/0").readlink()),
    }


async def serve(service: Service) -> None:
    """The process itself."""
    _note(service, "started")
    if BEHAVIOR == "fails":
        raise RuntimeError("told to fail")
    if BEHAVIOR == "never-ready":
        await trio.sleep_forever()
    if BEHAVIOR == "facts":
        _use_what_was_never_touched_before()
        await trio.Path(service.secrets["facts"]).write_text(json.dumps(_facts()))
    async with trio.open_nursery() as nursery:
        if "http" in service.listeners:
            listener = trio.SocketListener(
                trio.socket.from_stdlib_socket(service.listeners["http"])
            )
            nursery.start_soon(trio.serve_listeners, _greet, [listener])
        service.ready()
        await service.draining.wait()
        nursery.cancel_scope.cancel()
    _note(service, "draining")
    if BEHAVIOR == "stuck":
        time.sleep(3600)  # noqa: ASYNC251 - the event loop itself hangs
    if BEHAVIOR == "slow":
        await trio.sleep(0.5)
    if BEHAVIOR == "status-4":
        service.exit_code = 4
    _note(service, "ended")


if __name__ == "__main__":
    sys.argv = sys.argv[:1] + sys.argv[2:]
    run_service(int(sys.argv[2]), serve)
