"""What live mode refuses."""

from __future__ import annotations

import msgspec
import pytest

from chassis.settings import Network, Settings, SettingsError, Testing, check_live
from chassis.settings.webhooks import Webhooks

REAL = Network(server_name="network.example", port=1, simulate=False)


def _settings(mode: str, **changes: object) -> Settings:
    network = msgspec.structs.replace(REAL, **changes)
    return msgspec.structs.replace(Settings(), mode=mode, networks={"real": network})


def test_live_with_real_networks_passes() -> None:
    """Real endpoints and the compiled codec are what live mode is for."""
    check_live(_settings("live"))


def test_live_refuses_the_oracle_codec() -> None:
    """`codec = "pyiso8583"` is for simulation and tests."""
    with pytest.raises(SettingsError, match=r"networks\.real\.codec .*live.*pyiso8583"):
        check_live(_settings("live", codec="pyiso8583"))


def test_live_refuses_fault_scripts() -> None:
    """Whatever the network, nothing is broken on purpose where money moves."""
    with pytest.raises(SettingsError, match=r"networks\.real\.script .*fault scripts"):
        check_live(_settings("live", script="faults.toml"))
    check_live(_settings("test", script="faults.toml"))


def test_live_refuses_simulated_networks() -> None:
    """A simulated network would bring the development certificates."""
    with pytest.raises(SettingsError, match=r"networks\.real\.simulate .*development"):
        check_live(_settings("live", simulate=True))


def test_live_refuses_a_clock_of_its_own() -> None:
    """Payments are dated by the machine's clock, which others can check."""
    stepped = msgspec.structs.replace(
        _settings("live"), testing=Testing(clock_offset_file="/tmp/offset")
    )
    with pytest.raises(SettingsError, match=r"testing\.clock_offset_file .*live"):
        check_live(stepped)


def test_live_refuses_crash_points() -> None:
    """Nobody ends a process that moves money by writing into a file."""
    armed = msgspec.structs.replace(
        _settings("live"), testing=Testing(crash_point_file="/tmp/point")
    )
    with pytest.raises(SettingsError, match=r"testing\.crash_point_file .*live"):
        check_live(armed)


def test_live_refuses_a_ca_of_its_own_for_webhooks() -> None:
    """Payments of real people are told to servers that are who they say."""
    trusting = msgspec.structs.replace(_settings("live"), webhooks=Webhooks(ca_file="/tmp/ca.pem"))
    with pytest.raises(SettingsError, match=r"webhooks\.ca_file .*live"):
        check_live(trusting)


def test_test_mode_allows_both() -> None:
    """The same settings pass in test mode."""
    check_live(_settings("test", codec="pyiso8583", simulate=True))
