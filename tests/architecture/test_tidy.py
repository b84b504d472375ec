"""The source itself is under test: sizes, banned calls, left-over markers."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
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

# A vocabulary is whole, whichever of its words are used; an inverse is what tests read back with.
VOCABULARIES = ("switch/iso8583/mti.py",)
INVERSES = {"unpack_entries", "uuid7_time_us"}
WORD = re.compile(r"\w+")


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


def _top_level_names(text: str) -> Iterator[str]:
    """What a module defines for others; what is decorated is registered somewhere."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            if not node.decorator_list:
                yield node.name
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))


def _unused(texts: dict[str, str], described: str = "") -> dict[str, str]:
    """Names that stand nowhere but where they are defined, by name, with their files."""
    words = Counter(word for text in (*texts.values(), described) for word in WORD.findall(text))
    return {
        name: path
        for path, text in texts.items()
        for name in _top_level_names(text)
        if words[name] == 1
    }


def test_nothing_is_there_for_its_tests_alone() -> None:
    """What a module defines is used by the product, or the documents tell people of it."""
    texts = {_name(path): path.read_text() for path in SOURCES}
    described = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    unused = _unused(texts, described)
    assert {
        name: path
        for name, path in unused.items()
        if path not in VOCABULARIES and not path.startswith("clients/") and name not in INVERSES
    } == {}
    assert unused.keys() >= INVERSES


def _settings_of(text: str) -> set[str]:
    """The keys of the sections that a module of the settings defines."""
    return {
        field.target.id
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef) and "Section" in map(ast.unparse, node.bases)
        for field in node.body
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
    }


def test_every_setting_is_read_by_somebody() -> None:
    """A key that nothing outside the settings reads would promise what nobody does."""
    inside = [path for path in SOURCES if _name(path).startswith("chassis/settings/")]
    keys = set().union(*(_settings_of(path.read_text()) for path in inside))
    read = {
        word for path in SOURCES if path not in inside for word in WORD.findall(path.read_text())
    }
    assert len(keys) > 100
    assert keys - read == set()
    assert _settings_of("class Toy(Section, frozen=True):\n    key: int = 1") == {"key"}


def test_an_unused_name_is_found() -> None:
    """The search above is able to fail: a function that only its own module's text has."""
    texts = {"a.py": "def used(): ...\nLONELY: int = 1\n", "b.py": "from a import used"}
    assert _unused(texts) == {"LONELY": "a.py"}
    assert _unused(texts, "`LONELY` is for people.") == {}


def test_the_marker_scanner_finds_a_planted_one() -> None:
    """The scanner above is able to fail."""
    assert MARKER.search("# TO" + "DO later")
