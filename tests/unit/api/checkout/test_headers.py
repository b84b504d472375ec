"""The policy of the hosted document is exactly what it is meant to be."""

from __future__ import annotations

from api.checkout.headers import FIXED, SHARED, content_security_policy

ORIGINS = ("https://shop.example", "http://127.0.0.1:8081")


def directives(origins: tuple[str, ...] = ORIGINS) -> dict[str, str]:
    """Each directive with its value."""
    parts = [
        part.partition(" ") for part in content_security_policy("bm9uY2U=", origins).split("; ")
    ]
    assert len({name for name, _, _ in parts}) == len(parts)
    return {name: value for name, _, value in parts}


def test_everything_is_denied_but_what_the_form_needs() -> None:
    """One nonce, its own origin, nothing else."""
    assert directives() == {
        "default-src": "'none'",
        "script-src": "'nonce-bm9uY2U='",
        "style-src": "'nonce-bm9uY2U='",
        "connect-src": "'self'",
        "img-src": "'self' data:",
        "frame-src": "'none'",
        "form-action": "'none'",
        "base-uri": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
        "frame-ancestors": "https://shop.example http://127.0.0.1:8081",
        "report-uri": "/checkout/reports",
        "report-to": "checkout",
    }


def test_without_origins_nobody_may_frame_it() -> None:
    """An empty list would mean the same, but not to every browser."""
    assert directives(())["frame-ancestors"] == "'none'"


def test_no_header_undoes_the_policy() -> None:
    """No X-Frame-Options, which cannot list origins; no permission that is not denied."""
    headers = dict(FIXED)
    assert "X-Frame-Options" not in headers
    assert all(part.endswith("=()") for part in headers["Permissions-Policy"].split(", "))
    assert "autofill" not in headers["Permissions-Policy"]
    assert headers["Referrer-Policy"] == "strict-origin"
    assert "Access-Control-Allow-Origin" not in headers
    assert dict(SHARED)["Access-Control-Allow-Origin"] == "*"
