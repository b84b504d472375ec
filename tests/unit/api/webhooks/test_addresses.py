"""Which addresses are sent to: every odd form of one that is not public is refused."""

from __future__ import annotations

import ipaddress
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.webhooks.addresses import refusal_of

PUBLIC = ["1.1.1.1", "93.184.215.14", "8.8.8.8", "2606:4700:4700::1111", "2a00:1450:4001::200e"]
REFUSED = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.1.2.3",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a00:1::",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_sent_to(address: str) -> None:
    """The ordinary case, also written as IPv4 within IPv6."""
    assert refusal_of(address) == ""
    if ":" not in address:
        assert refusal_of(f"::ffff:{address}") == ""


@pytest.mark.parametrize("address", REFUSED)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    """Private, local, reserved, multicast, and what leads to one of these."""
    assert refusal_of(address) == "not_public"


@pytest.mark.parametrize(
    "text", ["127.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "localhost"]
)
def test_other_ways_to_write_an_address_come_resolved(text: str) -> None:
    """They are no addresses here; the resolver makes of them what is refused."""
    assert refusal_of(text) == "not_an_address"
    for *_, found in socket.getaddrinfo(text, 443, type=socket.SOCK_STREAM):
        assert refusal_of(str(found[0])) == "not_public"


@pytest.mark.parametrize(
    ("address", "refusal"),
    [
        ("127.0.0.1", ""),
        ("::1", ""),
        ("::ffff:127.0.0.1", ""),
        ("10.0.0.1", "not_public"),
        ("169.254.169.254", "not_public"),
        ("1.1.1.1", "not_public"),
    ],
)
def test_an_endpoint_on_this_machine_is_on_this_machine(address: str, refusal: str) -> None:
    """What is said to be local goes nowhere else, not even to a public address."""
    assert refusal_of(address, allow_loopback=True) == refusal


@given(st.ip_addresses(v=4))
def test_whatever_is_private_by_the_registry_is_refused(address: ipaddress.IPv4Address) -> None:
    """The registry's word is the least that is asked for."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        assert refusal_of(str(address)) == "not_public"
        assert refusal_of(f"::ffff:{address}") == "not_public"
