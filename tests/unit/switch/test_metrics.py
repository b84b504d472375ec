"""The switch's series: names by contract 6, values read when asked, a closed set of labels."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
import trio
from prometheus_client import CollectorRegistry, generate_latest

from chassis.metrics import Metrics
from chassis.mux import MuxCounters
from chassis.settings import Ledger, Settings
from ledger.charges import ChargeCommitter
from ledger.completions import CompletionCommitter
from ledger.connection import Connection
from ledger.ids import UUID7Source
from ledger.outcomes import OutcomeCommitter
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.decline_memory import DeclineMemory
from switch.core.numbers import RRNSource, StanAllocator, StanBlock
from switch.core.response_codes import load_response_codes
from switch.iso8583 import load_dialect
from switch.link.events import Late, LinkEvent, Unknown
from switch.link.group import LinkGroup
from switch.metrics import register, register_operations
from switch.pipeline.assembly import Pipeline
from switch.pipeline.outside import Outside
from tests.support.cold_path import make_scene
from tests.support.operations import charged
from tests.support.pipeline import NOW_US, Attempts, Handovers, Peer, Replays, charge

NOW_S = NOW_US // 1_000_000
DIALECT = load_dialect("net87b")


async def never(_turn: int, _reached: Callable[[], None]) -> trio.abc.Stream:
    """No connection is made here."""
    raise OSError


async def no_session() -> Connection:
    """No session is opened here."""
    raise OSError


def make_carrier(name: str, settings: Settings) -> Carrier:
    """A network whose links are down and which has a hundred STANs."""
    stans = StanAllocator()
    stans.add(StanBlock(first=1, count=100, floor_s=NOW_S, ceiling_s=NOW_S + 60))

    def ignore(_events: list[LinkEvent]) -> None:
        """Hear nothing."""

    group = LinkGroup(
        name,
        settings.networks[name],
        DIALECT,
        never,
        on_events=ignore,
        next_stan=lambda: stans.next(NOW_S),
        lease_holds=lambda: True,
    )
    return Carrier(settings.networks[name], DIALECT, group, stans)


@pytest.fixture
def outside() -> Outside:
    """Two networks and committers that have no session."""
    settings = Settings()
    limits = Ledger()
    return Outside(
        workers=[],
        carriers={name: make_carrier(name, settings) for name in settings.networks},
        find_replays=Replays().find,
        load_acceptors=lambda _: Replays().find([]),  # type: ignore[arg-type,return-value]
        charges=ChargeCommitter(no_session, "s", 1, limits=limits, charges_per_intent_max=10),
        outcomes=OutcomeCommitter(no_session, "s", 1, limits=limits),
        held_outcomes=OutcomeCommitter(no_session, "s", 1, limits=limits),
        completions=CompletionCommitter(no_session, "s", 1, limits=limits),
        aftermath=Handovers(),
        admission=Admission(settings.switch),
        declines=DeclineMemory(16),
        find_attempts=Attempts().find,
        open_exceptions=lambda _: Replays().find([]),  # type: ignore[arg-type,return-value]
        codes=load_response_codes(),
        rrns=RRNSource(0, lambda: NOW_US),
        take_ids=UUID7Source(lambda: NOW_US, bytes).take,
        now_us=lambda: NOW_US,
        steady_us=lambda: NOW_US,
    )


class Shown:
    """A registry of the switch's series."""

    def __init__(self, outside: Outside) -> None:
        self.pipeline = Pipeline(Settings(), outside)
        self.mux = MuxCounters()
        metrics = Metrics("switch")
        register(metrics, self.pipeline, outside, self.mux, now_us=lambda: NOW_US)
        self._registry = CollectorRegistry()
        self._registry.register(metrics)

    def text(self) -> str:
        """What Prometheus gets."""
        return generate_latest(self._registry).decode()

    def value(self, name: str, **labels: str) -> float | None:
        """One sample."""
        return self._registry.get_sample_value(f"turnout_switch_{name}", labels)


@pytest.fixture
def shown(outside: Outside) -> Shown:
    """Everything registered."""
    return Shown(outside)


def test_every_name_is_of_the_contract(shown: Shown) -> None:
    """`turnout_switch_<noun>_seconds|bytes|total|ratio`, and few enough of them."""
    samples = [line for line in shown.text().splitlines() if not line.startswith("#")]
    names = {re.split(r"[{ ]", line)[0] for line in samples}
    assert names
    for name in names:
        assert re.fullmatch(r"turnout_switch_[a-z0-9_]+_(seconds|bytes|total|ratio)", name)
    assert len(samples) < 200


def test_labels_are_names_of_our_own(shown: Shown) -> None:
    """No label holds an id, an amount, or anything a client or network says."""
    labels = set(re.findall(r'(\w+)="([^"]*)"', shown.text()))
    assert {value for name, value in labels if name == "network"} == {"vsim", "msim"}
    assert {name for name, _ in labels} == {"network", "stage", "fate", "commit"}


async def test_values_are_read_when_asked(shown: Shown, outside: Outside) -> None:
    """Nothing is copied at registration."""
    assert shown.value("charges_accepted_total") == 0
    shown.pipeline.intake.accept(Peer(), [(1, charge(1)), (2, charge(2))])  # type: ignore[arg-type,list-item]
    assert shown.value("charges_accepted_total") == 2
    assert shown.value("credits_used_ratio") == 2 / 4_096
    assert shown.value("inbox_peak_total", stage="lookup") == 2
    shown.mux.received_total = 7
    assert shown.value("mux_received_total") == 7
    vsim = outside.carriers["vsim"]
    vsim.group.counters.events[Unknown] += 3
    vsim.group.counters.events[Late] += 1
    assert shown.value("messages_total", network="vsim", fate="unknown") == 3
    assert shown.value("messages_total", network="vsim", fate="late") == 1
    assert shown.value("messages_total", network="msim", fate="unknown") == 0
    assert shown.value("links_up_ratio", network="vsim") == 0
    vsim.group.links[0].up = True
    vsim.group.links[0].window.in_flight = 512
    assert shown.value("links_up_ratio", network="vsim") == 0.5
    assert shown.value("window_used_ratio", network="vsim") == 0.25
    vsim.stans.next(NOW_S)
    assert shown.value("stans_at_hand_total", network="vsim") == 99
    outside.charges.lanes["slow"].repeats = 4
    outside.outcomes.poisoned = 1
    assert shown.value("commits_repeated_total", commit="charges_slow") == 4
    assert shown.value("rows_refused_total", commit="outcomes") == 1
    assert shown.value("rows_refused_total", commit="completions") == 0


async def test_what_follows_charges_is_shown_too() -> None:
    """Plain counters, what waits, and names by the contract."""
    scene = make_scene(lambda: NOW_US)
    metrics, registry = Metrics("switch"), CollectorRegistry()
    register_operations(metrics, scene.operations)
    registry.register(metrics)
    samples = [line for line in generate_latest(registry).decode().splitlines() if line[0] != "#"]
    names = {re.split(r"[{ ]", line)[0] for line in samples}
    for name in names:
        assert re.fullmatch(r"turnout_switch_[a-z0-9_]+_(seconds|bytes|total|ratio)", name)
    assert len(samples) < 40
    scene.order(scene.ledger.add(charged()), "refund")
    taken = registry.get_sample_value("turnout_switch_operations_orders_total")
    waits = registry.get_sample_value("turnout_switch_inbox_peak_total", {"stage": "orders"})
    undecided = registry.get_sample_value("turnout_switch_undecided_total")
    assert (taken, waits, undecided) == (1, 1, 0)
