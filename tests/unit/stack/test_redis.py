"""The doctor's look at a Redis that is played: what is well, and each thing that is not."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chassis.settings.redis import Redis
from stack.redis import RedisUnusableError, look_at_redis

POLICY = b"*2\r\n$16\r\nmaxmemory-policy\r\n$%d\r\n%b\r\n"


@contextmanager
def answering(*answers: bytes) -> Iterator[int]:
    """The port of a server that gives one connection these answers, one a command."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            for answer in answers:
                connection.recv(4_096)
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def look(port: int, who: str = "") -> str:
    """Look at what is on a port."""
    return look_at_redis(Redis(url=f"redis://{who}127.0.0.1:{port}", connect_timeout_s=5.0))


def test_one_that_keeps_its_keys_is_well() -> None:
    """With a password or without."""
    with answering(POLICY % (10, b"noeviction")) as port:
        assert look(port) == "127.0.0.1 answers and keeps its keys"
    with answering(b"+OK\r\n", POLICY % (10, b"noeviction")) as port:
        assert "keeps" in look(port, ":secret@")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (POLICY % (11, b"allkeys-lru"), "may drop keys"),
        (b"*0\r\n", "may drop keys"),
        (b"-NOAUTH Authentication required\r\n", "NOAUTH"),
        (b"SSH-2.0-OpenSSH\r\n", "a number that is none"),
        (b"", "closed the connection"),
    ],
)
def test_what_is_not_well_is_said(answer: bytes, reason: str) -> None:
    """Keys that may be dropped, a password that is missing, another protocol, an end."""
    with answering(answer) as port, pytest.raises(RedisUnusableError, match=reason):
        look(port)


def test_one_that_is_not_there_is_said() -> None:
    """By its place, and never by its password."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RedisUnusableError, match=r"127\.0\.0\.1 cannot be asked") as refused:
        look(port, ":hunter2@")
    assert "hunter2" not in str(refused.value)
    with pytest.raises(RedisUnusableError, match="cannot be asked"):
        look_at_redis(Redis(url="unix:///nonexistent/redis.sock"))
