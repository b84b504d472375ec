"""The catalog of decline codes, and the page made of it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from api.declines import DECLINES, markdown
from api.pages import decline_page
from switch.core.operations.charges import PARTIAL_NOT_ACCEPTED, USE_OTHER_CARD
from switch.core.operations.reversals import NOT_CONFIRMED, RETRY_LATER
from switch.core.response_codes import NOT_SENT

ROOT = Path(__file__).parents[3]


def test_the_catalog_has_what_the_switch_says_and_nothing_else() -> None:
    """Every code that a network's answer becomes, or its silence, with the same advice."""
    table = ROOT / "switch" / "core" / "response_codes.toml"
    rows = tomllib.loads(table.read_text(encoding="utf-8"))
    declines = [row for row in (rows["default"], *rows["codes"].values()) if "decline" in row]
    said = {(row["decline"], row["advice"]) for row in declines}
    said.add((NOT_SENT.decline, NOT_SENT.advice))
    said |= {(NOT_CONFIRMED, RETRY_LATER), (PARTIAL_NOT_ACCEPTED, USE_OTHER_CARD)}
    assert {(code, definition.advice) for code, definition in DECLINES.items()} == said


@pytest.mark.parametrize("code", DECLINES)
def test_every_code_is_explained(code: str) -> None:
    """In sentences, and on a page of its own."""
    definition = DECLINES[code]
    for text in (definition.meaning, definition.action):
        assert text[0].isupper()
        assert text.endswith(".")
    page = decline_page(code, definition)
    assert f"<code>{code}</code>" in page
    assert f"<code>{definition.advice}</code>" in page


def test_the_page_in_the_documents_is_the_catalog() -> None:
    """`python -m api.declines > docs/declines/README.md` was run after the last change."""
    page = (ROOT / "docs" / "declines" / "README.md").read_text(encoding="utf-8")
    assert page == markdown()
    assert page.count("\n### ") == len(DECLINES)
