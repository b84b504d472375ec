"""One epoll for many sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import trio
import trio.lowlevel

from api.http.readiness import EVENTS_MAX, Readiness


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    """A few connected sockets."""
    made = [socket.socketpair() for _ in range(3)]
    for pair in made:
        for end in pair:
            end.setblocking(False)
    yield made
    for pair in made:
        for end in pair:
            end.close()


async def settle() -> None:
    """Let sockets and tasks come to rest."""
    for _ in range(5):
        await trio.testing.wait_all_tasks_blocked()
        await trio.lowlevel.checkpoint()


async def test_only_what_is_readable_is_called(
    pairs: list[tuple[socket.socket, socket.socket]], nursery: trio.Nursery
) -> None:
    """Each socket has its own function; the quiet ones are left alone."""
    readiness = Readiness()
    heard: dict[int, bytes] = {}
    for number, (near, _) in enumerate(pairs):
        readiness.watch(near, lambda number=number, near=near: heard.update({number: near.recv(9)}))
    nursery.start_soon(readiness.run)
    pairs[0][1].send(b"zero")
    pairs[2][1].send(b"two")
    await settle()
    assert heard == {0: b"zero", 2: b"two"}
    nursery.cancel_scope.cancel()


async def test_what_is_forgotten_is_not_called(
    pairs: list[tuple[socket.socket, socket.socket]], nursery: trio.Nursery
) -> None:
    """Also when it was ready in the same round as the one that forgets it; and it can come back."""
    readiness = Readiness()
    (first, _), (second, _), _ = pairs
    calls: list[str] = []

    def forget_both(name: str) -> None:
        calls.append(name)
        readiness.forget(first)
        readiness.forget(second)

    readiness.watch(first, lambda: forget_both("first"))
    readiness.watch(second, lambda: forget_both("second"))
    for _, far in pairs[:2]:
        far.send(b"x")
    nursery.start_soon(readiness.run)
    await settle()
    assert len(calls) == 1
    readiness.forget(first)
    readiness.watch(first, lambda: forget_both("again"))
    await settle()
    assert calls[1:] == ["again"]
    nursery.cancel_scope.cancel()


async def test_an_end_is_readable(
    pairs: list[tuple[socket.socket, socket.socket]], nursery: trio.Nursery
) -> None:
    """A peer that closes is heard as such."""
    readiness = Readiness()
    near, far = pairs[0]
    heard: list[bytes] = []

    def read() -> None:
        heard.append(near.recv(9))
        readiness.forget(near)

    readiness.watch(near, read)
    nursery.start_soon(readiness.run)
    far.close()
    await settle()
    assert heard == [b""]
    nursery.cancel_scope.cancel()


async def test_busy_sockets_leave_others_their_turn(
    pairs: list[tuple[socket.socket, socket.socket]], nursery: trio.Nursery
) -> None:
    """A socket that is never read is called again and again, and Trio's tasks run in between."""
    readiness = Readiness()
    near, far = pairs[0]
    calls = 0

    def ignore() -> None:
        nonlocal calls
        calls += 1

    readiness.watch(near, ignore)
    far.send(b"x")
    nursery.start_soon(readiness.run)
    for _ in range(10):
        await trio.lowlevel.checkpoint()
    assert 1 <= calls <= 10 * EVENTS_MAX
    nursery.cancel_scope.cancel()
