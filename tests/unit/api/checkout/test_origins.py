"""Origins: one form each, and nothing that could end a header's value or widen it."""

from __future__ import annotations

import pytest

from api.checkout.origins import (
    ORIGINS_MAX,
    OriginError,
    parse_origin,
    parse_origins,
    usable_origins,
)


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://shop.example:8443",
        "https://xn--bcher-kva.example",
        "https://192.0.2.7",
        "https://a",
        "http://127.0.0.1:8081",
        "http://localhost:3000",
    ],
)
def test_an_origin_as_browsers_send_it_is_one(origin: str) -> None:
    """Names, addresses, ports; in test mode also this machine without TLS."""
    assert parse_origin(origin, live=False) == origin


@pytest.mark.parametrize(
    "text",
    [
        "",
        "*",
        "https://*",
        "https://*.shop.example",
        "https:",
        "'self'",
        "null",
        "https://shop.example/",
        "https://shop.example/path",
        "https://shop.example?x",
        "https://shop.example#x",
        "https://user@shop.example",
        "https://Shop.example",
        "HTTPS://shop.example",
        "https://shop.example:443",
        "http://127.0.0.1:80",
        "https://shop.example:0",
        "https://shop.example:65536",
        "https://shop.example:08443",
        "https://shop..example",
        "https://-shop.example",
        "https://shop.example.",
        "https://b\u00fccher.example",
        "https://\u217d.example",
        "https://1.2.3",
        "https://127.1",
        "https://300.1.1.1",
        "https://[::1]",
        "https://shop.example; script-src *",
        "https://shop.example,https://evil.example",
        "https://shop.example https://evil.example",
        "https://shop.example\r\nX-Evil: 1",
        "https://shop.example\n",
        "ftp://shop.example",
        "javascript://shop.example",
        "http://shop.example",
        "http://127.0.0.2:8081",
        "https://" + "a." * 130 + "example",
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    """Above all what would mean more than one page's origin inside a header."""
    with pytest.raises(OriginError) as caught:
        parse_origin(text, live=False)
    assert "evil" not in str(caught.value)


def test_live_mode_wants_tls_everywhere() -> None:
    """Also of this machine."""
    assert parse_origin("https://localhost", live=True)
    with pytest.raises(OriginError):
        parse_origin("http://127.0.0.1:8081", live=True)


def test_a_list_is_checked_whole_and_bounded() -> None:
    """Repeated ones count once."""
    many = [f"https://shop{number}.example" for number in range(ORIGINS_MAX)]
    assert parse_origins([*many, many[0]], live=True) == tuple(many)
    with pytest.raises(OriginError):
        parse_origins([*many, "https://one.too.many.example"], live=True)
    with pytest.raises(OriginError):
        parse_origins([*many[:2], "https://*"], live=True)


def test_what_the_ledger_holds_is_not_believed() -> None:
    """Only what would be accepted anew stands in a header."""
    stored = ["https://a.example", "https://b.example; x", "http://127.0.0.1:8081", "*"]
    assert usable_origins(stored, live=True) == ("https://a.example",)
    assert usable_origins(stored, live=False) == ("https://a.example", "http://127.0.0.1:8081")
