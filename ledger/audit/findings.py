"""What a verification found: always a place, never the data."""

from __future__ import annotations

from typing import Final

import msgspec

FINDINGS_MAX: Final = 100  # one shifted record makes every later one differ; the first tells


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it was signed.

    Attributes:
        kind: of what is wrong: record, hash, segment, checkpoint, witness, row, bundle.
        where: a file and, behind a colon, the byte; or a table and its key.
        detail: what is wrong there.
    """

    kind: str
    where: str
    detail: str

    def __str__(self) -> str:
        return f"{self.where}: {self.detail}"


class Findings:
    """A bounded list of findings; what was found twice is there once.

    Attributes:
        found: the first ones.
        count: of all.
    """

    def __init__(self) -> None:
        self.found: list[Finding] = []
        self.count = 0

    def add(self, kind: str, where: object, detail: str) -> None:
        """Note one; behind the limit it is only counted."""
        finding = Finding(kind, str(where), detail)
        if finding in self.found:
            return
        self.count += 1
        if len(self.found) < FINDINGS_MAX:
            self.found.append(finding)

    def more(self, count: int) -> None:
        """Count some that nobody needs to read, behind so many of their kind."""
        self.count += count
