"""The report of a certification as one page of HTML, without scripts or anything from elsewhere.

Whoever opens it asks first what failed, and why: the verdict stands on top, then each failed case
with what was expected and what was seen, then the table of all, then each case in full. It reads on
a phone, in the dark and on paper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from importlib import resources
from itertools import groupby
from string import Template
from typing import Any, Final

from certification.results import Result

MARKS: Final = {"passed": "passed", "failed": "failed", "not_applicable": "not applicable"}
WRONG: Final = "✗ "  # begins the lines of evidence that say why a case failed
PEER: Final = "peer"  # the profile under which somebody else's acquirer is judged
FAMILIES: Final = {  # by the first letters of an id
    "TL": "TLS",
    "NM": "Network management",
    "AU": "Authorizations",
    "CP": "Captures",
    "RV": "Reversals",
    "IQ": "Inquiries",
    "MT": "Matching",
    "FR": "Framing",
    "ML": "Malformed messages",
    "KX": "Keys",
    "HA": "Availability",
    "RC": "Cutover and totals",
}


def render(results: Sequence[Result], summary: dict[str, Any], *, at: datetime) -> str:
    """The page.

    Args:
        results: in the order of the catalog.
        summary: the document of `turnout certify --json`.
        at: when it was made.
    """
    template = Template(resources.files(__package__).joinpath("report.html").read_text("utf-8"))
    failed = [result for result in results if result.result == "failed"]
    others = [result for result in results if result.result != "failed"]
    return template.substitute(
        result="failed" if failed else "passed",
        verdict=escape(_verdict(results)),
        facts="".join(
            f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
            for name, value in _facts(summary, at)
        ),
        notes="".join(_notes(summary)),
        failures="".join(_failures(failed, summary)),
        overview="".join(_overview(results)),
        cases="".join(map(_case, others)) or '<p class="note">Every case failed: see above.</p>',
    )


def _verdict(results: Sequence[Result]) -> str:
    failed = sum(result.result == "failed" for result in results)
    passed = sum(result.result == "passed" for result in results)
    if failed:
        return f"{failed} of {_count(failed + passed)} failed"
    if passed:
        return f"All {_count(passed)} passed" if passed > 1 else "The case passed"
    return "Nothing was judged"


def _count(cases: int) -> str:
    return f"{cases} case" if cases == 1 else f"{cases} cases"


def _facts(summary: dict[str, Any], at: datetime) -> Iterator[tuple[str, str]]:
    yield "Passed", str(summary["passed"])
    yield "Failed", str(summary["failed"])
    if summary["not_applicable"]:
        yield "Not applicable", str(summary["not_applicable"])
    yield "Made", f"{at:%Y-%m-%d %H:%M} UTC"
    yield "Took", f"{summary['seconds']:g} s"
    yield "Profile", summary["profile"]
    if summary["profile"] != PEER:
        yield "Seed", str(summary["seed"])
        yield "Timers", f"x {summary['timer_factor']:g}"


def _notes(summary: dict[str, Any]) -> Iterator[str]:
    if summary["profile"] == PEER:
        yield (
            '<p class="note">Somebody else\'s acquirer, judged from the wire alone. Cases that '
            "would need its ledger are not applicable.</p>"
        )
        return
    yield (
        '<div class="note"><p>Every timer of the switch\'s networks and of the simulator is '
        f"multiplied by {summary['timer_factor']:g}, in test mode only. Each case ends by checking "
        "the invariants I1 to I9 from what the merchant was told, what the ledger holds and what "
        "the network recorded."
    )
    if summary["absent"]:
        yield " Not checked here:</p><ul>"
        for name, text in summary["absent"].items():
            yield f"<li><b>{escape(name)}</b>: {escape(text)}</li>"
        yield "</ul></div>"
    else:
        yield "</p></div>"


def _failures(failed: Sequence[Result], summary: dict[str, Any]) -> Iterator[str]:
    if not failed:
        return
    yield "<h2>What failed</h2>"
    if summary["profile"] != PEER:
        only = ",".join(result.row.id for result in failed)
        words = f"turnout certify --only {only} --seed {summary['seed']}"
        yield f'<p class="note">To play these again: <code>{escape(words)}</code></p>'
    yield from map(_case, failed)


def _overview(results: Sequence[Result]) -> Iterator[str]:
    """The table: a heading a family, a line a case."""
    for letters, family in groupby(results, key=lambda result: result.row.id[:2]):
        name = FAMILIES.get(letters, letters)
        yield f'<tr><th colspan="4" scope="colgroup">{escape(name)}</th></tr>'
        for result in family:
            row = result.row
            yield (
                f'<tr class="{result.result}"><td><a href="#{row.id}">{row.id}</a></td>'
                f"<td>{escape(row.purpose)}</td><td>{MARKS[result.result]}</td>"
                f"<td>{result.seconds:.1f} s</td></tr>"
            )


def _case(result: Result) -> str:
    row = result.row
    wrong = [text.removeprefix(WRONG) for text in result.evidence if text.startswith(WRONG)]
    seen = [text for text in result.evidence if not text.startswith(WRONG)]
    parts = [("Done", escape(row.stimulus)), ("Expected", escape(row.expected))]
    if wrong:
        parts.append(("Wrong", f'<div class="wrong">{_list(wrong)}</div>'))
    if seen or not wrong:
        parts.append(("Also seen" if wrong else "Seen", _list(seen) or "nothing"))
    mark = f'<span class="mark">{MARKS[result.result]}</span> <small>{result.seconds:.1f} s</small>'
    return (
        f'<section class="case {result.result}" id="{row.id}"><h3><a href="#{row.id}">{row.id}</a>'
        f'<span class="purpose">{escape(row.purpose)}</span>{mark}</h3><dl>'
        + "".join(f"<dt>{name}</dt><dd>{html}</dd>" for name, html in parts)
        + f"</dl>{_wire(result)}</section>"
    )


def _list(texts: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in texts)
    return f"<ul>{items}</ul>" if items else ""


def _wire(result: Result) -> str:
    if not result.wire:
        return '<p class="note">No message crossed the wire.</p>'
    opened = " open" if result.result == "failed" else ""
    lines = "1 line" if len(result.wire) == 1 else f"{len(result.wire)} lines"
    text = "".join(f"<span>{escape(line)}</span>" for line in result.wire)
    return f"<details{opened}><summary>Wire, {lines}</summary><pre>{text}</pre></details>"
