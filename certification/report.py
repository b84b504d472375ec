"""What a certification says in the end: the JSON document, and the page for people."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib import resources
from string import Template
from typing import Any, Final

from certification.invariants import ABSENT
from certification.runner import Result

_MARKS: Final = {"passed": "passed", "failed": "failed", "not_applicable": "not applicable"}


def document(
    results: Sequence[Result], *, profile: str, seed: int, factor: float, seconds: float
) -> dict[str, Any]:
    """The document of contract 1, with what the profile did and what could not be checked."""
    counts = {name: sum(each.result == name for each in results) for name in _MARKS}
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


def page(results: Sequence[Result], summary: dict[str, Any]) -> str:
    """The report as one page of HTML without scripts or anything from elsewhere."""
    template = Template(resources.files(__package__).joinpath("report.html").read_text("utf-8"))
    return template.substitute(
        profile=escape(str(summary["profile"])),
        seed=summary["seed"],
        factor=f"{summary['timer_factor']:g}",
        seconds=f"{summary['seconds']:g}",
        passed=summary["passed"],
        failed=summary["failed"],
        not_applicable=summary["not_applicable"],
        absent="".join(
            f"<li><b>{escape(name)}</b> {escape(text)}</li>" for name, text in ABSENT.items()
        ),
        overview="".join(map(_overview_line, results)),
        cases="".join(map(_section, results)),
    )


def _overview_line(result: Result) -> str:
    row = result.row
    return (
        f'<tr class="{result.result}"><td><a href="#{row.id}">{row.id}</a>'
        f"<td>{escape(row.purpose)}<td>{_MARKS[result.result]}<td>{result.seconds:.1f} s"
    )


def _section(result: Result) -> str:
    row = result.row
    seen = "".join(f"<li>{escape(text)}</li>" for text in result.evidence)
    wire = escape("\n".join(result.wire)) or "nothing"
    opened = " open" if result.result == "failed" else ""
    return (
        f'<section id="{row.id}" class="{result.result}">'
        f"<h2>{row.id} <small>{escape(row.purpose)}</small>"
        f"<span>{_MARKS[result.result]}</span></h2>"
        f"<dl><dt>Done<dd>{escape(row.stimulus)}<dt>Expected<dd>{escape(row.expected)}"
        f"<dt>Seen<dd><ul>{seen}</ul></dl>"
        f"<details{opened}><summary>Wire, card data masked</summary><pre>{wire}</pre></details>"
        "</section>"
    )
