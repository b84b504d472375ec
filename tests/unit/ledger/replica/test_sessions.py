"""Who is lent a session of a replica, and what the log says of one that is ill."""

from __future__ import annotations

from structlog.testing import capture_logs

from chassis.settings import Ledger
from chassis.settings.replica import Replica
from ledger.replica import ReplicaSessions
from ledger.replica.sessions import CALM_S

LIMITS = Replica(rest_s=1.0)


def _sessions() -> ReplicaSessions:
    return ReplicaSessions("host=/nowhere", Ledger(), LIMITS)


def test_nobody_waits_for_a_session() -> None:
    """There is none yet, and whoever asks hears so at once."""
    assert _sessions().borrow(0.0) is None


def test_an_illness_is_told_once_and_its_end_once() -> None:
    """However often it fails meanwhile; that it serves now and then is no end."""
    sessions = _sessions()
    with capture_logs() as logs:
        sessions.well(0.0)
        for now_s in range(1, 20):
            sessions.rest("it is behind", float(now_s))
            sessions.well(now_s + 0.5)
        assert [line["log_level"] for line in logs] == ["warning"]
        assert logs[0]["reason"] == "it is behind"
        sessions.well(19.0 + CALM_S - 0.1)
        assert len(logs) == 1
        sessions.well(19.0 + CALM_S)
        sessions.well(20.0 + CALM_S)
        assert [line["event"] for line in logs[1:]] == ["the replica is read again"]
        sessions.rest("it is behind", 100.0)
        assert len(logs) == 3


def test_before_it_was_ever_read_that_is_no_warning() -> None:
    """A first copy takes its time."""
    sessions = _sessions()
    with capture_logs() as logs:
        sessions.rest("there is no server", 0.0)
    assert [line["log_level"] for line in logs] == ["info"]
