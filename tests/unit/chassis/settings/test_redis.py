"""The address of a Redis: what is one, what is none, and that its password is not told."""

from __future__ import annotations

import pytest

from chassis.settings.redis import RedisAddress, RedisAddressError, parse_address


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://127.0.0.1", RedisAddress("tcp", "127.0.0.1")),
        ("redis://[::1]:7000/3", RedisAddress("tcp", "::1", 7_000, database=3)),
        ("redis://:p%40ss@cache", RedisAddress("tcp", "cache", password="p@ss")),
        ("redis://me:secret@cache/", RedisAddress("tcp", "cache", user="me", password="secret")),
        ("unix:///run/redis.sock", RedisAddress("unix", "/run/redis.sock")),
    ],
)
def test_an_address_is_read(url: str, address: RedisAddress) -> None:
    """Host or path, port, database, and who we are."""
    assert parse_address(url) == address


@pytest.mark.parametrize(
    "url",
    ["", "cache:6379", "rediss://cache", "redis://", "redis://cache/x", "redis://cache:99999",
     "unix://", "unix://host/path"],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    """Without a word of it in the error."""
    with pytest.raises(RedisAddressError) as refused:
        parse_address(url)
    assert "cache" not in str(refused.value)


def test_a_password_is_not_shown() -> None:
    """Neither is the user."""
    shown = repr(parse_address("redis://somebody:hunter2@cache"))
    assert "hunter2" not in shown
    assert "somebody" not in shown
