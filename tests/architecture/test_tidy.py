"""The source itself is under test: sizes, banned calls, left-over markers."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = (
    "api",
    "benchmarks",
    "certification",
    "chaos",
    "chassis",
    "hsm_sim",
    "ledger",
    "network_sim",
    "stack",
    "switch",
)
SOURCES = sorted(
    [path for package in PACKAGES for path in (ROOT / package).rglob("*.py")]
    + [ROOT / "turnout.py"]
    + list((ROOT / "clients" / "python").rglob("*.py"))
)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
LINES_MAX = 400
FUNCTION_LINES_MAX = 70
MARKER = re.compile(r"\b(TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b")
BANNED = {
    "pickle": "card data must never be serializable by accident",
    "asyncio": "everything runs on Trio",
    "random": "use secrets, or a seeded generator passed in",
}
RANDOM_ALLOWED = ("benchmarks", "certification", "chaos", "network_sim", "chassis/backoff.py")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_modules_stay_one_room(path: Path) -> None:
    """No source module grows past the length at which it should be split."""
    assert len(path.read_text().splitlines()) <= LINES_MAX


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_functions_fit_a_screen(path: Path) -> None:
    """No function is longer than seventy lines."""
    long = [
        f"{node.name}: {node.end_lineno - node.lineno + 1}"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > FUNCTION_LINES_MAX
    ]
    assert long == []


@pytest.mark.parametrize("path", SOURCES + TESTS, ids=_name)
def test_no_left_over_markers(path: Path) -> None:
    """Nothing is left for later in a comment."""
    assert MARKER.findall(path.read_text()) == []


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_banned_imports(path: Path) -> None:
    """Modules that the house does without are not imported."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            found.add(node.module.split(".")[0])
    if _name(path).startswith(RANDOM_ALLOWED):
        found.discard("random")
    assert {name: BANNED[name] for name in found & BANNED.keys()} == {}


def test_the_marker_scanner_finds_a_planted_one() -> None:
    """The scanner above is able to fail."""
    assert MARKER.search("# TO" + "DO later")
