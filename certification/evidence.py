"""What a case saw, in words, and the judgments on it."""

from __future__ import annotations

import attrs


class CaseFailedError(Exception):
    """What was seen is not what must follow."""


@attrs.define(kw_only=True)
class Evidence:
    """What a case has seen so far.

    Attributes:
        evidence: a sentence each, for the report.
    """

    evidence: list[str] = attrs.field(factory=list)

    def saw(self, text: str) -> None:
        """Note something for the report."""
        self.evidence.append(text)

    def check(self, *, that: bool, what: str) -> None:
        """Fail unless it is so."""
        if not that:
            raise CaseFailedError(what)
        self.saw(what)

    def equal(self, what: str, seen: object, expected: object) -> None:
        """Fail unless what was seen is what was expected."""
        if seen != expected:
            raise CaseFailedError(f"{what}: expected {expected!r}, seen {seen!r}")
        self.saw(f"{what}: {seen!r}")
