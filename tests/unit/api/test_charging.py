"""Which switch is asked: the merchant's own, another while that one is away, never two."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from typing import Any

import attrs
import pytest

from api.charging import Charging, shard_of
from api.errors import ProblemError
from chassis.mux import MuxClosedError, MuxOverloadError
from switch.wire import Charge

MERCHANT = bytes(range(16))
OWN = shard_of(MERCHANT, 3)


@attrs.define
class Switch:
    """The client of a switch; keeps what it was given."""

    connected: bool = True
    full: bool = False
    given: list[tuple[Charge, Callable[[Any], None]]] = attrs.field(factory=list)

    def submit(self, charge: Charge, deliver: Callable[[Any], None]) -> int:
        """Take a charge, or refuse it as a mux does."""
        if not self.connected:
            raise MuxClosedError("not connected")
        if self.full:
            raise MuxOverloadError("too many in flight")
        self.given.append((charge, deliver))
        return len(self.given)


def charge_of(merchant_id: bytes = MERCHANT) -> Charge:
    """A charge of a merchant."""
    return Charge(
        intent_id=bytes(16),
        merchant_id=merchant_id,
        publishable_key="pk_test_docs",
        live=False,
        ciphertext="",
        key_digest=os.urandom(16),
        request_hash=bytes(16),
        request_id=bytes(16),
    )


@pytest.fixture
def switches() -> list[Switch]:
    """Three that are connected."""
    return [Switch() for _ in range(3)]


@pytest.fixture
def charging(switches: list[Switch]) -> Charging:
    """Over those three."""
    return Charging(switches)  # type: ignore[arg-type]


def ignore(reply: object) -> None:
    """Nobody waits."""


def test_a_merchant_stays_with_one_switch(charging: Charging, switches: list[Switch]) -> None:
    """Whatever else the charge holds."""
    for _ in range(20):
        charging.submit(charge_of(), ignore)
    assert [len(switch.given) for switch in switches] == [20 * (n == OWN) for n in range(3)]


def test_merchants_spread_evenly_and_for_ever_alike() -> None:
    """By a fixed function of the id: another api, or tomorrow's, chooses as this one does."""
    found = Counter(shard_of(os.urandom(16), 5) for _ in range(5_000))
    assert set(found) == set(range(5))
    assert min(found.values()) > 800
    assert [shard_of(bytes([number]) * 16, 7) for number in range(8)] == [1, 3, 2, 2, 0, 1, 0, 6]
    assert shard_of(MERCHANT, 1) == 0


def test_another_switch_serves_while_its_own_is_away(
    charging: Charging, switches: list[Switch]
) -> None:
    """The next ones in order, so that all api processes choose the same; then back again."""
    second, third = (OWN + 1) % 3, (OWN + 2) % 3
    switches[OWN].connected = False
    charging.submit(charge_of(), ignore)
    switches[second].connected = False
    charging.submit(charge_of(), ignore)
    assert charging.connected
    switches[OWN].connected = True
    charging.submit(charge_of(), ignore)
    assert [len(switches[place].given) for place in (OWN, second, third)] == [1, 1, 1]


def test_with_none_connected_the_charge_is_refused(
    charging: Charging, switches: list[Switch]
) -> None:
    """Nobody has seen it, and the merchant hears so."""
    for switch in switches:
        switch.connected = False
    with pytest.raises(ProblemError) as refused:
        charging.submit(charge_of(), ignore)
    assert refused.value.problem.code == "switch_unavailable"
    assert not charging.connected


def test_a_full_switch_is_not_relieved_by_another(
    charging: Charging, switches: list[Switch]
) -> None:
    """Load that one cannot take would only spread."""
    switches[OWN].full = True
    with pytest.raises(ProblemError) as refused:
        charging.submit(charge_of(), ignore)
    assert refused.value.problem.code == "overloaded"
    assert [len(switch.given) for switch in switches] == [0, 0, 0]


def test_a_charge_of_unknown_fate_is_sent_to_nobody_else(
    charging: Charging, switches: list[Switch]
) -> None:
    """The switch went away with it; only the merchant may repeat it."""
    heard: list[object] = []
    charging.submit(charge_of(), heard.append)
    lost = MuxClosedError("closed")
    switches[OWN].connected = False
    switches[OWN].given[0][1](lost)
    assert heard == [lost]
    assert sum(len(switch.given) for switch in switches) == 1
