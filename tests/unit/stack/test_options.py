"""Flags become settings, and mistakes become exit statuses."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from chassis.shard_names import mark_founded
from stack.options import (
    PORT_FLAGS,
    Place,
    new_shard_option,
    port_options,
    replica_option,
    settings_options,
    shard_option,
    shards_option,
    switches_option,
)


@click.command()
@port_options
@switches_option
@settings_options
@click.option("--other", is_flag=True)
def probe(place: Place, *, other: bool) -> None:
    """Show what a command receives."""
    click.echo(f"{place.settings.api.port} {place.settings.metrics.hsm} {place.data_dir} {other}")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings file or variable of whoever runs the tests."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TURNOUT_DATA_DIR", "/from/environment")


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(probe, arguments)


def test_without_flags_the_environment_counts() -> None:
    """Nothing given on the command line leaves defaults and environment."""
    assert _run().output == "8080 9466 /from/environment False\n"


def test_flags_win() -> None:
    """Data directory, ports and any other setting can be given as flags."""
    result = _run("--data-dir", "/flag", "--api-port", "1", "--set", "metrics.hsm=2", "--other")
    assert result.output == "1 2 /flag True\n"


def test_the_number_of_switches_is_a_flag() -> None:
    """As many as RRNs have letters for; beside ports, and before the setting of that name."""
    shown: list[Place] = []

    @click.command()
    @port_options
    @switches_option
    @settings_options
    def show(place: Place) -> None:
        shown.append(place)

    for arguments in ([], ["--switches", "3", "--api-port", "1"], ["--set", "switch.processes=2"]):
        assert CliRunner().invoke(show, arguments).exit_code == 0
    assert [place.settings.switch.processes for place in shown] == [1, 3, 2]
    assert shown[1].settings.api.port == 1
    for wrong in ("0", "37", "many"):
        refused = CliRunner().invoke(show, ["--switches", wrong])
        assert (refused.exit_code, "--switches" in refused.output) == (2, True)


def test_the_number_of_shards_is_a_flag() -> None:
    """From one to as many as there may be; beside the number of switches."""
    shown: list[Place] = []

    @click.command()
    @switches_option
    @shards_option
    @settings_options
    def show(place: Place) -> None:
        shown.append(place)

    for arguments in ([], ["--shards", "64", "--switches", "2"], ["--set", "shards.count=3"]):
        assert CliRunner().invoke(show, arguments).exit_code == 0
    assert [place.settings.shards.count for place in shown] == [1, 64, 3]
    assert shown[1].settings.switch.processes == 2
    for wrong in ("0", "65", "-1", "two"):
        refused = CliRunner().invoke(show, ["--shards", wrong])
        assert (refused.exit_code, "--shards" in refused.output) == (2, True)


def test_a_replica_is_a_flag() -> None:
    """Without it the setting counts."""
    shown: list[Place] = []

    @click.command()
    @shards_option
    @replica_option
    @settings_options
    def show(place: Place) -> None:
        shown.append(place)

    for arguments in ([], ["--replica", "--shards", "2"], ["--set", "replica.enabled=true"]):
        assert CliRunner().invoke(show, arguments).exit_code == 0
    assert [place.settings.replica.enabled for place in shown] == [False, True, True]
    assert shown[1].settings.shards.count == 2


def test_a_command_is_narrowed_to_one_shard(tmp_path: Path) -> None:
    """It finds the shard's directory and settings at its place; the first one's without a flag."""
    (tmp_path / "shards" / "1").mkdir(parents=True)
    mark_founded(tmp_path, 1)
    shown: list[Place] = []

    @click.command()
    @shard_option
    @settings_options
    def show(place: Place) -> None:
        shown.append(place)

    for arguments in ([], ["--shard", "1"]):
        assert CliRunner().invoke(show, ["--data-dir", str(tmp_path), *arguments]).exit_code == 0
    assert [place.shard for place in shown] == [0, 1]
    assert [place.data_dir for place in shown] == [tmp_path, tmp_path / "shards" / "1"]
    assert [place.settings.relay.slot for place in shown] == ["turnout_relay_0", "turnout_relay_1"]


def test_a_shard_that_is_not_there_is_wrong_usage(tmp_path: Path) -> None:
    """The shards that are there are named; only who makes a ledger may name a new one."""

    @click.command()
    @shard_option
    @settings_options
    def show(place: Place) -> None:
        raise AssertionError(place)

    @click.command()
    @new_shard_option
    @settings_options
    def make(place: Place) -> None:
        click.echo(place.data_dir)

    where = ["--data-dir", str(tmp_path)]
    refused = CliRunner().invoke(show, [*where, "--shard", "1"])
    assert (refused.exit_code, "has shard 0 alone" in refused.output) == (2, True)
    (tmp_path / "shards" / "1").mkdir(parents=True)
    mark_founded(tmp_path, 1)
    refused = CliRunner().invoke(show, [*where, "--shard", "2"])
    assert (refused.exit_code, "has shards 0 to 1" in refused.output) == (2, True)
    for wrong in ("-1", "64", "all"):
        refused = CliRunner().invoke(show, [*where, "--shard", wrong])
        assert (refused.exit_code, "--shard" in refused.output) == (2, True)
    made = CliRunner().invoke(make, [*where, "--shard", "5"])
    assert made.output == f"{tmp_path / 'shards' / '5'}\n"


def test_free_ports_frees_all_but_those_named() -> None:
    """Every default becomes 0; a port given beside it stays, by its flag or as a setting."""
    assert _run("--free-ports", "--metrics-hsm-port", "7").output.startswith("0 7 ")
    assert _run("--free-ports", "--set", "metrics.hsm=7").output.startswith("0 7 ")


def test_free_ports_are_of_what_we_bind(tmp_path: Path) -> None:
    """The port of a network that is not simulated is where that network is."""
    config = tmp_path / "turnout.toml"
    real = "[networks.real]\nport = 9001\nsimulate = false\n[networks.ours]\nport = 9002\n"
    config.write_text(real)
    shown: list[int] = []

    @click.command()
    @port_options
    @settings_options
    def ports(place: Place) -> None:
        networks = place.settings.networks
        shown.extend(networks[name].port for name in ("vsim", "msim", "ours", "real"))

    assert CliRunner().invoke(ports, ["--free-ports", "--config", str(config)]).exit_code == 0
    assert shown == [0, 0, 0, 9001]


def test_every_port_has_a_flag_that_sets_it(tmp_path: Path) -> None:
    """Each flag names a setting that exists."""
    for flag, key in PORT_FLAGS.items():
        assert _run(flag, "0").exit_code == 0, key


@pytest.mark.parametrize(
    ("arguments", "status", "reason"),
    [
        (("--set", "api.prot=1"), 3, "api.prot (command line): no such setting"),
        (("--config", "/missing.toml"), 3, "/missing.toml"),
        (("--set", "api.port"), 2, "must be KEY=VALUE"),
        (("--api-port", "65536"), 2, "not in the range"),
        (("--unknown",), 2, "No such option"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], status: int, reason: str) -> None:
    """A wrong flag is usage (2), a wrong setting keeps the program from starting (3)."""
    result = _run(*arguments)
    assert result.exit_code == status
    assert reason in result.output
