"""`turnout certify` as a user runs it, with three cases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from certification.invariants import ABSENT

ROOT = Path(__file__).parents[3]
COMMAND = (sys.executable, "-m", "turnout", "certify")
PATHS = os.pathsep.join((str(ROOT), str(ROOT / "clients" / "python")))


def certify(*options: str) -> subprocess.CompletedProcess[str]:
    """Run it."""
    return subprocess.run(
        [*COMMAND, *options],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": PATHS},
    )


@pytest.mark.slow
def test_cases_are_played_and_told(tmp_path: Path) -> None:
    """What is asked for is played, and the document and the page tell of it."""
    page = tmp_path / "report.html"
    done = certify("--only", "AU01,MT10,AU17", "--seed", "7", "--json", "--html", str(page))
    document = json.loads(done.stdout)
    results = {case["id"]: case["result"] for case in document["cases"]}
    assert results == {"AU01": "passed", "AU17": "passed", "MT10": "passed"}, done.stderr
    assert (document["passed"], document["failed"], document["seed"]) == (3, 0, 7)
    assert document["absent"] == ABSENT
    assert done.returncode == 0
    text = page.read_text()
    assert "the merchant hears: &#x27;succeeded&#x27;" in text
    assert "0210" in text


@pytest.mark.parametrize(
    "options",
    [("--only", "XX99"), ("--peer",), ("--scale", "7"), ("--html", "/nonexistent/report.html")],
    ids=lambda each: each[0],
)
def test_wrong_usage_is_told(options: tuple[str, ...]) -> None:
    """Nothing is started for a command line that makes no sense."""
    done = certify(*options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
