"""Which sockets have something to read: one epoll for all connections of a process.

Trio could wait for each socket by itself, and where there are few that is right. Each wait costs a
registration, a system call and a task switch: 8 µs beside an HTTP layer that needs 11 (ADR 0002).
Here the sockets stay registered with one epoll object, which is itself a thing that Trio can wait
for; one task wakes when any of them is readable and calls what was left for each. Calls are
synchronous, and no more than `EVENTS_MAX` are made before Trio gets its turn.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Final, Never

import trio

EVENTS_MAX: Final = 64  # calls in a row: two milliseconds of requests


class Readiness:
    """Calls a function whenever a socket is readable, has ended or failed.

    Level-triggered: a function that does not read is called again. It must not raise.
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._functions: dict[int, Callable[[], None]] = {}

    def watch(self, sock: socket.socket, function: Callable[[], None]) -> None:
        """Begin to call `function` for a socket that is not watched."""
        if self._epoll.closed:
            return
        descriptor = sock.fileno()
        self._epoll.register(descriptor, select.EPOLLIN)
        self._functions[descriptor] = function

    def forget(self, sock: socket.socket) -> None:
        """Call nothing for this socket any more; must come before it is closed. Idempotent."""
        descriptor = sock.fileno()
        if self._functions.pop(descriptor, None) is not None:
            self._epoll.unregister(descriptor)

    async def run(self) -> Never:
        """Call until canceled; from then on nothing is watched."""
        epoll, functions = self._epoll, self._functions
        try:
            while True:
                await trio.lowlevel.wait_readable(epoll.fileno())
                for descriptor, _events in epoll.poll(0, EVENTS_MAX):
                    function = functions.get(descriptor)
                    if function is not None:  # else an earlier call of this round forgot it
                        function()
        finally:
            functions.clear()
            epoll.close()
