"""A command for one ledger is asked of each, and what it says is gathered."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from chassis.shard_names import mark_founded
from stack.every_shard import every_shard_option
from stack.options import Place, settings_options


@pytest.fixture
def data_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a stack of three shards."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "shards" / "1").mkdir(parents=True)
    mark_founded(tmp_path, 1)
    (tmp_path / "shards" / "2").mkdir()
    mark_founded(tmp_path, 2)
    return tmp_path


def _ask(data_dir: Path, *words: str, failing: int = -1, status: int = 1) -> Result:
    @click.command()
    @click.option("--json", "as_json", is_flag=True)
    @every_shard_option
    @settings_options
    def slot(place: Place, *, as_json: bool) -> None:
        if place.shard == failing:
            click.echo("no answer", err=True)
            sys.exit(status)
        name = place.settings.relay.slot
        click.echo(json.dumps({"slot": name}, indent=2) if as_json else f"slot {name}")

    return CliRunner().invoke(slot, [*words, "--data-dir", str(data_dir)])


def test_one_shard_answers_as_if_there_were_no_other(data_dir: Path) -> None:
    """The first one's without a flag; in the command's own words or document."""
    assert _ask(data_dir).stdout == "slot turnout_relay_0\n"
    assert _ask(data_dir, "--shard", "2").stdout == "slot turnout_relay_2\n"
    assert json.loads(_ask(data_dir, "--shard", "1", "--json").stdout) == {
        "slot": "turnout_relay_1"
    }


def test_all_shards_answer_in_one_document(data_dir: Path) -> None:
    """In the order of their numbers; for people under a heading each."""
    done = _ask(data_dir, "--shard", "all", "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == {
        "shards": [
            {"shard": shard, "answer": {"slot": f"turnout_relay_{shard}"}} for shard in range(3)
        ]
    }
    lines = _ask(data_dir, "--shard", "all").stdout.splitlines()
    assert lines[:4] == ["shard 0", "slot turnout_relay_0", "shard 1", "slot turnout_relay_1"]


def test_a_fault_of_one_shard_is_the_end_of_none(data_dir: Path) -> None:
    """The others are asked, and the status is 1."""
    done = _ask(data_dir, "--shard", "all", "--json", failing=1)
    assert (done.exit_code, done.stderr) == (1, "no answer\n")
    answers = [one["answer"] for one in json.loads(done.stdout)["shards"]]
    assert answers == [{"slot": "turnout_relay_0"}, None, {"slot": "turnout_relay_2"}]


def test_a_shard_that_cannot_be_asked_is_the_end_of_none(data_dir: Path) -> None:
    """It has no answer, the others have theirs, and its status is the worst."""
    done = _ask(data_dir, "--shard", "all", "--json", failing=1, status=3)
    assert (done.exit_code, done.stderr) == (3, "no answer\n")
    answers = [one["answer"] for one in json.loads(done.stdout)["shards"]]
    assert answers == [{"slot": "turnout_relay_0"}, None, {"slot": "turnout_relay_2"}]


@pytest.mark.parametrize("failing", [0, 1])
def test_wrong_usage_ends_the_command(data_dir: Path, failing: int) -> None:
    """Its status is the command's, and half an answer is not printed."""
    done = _ask(data_dir, "--shard", "all", failing=failing, status=2)
    assert (done.exit_code, done.stdout) == (2, "")


def test_settings_that_are_in_disorder_end_the_command(data_dir: Path) -> None:
    """They are those of all shards; it is said once."""
    done = _ask(data_dir, "--shard", "all", "--json", "--set", "no.such=1")
    assert (done.exit_code, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("wrong", ["3", "-1", "64", "every", "0x1", ""])
def test_what_names_no_shard_is_wrong_usage(data_dir: Path, wrong: str) -> None:
    """Numbers of shards that are there, and `all`."""
    refused = _ask(data_dir, "--shard", wrong)
    assert (refused.exit_code, "--shard" in refused.output) == (2, True)
