"""The table of cases."""

from __future__ import annotations

import json
import re

import pytest
from click.testing import CliRunner

from certification.catalog import UnknownCaseError, load_table, select
from certification.commands import certify

CHAPTERS = {
    "TL": 8, "NM": 11, "AU": 21, "CP": 6, "RV": 13, "IQ": 8, "MT": 11, "FR": 8, "ML": 8, "KX": 5,
    "HA": 3, "RC": 2,
}  # fmt: skip


def test_the_table_is_whole() -> None:
    """Every id of the catalog is listed once, with what is done and what must follow."""
    rows = load_table()
    ids = [row.id for row in rows]
    assert len(ids) == len(set(ids)) == 104
    assert {
        chapter: sum(each.startswith(chapter) for each in ids) for chapter in CHAPTERS
    } == CHAPTERS
    assert all(re.fullmatch(r"[A-Z]{2}\d\d[ab]?", each) for each in ids)
    assert all(row.purpose and row.stimulus and row.expected for row in rows)


def test_patterns_select() -> None:
    """Patterns are those of file names; the order is the table's."""
    rows = load_table()
    assert [row.id for row in select(rows, ["RV03?", "TL01"])] == ["TL01", "RV03a", "RV03b"]
    assert select(rows, []) == list(rows)


def test_a_pattern_that_fits_nothing_is_refused() -> None:
    """A misspelled id must not look like a certification that passed."""
    with pytest.raises(UnknownCaseError, match="XX99"):
        select(load_table(), ["TL*", "XX99"])


def test_the_list_is_for_people_and_for_programs() -> None:
    """The same cases, in the same order."""
    plain = CliRunner().invoke(certify, ["--list", "--only", "TL0[12]"])
    document = CliRunner().invoke(certify, ["--list", "--only", "TL0[12]", "--json"])
    cases = json.loads(document.stdout)["cases"]
    assert [case["id"] for case in cases] == ["TL01", "TL02"]
    assert plain.stdout.splitlines() == [f"{case['id']:6} {case['purpose']}" for case in cases]
