"""`turnout network`, as far as it can be seen without a network."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from network_sim.network_command import Address, default_certs, network
from network_sim.standalone import trigger_rules


@pytest.mark.parametrize(
    ("said", "address"),
    [
        ("8583", ("127.0.0.1", 8583)),
        ("0", ("127.0.0.1", 0)),
        ("0.0.0.0:9000", ("0.0.0.0", 9000)),
        ("[::1]:9000", ("::1", 9000)),
        ("localhost:9000", ("localhost", 9000)),
    ],
)
def test_an_address_is_host_and_port(said: str, address: tuple[str, int]) -> None:
    """The loopback where no host is named."""
    assert Address().convert(said, None, None) == address


@pytest.mark.parametrize("said", ["", "70000", "a:b", ":80", "1:2:3", "-1"])
def test_what_is_no_address_is_refused(said: str) -> None:
    """As wrong usage."""
    with pytest.raises(click.BadParameter):
        Address().convert(said, None, None)


def test_certificates_are_made_and_named(tmp_path: Path) -> None:
    """Everything that an acquirer needs; a second time changes nothing."""
    runner = CliRunner()
    first = runner.invoke(network, ["certs", "--out", str(tmp_path / "certs")])
    assert first.exit_code == 0
    names = {path.name for path in (tmp_path / "certs").iterdir()}
    assert {"ca.pem", "acquirer.pem", "acquirer.key", "network.pem", "network.kek"} <= names
    before = (tmp_path / "certs" / "acquirer.pem").read_bytes()
    runner.invoke(network, ["certs", "--out", str(tmp_path / "certs")])
    assert (tmp_path / "certs" / "acquirer.pem").read_bytes() == before
    assert f"{tmp_path}/certs/ca.pem" in first.output


def test_certificates_that_cannot_be_made_end_with_three() -> None:
    """And a reason."""
    result = CliRunner().invoke(network, ["certs", "--out", "/proc/nowhere"])
    assert result.exit_code == 3
    assert "no certificates in /proc/nowhere" in result.output


def test_the_default_folder_is_in_the_data_directory(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever that is for this user."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.delenv("TURNOUT_DATA_DIR", raising=False)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    monkeypatch.setenv("XDG_DATA_HOME", "/home/somebody/.local/share")
    assert default_certs() == Path("/home/somebody/.local/share/turnout/network-certs")


def test_the_default_folder_follows_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As every command's data directory does."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("TURNOUT_DATA_DIR", "/srv/turnout")
    assert default_certs() == Path("/srv/turnout/network-certs")


def test_unusable_settings_end_with_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the default folder would be looked up in them."""
    monkeypatch.setenv("TURNOUT_NO_SUCH", "1")
    result = CliRunner().invoke(network, ["certs"])
    assert result.exit_code == 3
    assert "TURNOUT_NO_SUCH" in result.output


def test_triggers_are_listed() -> None:
    """One line each."""
    result = CliRunner().invoke(network, ["triggers"])
    assert result.exit_code == 0
    assert len(result.output.splitlines()) == len(trigger_rules())
    assert "10.51  declined, 51: insufficient funds" in result.output.splitlines()
