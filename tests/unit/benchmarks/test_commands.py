"""`turnout bench`: one command a benchmark."""

from __future__ import annotations

import inspect
import json
from importlib import import_module
from types import ModuleType
from typing import Any

import click
import pytest
from click.testing import CliRunner

from benchmarks.commands import bench, measure
from benchmarks.report import WrongResultsError, bench_document
from benchmarks.workplace import UnrealStorageError
from stack.temporary import TemporaryStackError

NAMES = (
    "codec",
    "link",
    "hsm",
    "ledger",
    "decisions",
    "api",
    "charges",
    "doubts",
    "macs",
    "sessions",
    "drain",
    "relay",
    "stream",
    "audit",
    "idle",
    "webhooks",
)


def test_every_benchmark_has_a_command() -> None:
    """No more and no fewer."""
    assert set(bench.commands) == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_options_are_arguments_of_the_benchmark(name: str) -> None:
    """Each option but --json is a parameter of `run`, and each parameter an option."""
    command = bench.commands[name]
    given = {option.name for option in command.params} - {"as_json"}
    assert given == set(inspect.signature(import_module(f"benchmarks.{name}").run).parameters)


class Benchmark(ModuleType):
    """A benchmark that does as told."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__("benchmarks.told")
        self.error = error
        self.given: dict[str, Any] = {}

    def run(self, **given: Any) -> dict[str, Any]:
        """Remember the options, and end as told."""
        self.given = given
        if self.error is not None:
            raise self.error
        return bench_document("told", given, {"figure": 1.5}, {"switch": 2.5})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Benchmark:
    """A benchmark module that can be imported by name."""
    module = Benchmark()
    monkeypatch.setitem(__import__("sys").modules, "benchmarks.told", module)
    return module


def test_options_not_given_are_left_to_the_benchmark(
    told: Benchmark, capsys: pytest.CaptureFixture[str]
) -> None:
    """Defaults stand in one place."""
    assert measure("told", {"seconds": 2.0, "rounds": None}, as_json=True) == 0
    assert told.given == {"seconds": 2.0}
    assert json.loads(capsys.readouterr().out)["results"] == {"figure": 1.5}


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (WrongResultsError("2 lost"), 1),
        (UnrealStorageError("fsync is off"), 3),
        (TemporaryStackError("port taken"), 3),
    ],
)
def test_only_wrong_results_are_a_fault(
    told: Benchmark, capsys: pytest.CaptureFixture[str], error: Exception, status: int
) -> None:
    """What keeps a benchmark from running is another status; stdout stays empty either way."""
    told.error = error
    assert measure("told", {}, as_json=True) == status
    said = capsys.readouterr()
    assert said.out == ""
    assert str(error) in said.err


def test_a_bug_keeps_its_traceback(told: Benchmark) -> None:
    """A benchmark that crashes is neither fast nor wrong."""
    told.error = ZeroDivisionError()
    with pytest.raises(ZeroDivisionError):
        measure("told", {}, as_json=True)


def test_a_number_out_of_range_is_a_usage_error() -> None:
    """Zero rounds have no median."""
    result = CliRunner().invoke(bench, ["codec", "--rounds", "0"])
    assert (result.exit_code, "--rounds" in result.stderr) == (2, True)
    assert isinstance(bench, click.Group)
