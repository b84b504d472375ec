"""A request counts for the address that it came from, and not for one that its sender makes up."""

from __future__ import annotations

import pytest

from api.limits.addresses import HOPS_MAX, NOBODY, Addresses

TRUSTED = Addresses(["10.0.0.0/8", "127.0.0.1", "2001:db8::/32"])


def packed(*numbers: int) -> bytes:
    """An IPv4 address."""
    return bytes(numbers)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("203.0.113.7", packed(203, 0, 113, 7)),
        ("::ffff:203.0.113.7", packed(203, 0, 113, 7)),
        ("2001:db9:1:2:3:4:5:6", bytes.fromhex("20010db900010002")),
        ("fe80::1%eth0", bytes.fromhex("fe80000000000000")),
        ("127.0.0.1", NOBODY),
        ("127.8.8.8", NOBODY),
        ("::1", NOBODY),
    ],
)
def test_without_a_proxy_the_peer_counts(peer: str, expected: bytes) -> None:
    """Whatever it says of others; IPv6 by network, loopback for nobody."""
    addresses = Addresses([])
    assert addresses.sender(peer, {}) == expected
    assert addresses.sender(peer, {b"x-forwarded-for": b"198.51.100.1"}) == expected


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"203.0.113.7", packed(203, 0, 113, 7)),
        (b"198.51.100.1, 203.0.113.7", packed(203, 0, 113, 7)),
        (b"198.51.100.1,203.0.113.7 , 10.1.1.1", packed(203, 0, 113, 7)),
        (b"2001:db9::7", bytes.fromhex("20010db900000000")),
        (b"127.0.0.1", packed(10, 0, 0, 1)),
        (b"198.51.100.1, unknown", packed(10, 0, 0, 1)),
        (b"", packed(10, 0, 0, 1)),
        (b"\xff", packed(10, 0, 0, 1)),
        (b"1.1.1.1, " + b", ".join([b"10.0.0.2"] * HOPS_MAX), packed(10, 0, 0, 1)),
    ],
)
def test_a_proxy_of_ours_is_believed(header: bytes, expected: bytes) -> None:
    """To the first address that is no proxy of ours, from the end; else the proxy itself counts."""
    assert TRUSTED.sender("10.0.0.1", {b"x-forwarded-for": header}) == expected


def test_a_stranger_is_not_believed() -> None:
    """Who is no proxy of ours counts for itself, whatever it forwards."""
    sender = TRUSTED.sender("203.0.113.7", {b"x-forwarded-for": b"198.51.100.1"})
    assert sender == packed(203, 0, 113, 7)


def test_a_proxy_on_this_machine_can_be_trusted() -> None:
    """Loopback counts for nobody, until it is named and says for whom it speaks."""
    assert TRUSTED.sender("127.0.0.1", {}) == NOBODY
    forwarded = TRUSTED.sender("127.0.0.1", {b"x-forwarded-for": b"203.0.113.7"})
    assert forwarded == packed(203, 0, 113, 7)


def test_a_proxy_must_have_an_address() -> None:
    """A name, or a network with bits too many, is refused."""
    for text in ("proxy.example", "10.0.0.1/8"):
        with pytest.raises(ValueError, match=text.partition("/")[0]):
            Addresses([text])
