"""The page for people."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Final

import pytest

from certification import page, report
from certification.catalog import Row, load_table
from certification.results import Result, failed

AT: Final = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ROW: Final = Row("RV01", "Reversal <after> silence", "No 0110", "0420")
GOOD: Final = Result(
    row=ROW, result="passed", seconds=1.25, evidence=["seen & noted: '$5'"], wire=["→ #1 0200"]
)
BAD: Final = Result(
    row=Row("TL01", "Mutual TLS", "A sale", "TLS 1.3"),
    result="failed",
    seconds=0.5,
    evidence=["✗ DE 39: expected '00', seen '<05>'", "the merchant hears: 'failed'"],
    wire=["← #1 0210"],
)
VOID: Final = ("area", "br", "col", "hr", "img", "input", "link", "meta")


def _page(*results: Result, profile: str = "certification") -> str:
    summary = report.document(results, profile=profile, seed=7, factor=0.2, seconds=3.0)
    return page.render(results, summary, at=AT)


class _Elements(HTMLParser):
    """Whether each element is closed where it must be, and what it may load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Note an element."""
        names = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.loads += [tag] if tag in ("script", "img", "link", "iframe") or "src" in names else []
        self.ids += [names["id"] or ""] if "id" in names else []
        self.links += [names["href"] or ""] if "href" in names else []

    def handle_endtag(self, tag: str) -> None:
        """Close the innermost element, which must be this one."""
        assert self.open.pop() == tag


def test_the_page_is_escaped_and_whole() -> None:
    """Nothing of a case is taken for markup, nothing comes from elsewhere, every link leads on."""
    text = _page(GOOD, BAD)
    assert "Reversal &lt;after&gt; silence" in text
    assert "seen &amp; noted: &#x27;$5&#x27;" in text
    assert "&lt;05&gt;" in text
    elements = _Elements(text)
    assert (elements.open, elements.loads) == ([], [])
    assert len(elements.ids) == len(set(elements.ids))
    assert {link.removeprefix("#") for link in elements.links} <= set(elements.ids)
    assert {"RV01", "TL01"} <= set(elements.ids)


def test_what_failed_comes_first_with_what_was_expected() -> None:
    """Before the table of all cases, its wire open, with the command that plays it again."""
    text = _page(GOOD, BAD)
    assert "1 of 2 cases failed" in text
    failures = text[text.index("What failed") : text.index("All cases")]
    assert "DE 39: expected &#x27;00&#x27;, seen &#x27;&lt;05&gt;&#x27;" in failures
    assert "✗" not in failures
    assert "<details open>" in failures
    assert "turnout certify --only TL01 --seed 7" in failures
    assert "RV01" not in failures
    assert "<details open>" not in text[text.index("All cases") :]


@pytest.mark.parametrize(
    ("results", "profile", "verdict"),
    [
        ((GOOD, GOOD), "certification", "All 2 cases passed"),
        ((GOOD,), "certification", "The case passed"),
        ((BAD,), "certification", "1 of 1 case failed"),
        ((failed(ROW, "not applicable"),), "peer", "1 of 1 case failed"),
        (
            (Result(row=ROW, result="not_applicable", seconds=0, evidence=["needs your ledger"]),),
            "peer",
            "Nothing was judged",
        ),
    ],
)
def test_the_verdict_stands_on_top(results: tuple[Result, ...], profile: str, verdict: str) -> None:
    """Counted without the cases that could not be judged; the tab's title says it as well."""
    text = _page(*results, profile=profile)
    assert f"</small>{verdict}</h1>" in text
    assert f"<title>{verdict}" in text
    assert ("What failed" in text) is ("failed" in verdict)


def test_a_case_without_messages_says_so() -> None:
    """Instead of an empty box."""
    text = _page(failed(ROW, "it did not run"))
    assert "No message crossed the wire." in text
    assert "<pre" not in text
    assert "Every case failed" in text


def test_an_acquirer_is_promised_no_invariants() -> None:
    """They need the ledger; nor were its timers multiplied, nor is there a seed to replay."""
    text = _page(GOOD, BAD, profile="peer")
    assert "judged from the wire alone" in text
    assert not re.search(r"I1 to I8|multiplied|--seed", text)


def test_every_family_of_the_catalog_has_a_heading() -> None:
    """Letters alone say nothing to who reads the table for the first time."""
    assert {row.id[:2] for row in load_table()} == set(page.FAMILIES)
