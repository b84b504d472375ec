"""The table of mutants fits the source as it is."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from certification.catalog import load_table
from certification.mutants import ROOT, Mutant, MutantError, load_mutants
from certification.registry import scripts

MUTANTS = load_mutants()


def test_there_are_enough_mutants() -> None:
    """At least thirty, no two alike, each with a case that exists."""
    assert len(MUTANTS) >= 30
    assert len({(each.file, each.new, each.case) for each in MUTANTS}) == len(MUTANTS)
    assert {each.case for each in MUTANTS} <= {row.id for row in load_table()}
    assert {each.case for each in MUTANTS} <= scripts().keys()


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda each: each.what)
def test_a_mutant_can_be_made(mutant: Mutant, tmp_path: Path) -> None:
    """What it replaces stands in the source once, and what comes of it is a program."""
    target = tmp_path / mutant.file
    target.parent.mkdir(parents=True)
    target.write_text((ROOT / mutant.file).read_text())
    mutant.apply(tmp_path)
    assert target.read_text() != (ROOT / mutant.file).read_text()
    if target.suffix == ".py":
        ast.parse(target.read_text())


def test_a_line_that_is_gone_is_told_of(tmp_path: Path) -> None:
    """A mutant that fits nothing is an error, not one that was caught."""
    (tmp_path / "file.py").write_text("nothing of the kind\n")
    mutant = Mutant("a fault", "file.py", "some line", "another", "AU01")
    with pytest.raises(MutantError, match="found 0 times"):
        mutant.apply(tmp_path)
