"""What the URL of an endpoint may be."""

from __future__ import annotations

import pytest

from api.webhooks.targets import TargetError, TargetURL, parse_target

PORTS = (443, 8443)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://shop.example", TargetURL(True, "shop.example", 443, "/", False)),
        ("https://SHOP.example./h?a=b", TargetURL(True, "shop.example", 443, "/h?a=b", False)),
        ("https://shop.example:8443/", TargetURL(True, "shop.example", 8443, "/", False)),
        ("https://bücher.example/", TargetURL(True, "xn--bcher-kva.example", 443, "/", False)),
        ("https://a_b.shop.example/", TargetURL(True, "a_b.shop.example", 443, "/", False)),
    ],
)
def test_a_public_name_is_a_target(url: str, expected: TargetURL) -> None:
    """By https, on a port of the list; the name in ASCII."""
    assert parse_target(url, ports=PORTS, allow_loopback=False) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://" + "a" * 2_048,
        "http://shop.example/",
        "ftp://shop.example/",
        "https:shop.example",
        "//shop.example/",
        "https://shop.example:80/",
        "https://shop.example:0/",
        "https://shop.example:99999/",
        "https://user@shop.example/",
        "https://user:password@shop.example/",
        "https://@shop.example/",
        "https://shop.example/#part",
        "https://shop.example/a b",
        "https://shop.example/é",
        "https://shop.example\\@evil.example/",
        "https://shop.example/\r\nX: y",
        "https://shop/",
        "https://localhost/",
        "https://me.localhost/",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://93.184.215.14/",
        "https://[::1]/",
        "https://[2606:4700::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://-shop.example/",
        "https://shop..example/",
        "https://" + "a" * 64 + ".example/",
        "https://" + "a." * 130 + "example/",
        "https://shop.example%00.evil/",
    ],
)
def test_what_is_no_target_is_refused(url: str) -> None:
    """In live mode as in test mode, unless it is this machine."""
    with pytest.raises(TargetError):
        parse_target(url, ports=PORTS, allow_loopback=False)


@pytest.mark.parametrize(
    ("url", "authority"),
    [
        ("http://127.0.0.1:4242/hooks", "127.0.0.1:4242"),
        ("http://localhost/", "localhost"),
        ("https://localhost:8443/", "localhost:8443"),
        ("http://[::1]:9/", "[::1]:9"),
    ],
)
def test_this_machine_is_a_target_where_that_is_allowed(url: str, authority: str) -> None:
    """On any port and without TLS; nowhere else."""
    found = parse_target(url, ports=PORTS, allow_loopback=True)
    assert (found.is_local, found.authority) == (True, authority)
    with pytest.raises(TargetError):
        parse_target(url, ports=PORTS, allow_loopback=False)


@pytest.mark.parametrize("url", ["http://10.0.0.1/", "https://127.1/", "http://me.localhost/"])
def test_what_only_looks_like_this_machine_is_refused(url: str) -> None:
    """Where loopback is allowed, nothing else is."""
    with pytest.raises(TargetError):
        parse_target(url, ports=PORTS, allow_loopback=True)
