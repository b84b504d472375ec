"""What became of the cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs

from certification.catalog import Row

Outcome = Literal["passed", "failed", "not_applicable"]
Tell = Callable[["Result"], None]


@attrs.frozen(kw_only=True)
class Result:
    """What became of one case."""

    row: Row
    result: Outcome
    seconds: float
    evidence: Sequence[str]
    wire: Sequence[str] = ()
    never_ran: bool = False

    def document(self) -> dict[str, Any]:
        """As `turnout certify --json` has it."""
        return {
            "id": self.row.id,
            "result": self.result,
            "seconds": round(self.seconds, 3),
            "evidence": list(self.evidence),
        }


def failed(row: Row, reason: str) -> Result:
    """The result of a case that was not played to its end."""
    return Result(row=row, result="failed", seconds=0.0, evidence=[f"✗ {reason}"], never_ran=True)


def merged(parts: Sequence[Result]) -> Result:
    """The result of a case of all its plays."""
    if len(parts) == 1:
        return parts[0]
    bad = [part for part in parts if part.result == "failed"]
    return Result(
        row=parts[0].row,
        result="failed" if bad else "passed",
        seconds=max(part.seconds for part in parts),
        evidence=[
            line for part in [*bad, *(p for p in parts if p not in bad)] for line in part.evidence
        ],
        wire=[line for part in parts for line in part.wire],
        never_ran=all(part.never_ran for part in parts),
    )
