"""The profile: real timers, one factor, and a settings file that the product reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from certification import profile
from chassis.settings import Network, load_settings
from switch.iso8583 import load_dialect

POLICY = load_dialect("net87b").policy


@pytest.mark.parametrize("factor", [0.1, 0.2, 1.0])
def test_every_timer_is_scaled_by_one_factor(factor: float) -> None:
    """The dialect's deadlines, the back-off and the inquiries keep their proportions."""
    network = profile.scaled_network(factor, {})
    assert network.response_deadline_s == pytest.approx(POLICY.response_deadline_s * factor)
    assert network.echo_idle_s == pytest.approx(POLICY.echo_idle_s * factor)
    assert network.inquiry_times_s == pytest.approx([t * factor for t in Network().inquiry_times_s])
    assert network.saf_repeat_max_s == pytest.approx(Network().saf_repeat_max_s * factor)


def test_what_bounds_our_own_work_is_not_scaled() -> None:
    """A busy machine must not fail a case about the network."""
    network = profile.scaled_network(0.1, {})
    assert network.max_send_age_s == Network().max_send_age_s
    assert network.connect_timeout_s == Network().connect_timeout_s


def test_changes_are_taken_as_they_are() -> None:
    """What a case sets for its network is what it gets."""
    assert profile.scaled_network(0.1, {"response_deadline_s": 7.0}).response_deadline_s == 7.0


def test_the_settings_file_is_read_back(tmp_path: Path) -> None:
    """The networks of the file are those that were written, timers and prefixes included."""
    network = profile.scaled_network(
        0.2, {"simulate": False, "port": 4711, "bins": ("42420001",), "connections": 2}
    )
    path = tmp_path / "turnout.toml"
    path.write_text(profile.settings_file({"au01": network}, profile.sections(0.2)))
    settings = load_settings(config=path, environ={})
    assert settings.networks["au01"] == network
    assert settings.switch.totals_delay_s == pytest.approx(12.0)
