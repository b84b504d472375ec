"""How each network is treated: by its settings, and by its dialect where they are silent."""

from __future__ import annotations

from typing import Any

import pytest

from chassis.settings import Network
from switch.carriers import Carrier
from switch.core.numbers import StanAllocator
from switch.iso8583 import load_dialect
from switch.operations.surroundings import rules_of, terms_of
from tests.support.operations import NOW_US, SECOND_US
from tests.support.pipeline import Group


def carrier(**settings: Any) -> Carrier:
    """A network with these settings."""
    network = Network(**settings)
    group: Any = Group()
    return Carrier(network, load_dialect(network.dialect), group, StanAllocator())


def test_a_dialect_that_knows_inquiries_has_doubts_asked_about() -> None:
    """At the times of the settings, until their window closes."""
    rules = rules_of(carrier(inquiry_times_s=(2.0, 5.0), inquiry_window_s=9.0))
    window = rules.doubt.open(NOW_US)
    assert window.due_at_us == NOW_US + 2 * SECOND_US
    assert window.ends_at_us == NOW_US + 9 * SECOND_US
    assert [rules.doubt.may_inquire(asked) for asked in (0, 1, 2)] == [True, True, False]


@pytest.mark.parametrize("dialect", ["vip", "cis"])
def test_a_dialect_that_knows_none_has_doubts_reversed(dialect: str) -> None:
    """At once."""
    doubt = rules_of(carrier(dialect=dialect)).doubt
    assert (doubt.open(NOW_US).ends_at_us, doubt.may_inquire(0)) == (NOW_US, False)


def test_settings_may_have_doubts_reversed_all_the_same() -> None:
    """A contract with a network may say so."""
    doubt = rules_of(carrier(dialect="net87b", unknown_policy="reverse")).doubt
    assert doubt.must_reverse(NOW_US + 30 * SECOND_US, NOW_US)


@pytest.mark.parametrize(("dialect", "mti"), [("net87b", "0420"), ("vip", "0420"), ("cis", "0400")])
def test_reversals_go_by_the_dialect_s_mti(dialect: str, mti: str) -> None:
    """Some store and forward requests."""
    assert rules_of(carrier(dialect=dialect)).reversal_mti == mti


def test_authorizations_last_as_long_as_the_network_says() -> None:
    """In microseconds."""
    assert rules_of(carrier(authorization_s=1.5)).authorization_us == 1_500_000


def test_advices_are_repeated_at_the_times_of_the_settings() -> None:
    """No repeat leaves while the answer may still come."""
    terms = terms_of(
        carrier(
            response_deadline_s=2.0,
            saf_repeat_min_s=5.0,
            saf_repeat_max_s=8.0,
            saf_alarm_sends=3,
            saf_slow_s=100.0,
            saf_drain_per_s=17.0,
        )
    )
    waits = [
        (terms.schedule.due_again_us(sends, NOW_US, lambda _low, high: high) - NOW_US) / SECOND_US
        for sends in (1, 2, 3)
    ]
    assert waits == [2.0 + 5.0, 2.0 + 8.0, 2.0 + 100.0 + 8.0]
    assert [terms.schedule.alarms(sends) for sends in (2, 3, 4)] == [False, True, False]
    assert terms.drain_per_s == 17.0
