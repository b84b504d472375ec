"""The headers of the hosted document and of its scripts (security.md 2.2).

Theory of operation. The document is the one page in which a card number is typed, so it may load
one script and one style, both by a nonce that is drawn for each answer, the script also by its
hash; speak to its own origin only; turn no text into code or markup (trusted types without a
policy); send no form; frame nothing; and be framed by nobody but the origins that its merchant has
registered. Where the merchant is unknown or has none, that is nobody at all. There is no
X-Frame-Options: it cannot list origins, and browsers that know frame-ancestors ignore it.

The scripts are for other origins too, so they are readable by all (CORS): without that, browsers
refuse to compare a hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

REPORTS_PATH: Final = "/checkout/reports"
_REPORTS: Final = "checkout"  # the endpoint's name between two headers
# Everything that a page can ask a browser for, but autofill, which the form is made for.
_DENIED: Final = (
    "accelerometer",
    "autoplay",
    "camera",
    "clipboard-read",
    "clipboard-write",
    "display-capture",
    "encrypted-media",
    "fullscreen",
    "geolocation",
    "gyroscope",
    "hid",
    "identity-credentials-get",
    "idle-detection",
    "local-fonts",
    "magnetometer",
    "microphone",
    "midi",
    "payment",
    "picture-in-picture",
    "publickey-credentials-create",
    "publickey-credentials-get",
    "screen-wake-lock",
    "serial",
    "storage-access",
    "sync-xhr",
    "usb",
    "window-management",
    "xr-spatial-tracking",
)
HSTS: Final = ("Strict-Transport-Security", "max-age=63072000; includeSubDomains; preload")
FIXED: Final = (
    ("Reporting-Endpoints", f'{_REPORTS}="{REPORTS_PATH}"'),
    ("Referrer-Policy", "strict-origin"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("Permissions-Policy", ", ".join(f"{name}=()" for name in _DENIED)),
)
SHARED: Final = (
    ("Access-Control-Allow-Origin", "*"),
    ("Cross-Origin-Resource-Policy", "cross-origin"),
    ("Referrer-Policy", "no-referrer"),
)


def content_security_policy(nonce: str, origins: Sequence[str]) -> str:
    """The policy of one document.

    Args:
        nonce: base64, drawn for this answer.
        origins: who may frame it, as `api.checkout.origins` lets them pass.
    """
    ancestors = " ".join(origins) or "'none'"
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'nonce-{nonce}'",
            "connect-src 'self'",
            "img-src 'self' data:",
            "frame-src 'none'",
            "form-action 'none'",
            "base-uri 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
            f"frame-ancestors {ancestors}",
            f"report-uri {REPORTS_PATH}",
            f"report-to {_REPORTS}",
        )
    )
