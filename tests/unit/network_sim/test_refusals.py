"""Every reason to refuse has its rule."""

from __future__ import annotations

import pytest

from chassis.framing import FrameError, LengthFramer
from network_sim.macs import Verdict
from network_sim.refusals import RULES, rule_of


@pytest.mark.parametrize(
    ("reason", "name"),
    [
        ("handshake failed: the peer does not speak TLS", "T1"),
        ("handshake failed: the peer speaks no TLS 1.3", "T2"),
        ("handshake failed: the peer speaks TLSv1.2", "T2"),
        ("handshake failed: the peer presented no certificate", "T3"),
        ("handshake failed: the peer's certificate is refused: certificate has expired", "T4"),
        ("handshake failed: the peer's certificate is for ['a'], none of ['b']", "T5"),
        ("handshake failed: the peer did not choose the protocol turnout-iso8583", "T6"),
        ("the handshake took too long", "T7"),
        ("frame 3: length 65535 is outside 0..4096", "F1"),
        ("frame 1: the last byte is not ETX", "F1"),
        ("frame 1: a TPDU begins with 60", "F1"),
        ("the header of a frame did not arrive in time", "F2"),
        ("the body of a frame did not arrive in time", "F2"),
        ("more than 16 zero-length frames in a row", "F3"),
        ("the peer does not read: write overdue", "F4"),
        ("message 0200 while connected", "S1"),
        ("message 0420 while signed_off", "S1"),
        ("nothing heard for too long", "S2"),
        ("undecodable: DE 2 (pan, n..19) at byte 10: length prefix is not decimal", "M1"),
        ("message 0210 has no answer", "M3"),
    ],
)
def test_a_reason_names_its_rule(reason: str, name: str) -> None:
    """In the words that the network uses."""
    rule = rule_of(reason)
    assert rule is not None
    assert rule.name == name


@pytest.mark.parametrize("verdict", [v for v in Verdict if v is not Verdict.GOOD])
def test_bad_macs_have_a_rule(verdict: Verdict) -> None:
    """Whichever way they are bad."""
    rule = rule_of(verdict.value)
    assert rule is not None
    assert rule.name == "M2"


def test_a_real_frame_error_has_a_rule() -> None:
    """As the framer words it today."""
    framer = LengthFramer(2, 100)
    with pytest.raises(FrameError) as raised:
        framer.feed(b"\xff\xff")
    assert rule_of(str(raised.value)) is not None


@pytest.mark.parametrize("reason", ["connection lost", "the acquirer left", "cut on command"])
def test_ends_that_break_no_rule_have_none(reason: str) -> None:
    """They are nobody's fault, or the network's own doing."""
    assert rule_of(reason) is None


def test_names_are_given_once() -> None:
    """So that they can be quoted."""
    assert len({rule.name for rule in RULES}) == len(RULES)
