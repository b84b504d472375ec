"""Reports of browsers are counted, whatever is in them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from api.checkout.reports import REPORTS_MAX, ReportCounts, ReportError, read_directives

NEW, OLD = b"application/reports+json", b"application/csp-report"


def report(directive: str, **members: Any) -> dict[str, Any]:
    """As the Reporting API sends it."""
    body = {"effectiveDirective": directive, "blockedURL": "inline", "sample": "alert(1)"}
    return {"type": "csp-violation", "age": 1, "url": "https://x", "body": body} | members


def test_both_forms_are_read() -> None:
    """A list of the new one, one object of the old one."""
    body = json.dumps([report("script-src-elem"), report("x", type="deprecation")]).encode()
    assert read_directives(NEW, body) == ["script-src-elem"]
    old = {"csp-report": {"violated-directive": "connect-src", "blocked-uri": "https://evil"}}
    assert read_directives(OLD, json.dumps(old).encode()) == ["connect-src"]


def test_a_flood_in_one_request_is_bounded() -> None:
    """The rest is not counted."""
    body = json.dumps([report("img-src")] * (REPORTS_MAX + 50)).encode()
    assert len(read_directives(NEW, body)) == REPORTS_MAX


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{}", b"7", b'"x"', b"[7]", b'[{"body":7}]', b"\xff", b"[" * 5_000]
)
def test_what_is_no_report_is_refused(body: bytes) -> None:
    """Neither counted nor raised as anything else."""
    with pytest.raises(ReportError):
        read_directives(NEW, body)


def test_directives_are_counted_in_a_closed_set() -> None:
    """What is unknown, or was made up, is `other`."""
    counts = ReportCounts()
    for directive in (
        "script-src-elem",
        "script-src-attr",
        "script-src 'none'",
        "require-trusted-types-for",
        "frame-ancestors",
        "made-up",
        "",
        "__class__",
        "count",
    ):
        counts.count(directive)
    assert counts == ReportCounts(
        script_src_total=3, trusted_types_total=1, frame_ancestors_total=1, other_total=4
    )
