"""What browsers report of the policy: counted by what was refused, and never kept.

A report quotes addresses and samples of code, sent by anybody. So none of it is logged: the count
says that something tries, the browser's own console says what. Reports come as the Reporting API
sends them (a list) or in the older form of `report-uri` (one object).
"""

from __future__ import annotations

from typing import Final

import msgspec
from attrs import define

REPORT_BYTES_MAX: Final = 16_384  # some dozens of reports; browsers send a few at a time
REPORTS_MAX: Final = 100  # counted of one request
TYPES: Final = frozenset({b"application/reports+json", b"application/csp-report"})


class _Body(msgspec.Struct):
    effective_directive: str = msgspec.field(name="effectiveDirective", default="")


class _Report(msgspec.Struct):
    type: str = ""
    body: _Body | None = None


class _OldBody(msgspec.Struct):
    effective_directive: str = msgspec.field(name="effective-directive", default="")
    violated_directive: str = msgspec.field(name="violated-directive", default="")


class _OldReport(msgspec.Struct):
    report: _OldBody = msgspec.field(name="csp-report")


_decode = msgspec.json.Decoder(list[_Report]).decode
_decode_old = msgspec.json.Decoder(_OldReport).decode


class ReportError(ValueError):
    """The body is no report."""


@define
class ReportCounts:
    """Refusals that browsers have told of, by the directive that refused."""

    script_src_total: int = 0
    style_src_total: int = 0
    connect_src_total: int = 0
    img_src_total: int = 0
    frame_src_total: int = 0
    form_action_total: int = 0
    base_uri_total: int = 0
    trusted_types_total: int = 0
    frame_ancestors_total: int = 0
    other_total: int = 0

    def count(self, directive: str) -> None:
        """Count one; `script-src-elem` is a script-src, and what is not known is `other`."""
        name = directive.split(" ", maxsplit=1)[0].removesuffix("-elem").removesuffix("-attr")
        if name in {"require-trusted-types-for", "trusted-types"}:
            name = "trusted-types"
        attribute = f"{name.replace('-', '_')}_total"
        if attribute not in _KNOWN:
            attribute = "other_total"
        setattr(self, attribute, getattr(self, attribute) + 1)


_KNOWN: Final = frozenset(attribute.name for attribute in ReportCounts.__attrs_attrs__)


def read_directives(content_type: bytes, body: bytes) -> list[str]:
    """The directives that refused something, one for each report; never more than `REPORTS_MAX`.

    Raises:
        ReportError: the body is not of its type.
    """
    try:
        if content_type == b"application/csp-report":
            old = _decode_old(body).report
            return [old.effective_directive or old.violated_directive]
        reports = _decode(body)[:REPORTS_MAX]
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReportError("no report") from error
    return [
        report.body.effective_directive
        for report in reports
        if report.type == "csp-violation" and report.body is not None
    ]
