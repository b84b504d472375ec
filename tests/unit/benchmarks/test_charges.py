"""What `turnout bench charges` runs beside the payments."""

from __future__ import annotations

import pytest

from benchmarks.charges import Relaying, relaying
from chassis.settings import Settings, load_settings
from stack.layout import consumers_run, postings_run


@pytest.mark.parametrize(
    ("relay", "stream", "audit", "postings"),
    [("on", True, True, True), ("alone", True, True, False), ("off", False, False, False)],
)
def test_the_stream_runs_with_its_consumers_alone_or_not_at_all(
    relay: Relaying, *, stream: bool, audit: bool, postings: bool
) -> None:
    """The audit log belongs to the stream, postings do not."""
    settings = load_settings(config=None, environ={}, overrides=relaying(relay))
    assert settings.relay.enabled == stream
    assert consumers_run(settings) == audit
    assert postings_run(settings) == postings


def test_alone_switches_off_only_what_stands_on_the_stream() -> None:
    """No payment's own path is shorter for it."""
    alone = load_settings(config=None, environ={}, overrides=relaying("alone"))
    default = Settings()
    assert alone.networks == default.networks
    assert (alone.replica, alone.switch, alone.ledger) == (
        default.replica,
        default.switch,
        default.ledger,
    )
