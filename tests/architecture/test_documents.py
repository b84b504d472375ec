"""What the pages name is there, and what is there is named on a page."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from tests.support.metrics_page import metrics_on_page, row_of
from tests.support.settings_page import setting_defaults, settings_page
from turnout import COMMANDS, main

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What is decided or measured is of its day: records and evidence are not held to the present.
PAGES = [*sorted(DOCS.glob("*.md")), ROOT / "README.md"]
CODE = re.compile(r"`([^`\n]+)`")
# `networks.NAME.script`, `<name>`, `vsim`: all of them say that it is one network's.
ONE_NETWORK = re.compile(r"^networks\.(?:<\w+>|[A-Z]+|vsim|msim)\.")
SETTING = re.compile(r"([a-z]+(?:\.(?:<\w+>|[A-Z]+|[a-z_0-9]+))+)(?: = .*)?")
# Files, modules and networks, whose names begin as a setting's does.
NO_SETTING = re.compile(
    r".*\.(?:log|lock|key|pem|pub)$|ledger\.stream\..*|stream\.records|networks\.\w+$"
)
TOLD = re.compile(r"`([a-z]+(?:\.[A-Za-z<>_0-9]+)+)` \((\d[\d,.]*)(?: (MiB|KiB|days))?")
UNITS = {"KiB": 1_024, "MiB": 1_048_576, "days": 86_400}
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")
METRIC = re.compile(r"turnout_[a-z]+_[a-z0-9_]+_(?:total|ratio|seconds|bytes)\b")
OTHER_PROGRAMS = ("curl", "openssl", "keytool", "pip", "--header", "--data-raw", "--help")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} (.*)$", re.MULTILINE)
LINE_TABLE = re.compile(r"^\| line \|.*\n\|[-|]+\n((?:\|.*\n)+)", re.MULTILINE)
SOURCES = ("api", "chassis", "hsm_sim", "ledger", "network_sim", "stack", "switch")
MEASURES = ("benchmarks", "certification", "chaos")


def _plain(text: str) -> str:
    """A page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)


def _quoted(text: str) -> Iterator[str]:
    """What stands between backticks, outside of fenced blocks."""
    yield from CODE.findall(_plain(text))


def _settings_in(text: str) -> set[str]:
    """What a page calls settings, in the form in which the tree has them."""
    sections = {name.partition(".")[0] for name in setting_defaults()}
    found = set()
    for quoted in _quoted(text):
        named = SETTING.fullmatch(quoted)
        if named and named[1].partition(".")[0] in sections and not NO_SETTING.match(named[1]):
            found.add(ONE_NETWORK.sub("networks.<name>.", named[1]))
    return found


def test_the_page_of_settings_is_what_can_be_set() -> None:
    """Each with its default and its reason."""
    page = (DOCS / "settings.md").read_text()
    assert page == settings_page(), "the settings have changed: `make settings-page`"
    assert _settings_in(settings_page()) | {"mode", "data_dir"} == setting_defaults().keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_setting_that_a_page_names_can_be_set(page: Path) -> None:
    """A page does not outlive the setting that it speaks of."""
    assert _settings_in(page.read_text()) - setting_defaults().keys() == set()


def test_a_setting_that_is_none_is_found() -> None:
    """The search above is able to fail."""
    text = "`hsm.workersx` (2), `networks.acme.bins`, `networks.NAME.bins`, `hsm.workers = 2`"
    assert _settings_in(text) - setting_defaults().keys() == {"hsm.workersx", "networks.acme.bins"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_default_that_a_page_tells_is_the_default(page: Path) -> None:
    """As in `hsm.macs_max` (512): behind the name, in parentheses."""
    defaults = setting_defaults()
    wrong = {name: told for name, told in _told(page.read_text()) if defaults[name] != told}
    assert wrong == {}


def _told(text: str) -> Iterator[tuple[str, float]]:
    """The settings of a page whose defaults stand beside them, with these."""
    known = setting_defaults()
    for name, number, unit in TOLD.findall(text):
        setting = ONE_NETWORK.sub("networks.<name>.", name)
        if setting in known:
            yield setting, float(number.replace(",", "")) * UNITS.get(unit, 1)


def test_a_default_can_be_told_wrongly() -> None:
    """The search above is able to fail, and knows units."""
    said = "`hsm.macs_max` (512), `ledger.free_bytes_min` (256 MiB), `switch.lease_ttl_s` (11)"
    assert dict(_told(said)) == {
        "hsm.macs_max": 512,
        "ledger.free_bytes_min": setting_defaults()["ledger.free_bytes_min"],
        "switch.lease_ttl_s": 11,
    }


def _commands(command: click.Command, *words: str) -> Iterator[tuple[str, click.Command]]:
    """Every command that can be typed, with the words that it is typed by."""
    yield " ".join(words), command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, *words, name)


def _options() -> Iterator[tuple[str, set[str]]]:
    """Every option that can be typed: of which command, and its spellings."""
    for words, command in _commands(main):
        for parameter in command.params if words else ():
            if isinstance(parameter, click.Option) and not parameter.hidden:
                yield words, {*parameter.opts, *parameter.secondary_opts}


