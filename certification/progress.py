"""What a certification says while it runs, on standard error."""

from __future__ import annotations

import sys

from certification.results import Result


def tell(result: Result) -> None:
    """One line of progress, and why a case failed."""
    row = result.row
    say(f"{result.result:14} {row.id:6} {row.purpose} ({result.seconds:.1f} s)")
    for line in result.evidence:
        if line.startswith("✗"):
            say(f"{'':21} {line}")


def say(text: str) -> None:
    """Progress goes to standard error."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201
