"""Sockets are bound exclusively, with errors that say how to mend them."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from chassis.supervisor import StartError, bind_tcp, bind_unix
from chassis.supervisor.listeners import SOCKET_PATH_BYTES_MAX

API = {"purpose": "the API", "setting": "api.port"}


def test_port_zero_finds_a_free_port() -> None:
    """The address tells which one it became, and connections arrive there."""
    listener = bind_tcp("127.0.0.1", 0, **API)
    host, _, port = listener.address.partition(":")
    with socket.create_connection((host, int(port))):
        accepted, _ = listener.socket.accept()
        accepted.close()
    listener.close()


def test_a_taken_port_is_named_with_its_remedy() -> None:
    """The second binder fails: the port is never shared."""
    listener = bind_tcp("127.0.0.1", 0, **API)
    port = int(listener.address.rpartition(":")[2])
    with pytest.raises(StartError) as refused:
        bind_tcp("127.0.0.1", port, **API)
    assert str(refused.value) == (
        f"127.0.0.1 port {port}, for the API, is taken; "
        "stop what uses it, or set api.port (0 = any free port)"
    )
    listener.close()


def test_a_taken_port_cannot_be_shared_by_reuseport_either() -> None:
    """A stranger who asks for SO_REUSEPORT gets no part of our connections."""
    listener = bind_tcp("127.0.0.1", 0, **API)
    with socket.socket() as stranger:
        stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        with pytest.raises(OSError, match="Address already in use"):
            stranger.bind(listener.socket.getsockname())
    listener.close()


def test_a_host_that_is_not_ours_is_named() -> None:
    """An address of another machine cannot be bound."""
    with pytest.raises(StartError, match=r"192\.0\.2\.1 port 0, for the API, cannot be bound"):
        bind_tcp("192.0.2.1", 0, **API)


def test_ipv6_addresses_stand_in_brackets() -> None:
    """The address can be pasted into a URL."""
    listener = bind_tcp("::1", 0, **API)
    assert listener.address.startswith("[::1]:")
    listener.close()


def test_a_unix_socket_is_its_owners_alone(tmp_path: Path) -> None:
    """Without an owner given, neither group nor others may connect."""
    listener = bind_unix(tmp_path / "mux")
    assert stat.S_IMODE((tmp_path / "mux").stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(listener.address)
    listener.close()
    assert not (tmp_path / "mux").exists()


def test_an_owned_unix_socket_is_open_to_the_owners_group(tmp_path: Path) -> None:
    """Peers connect because they are in the owner's group."""
    listener = bind_unix(tmp_path / "mux", owner=(os.geteuid(), os.getegid()))
    assert stat.S_IMODE((tmp_path / "mux").stat().st_mode) == 0o660
    listener.close()


def test_a_leftover_socket_file_is_replaced(tmp_path: Path) -> None:
    """A stack that was killed leaves its socket files; the next one takes their place."""
    first = bind_unix(tmp_path / "mux")
    first.socket.close()
    bind_unix(tmp_path / "mux").close()


def test_a_path_that_no_socket_can_have_is_refused(tmp_path: Path) -> None:
    """The limit is checked before the kernel cuts or refuses the name."""
    fits = tmp_path / ("x" * (SOCKET_PATH_BYTES_MAX - len(str(tmp_path)) - 1))
    bind_unix(fits).close()
    with pytest.raises(StartError, match="longer than the 107 bytes"):
        bind_unix(fits.with_name(fits.name + "x"))