def test_every_option_is_on_a_page() -> None:
    """One spelling of each; `--help` tells the same to whoever is at a terminal."""
    text = "\n".join(page.read_text() for page in PAGES)
    named = {*OPTION.findall(text), *re.findall(r"(?<![\w-])-[a-z]\b", text)}
    missing = [f"{words}: {sorted(typed)}" for words, typed in _options() if not typed & named]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_an_option_that_a_page_names_can_be_typed(page: Path) -> None:
    """Those of other programs stand in lines that name the program."""
    known = set().union(*(typed for _, typed in _options()))
    named = {
        option
        for line in page.read_text().splitlines()
        if not any(program in line for program in OTHER_PROGRAMS)
        for option in OPTION.findall(line)
    }
    assert named - known == set()


def test_every_command_is_on_its_page() -> None:
    """A section or a row for each, of groups for each of their commands."""
    text = (DOCS / "commands.md").read_text() + (DOCS / "audit.md").read_text()
    text += (DOCS / "archive.md").read_text()
    missing = [
        words
        for words, _ in _commands(main)
        if words and not re.search(rf"\b{words.split()[-1]}\b", text)
    ]
    assert missing == []
    assert len(COMMANDS) > 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_metric_that_a_page_names_is_on_the_page_of_metrics(page: Path) -> None:
    """Which is held to what a running stack shows (tests/integration/stack)."""
    known = metrics_on_page((DOCS / "metrics.md").read_text())
    named = {name for quoted in _quoted(page.read_text()) for name in METRIC.findall(quoted)}
    assert {name for name in named if not _is_known(name, known)} == set()


def test_what_is_measured_is_a_metric() -> None:
    """A case or a benchmark that reads a series by a wrong name would see nothing, and be glad."""
    known = metrics_on_page((DOCS / "metrics.md").read_text())
    named = {
        name
        for package in MEASURES
        for path in (ROOT / package).rglob("*.py")
        for name in METRIC.findall(path.read_text())
    }
    assert {name for name in named if not _is_known(name, known)} == set()
    assert not _is_known("turnout_switch_process_resident_memory_bytes", known)


def test_a_series_is_looked_up_by_its_process() -> None:
    """A network's under the network's rows, and nothing under another process's."""
    page = metrics_on_page((DOCS / "metrics.md").read_text())
    networks = frozenset({"vsim"})
    row = "turnout_<network>_connections_used_ratio"
    assert row_of("turnout_vsim_connections_used_ratio", page, networks) == row
    assert row_of("turnout_api_connections_used_ratio", page, networks) is None
    assert (
        row_of("turnout_api_gc_pauses_total", page, networks) == "turnout_<process>_gc_pauses_total"
    )
    assert row_of("turnout_vsim_nothing_total", page, networks) is None
    assert not page["turnout_forwarder_records_total"]


def _is_known(name: str, known: dict[str, bool]) -> bool:
    any_process = re.sub(r"^turnout_[a-z]+_", "turnout_<process>_", name)
    return name in known or any_process in known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_line_of_the_log_that_a_page_explains_is_logged(page: Path) -> None:
    """Tables of log lines name events that the sources have."""
    sources = "".join(
        path.read_text() for package in SOURCES for path in (ROOT / package).rglob("*.py")
    )
    explained = [
        event
        for table in LINE_TABLE.findall(page.read_text())
        for row in table.splitlines()
        for event in CODE.findall(row.split("|")[1])
    ]
    assert [event for event in explained if f'"{event}"' not in sources] == []


def _errors_logged(text: str) -> Iterator[str]:
    """What a module logs as an error, or as worse."""
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in {"error", "critical", "exception"}
            and ast.unparse(node.func.value).endswith("log")
            and isinstance(node.args[0], ast.Constant)
        ):
            yield str(node.args[0].value)


def test_every_error_in_the_log_is_explained() -> None:
    """Whoever is called at night finds each line on a page, with what to do about it."""
    explained = {quoted for page in PAGES for quoted in _quoted(page.read_text())}
    logged = {
        event
        for package in SOURCES
        for path in (ROOT / package).rglob("*.py")
        for event in _errors_logged(path.read_text())
    }
    assert len(logged) > 40
    assert logged - explained == set()
    assert set(_errors_logged("self._log.critical('no air', why=1)")) == {"no air"}


def _anchors(text: str) -> set[str]:
    """What a link may name of a page, as forges derive it from headings."""
    words = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in HEADING.findall(_plain(text)))
    return {heading.strip().replace(" ", "-") for heading in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_link_leads_somewhere(page: Path) -> None:
    """To a file that is there, and to a heading that it has."""
    lost = []
    for link in LINK.findall(_plain(page.read_text())):
        if link.startswith(("http:", "https:")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in _anchors(target.read_text())):
            lost.append(link)
    assert lost == []
    assert "the-relay" in _anchors("## The `relay`")
