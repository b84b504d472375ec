"""What a certification says in the end, as a JSON document; `page` has it for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from certification.invariants import ABSENT
from certification.page import MARKS
from certification.results import Result


def document(
    results: Sequence[Result], *, profile: str, seed: int, factor: float, seconds: float
) -> dict[str, Any]:
    """The document of contract 1, with what the profile did and what could not be checked."""
    counts = {name: sum(each.result == name for each in results) for name in MARKS}
    return {
        "profile": profile,
        "seed": seed,
        "timer_factor": factor,
        "seconds": round(seconds, 1),
        "cases": [result.document() for result in results],
        "passed": counts["passed"],
        "failed": counts["failed"],
        "not_applicable": counts["not_applicable"],
        "absent": dict(ABSENT),
    }
