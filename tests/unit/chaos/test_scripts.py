"""Fault scripts of a run: the simulator takes them, and they hit the message that was meant."""

from __future__ import annotations

import pytest

from chaos.schedule import NETWORKS, Fault, schedule
from chaos.scripts import script_of
from chaos.stories import OperationType
from network_sim.faults import FaultScript, parse_script

PROCESSES = ["api", "postgres", "hsm-0", "vsim", "msim", "switch-0"]
AMOUNT = 1_000_007
SALE = {0: "0200", 3: "000000", 4: f"{AMOUNT:012d}"}


def _script(message: OperationType) -> FaultScript:
    fault = Fault(
        index=7,
        at_s=1.0,
        kind="drop",
        target="msim",
        amount=AMOUNT,
        message=message,
        action={"do": "withhold"},
    )
    assert len(parse_script(script_of("vsim", [fault], seed=1), "vsim.jsonl")) == 0
    return parse_script(script_of("msim", [fault], seed=1), "msim.jsonl")


@pytest.mark.parametrize("seed", range(20))
def test_every_fault_is_one_that_the_simulator_knows(seed: int) -> None:
    """Each becomes one rule of its network, named after its place."""
    faults = schedule(seed, 300, PROCESSES)
    names = [
        rule.name
        for network in NETWORKS
        for rule in parse_script(script_of(network, faults, seed=seed), f"{network}.jsonl")
    ]
    assert sorted(names) == sorted(f"fault-{fault.index}" for fault in faults if fault.amount)


@pytest.mark.parametrize(
    ("message", "hit", "missed"),
    [
        ("charge", SALE, SALE | {3: "200000"}),
        ("charge", SALE | {0: "0100"}, SALE | {0: "0220"}),
        ("refund", SALE | {3: "200000"}, SALE),
        ("capture", SALE | {0: "0220"}, SALE | {0: "0100"}),
        ("cancel", SALE | {0: "0400"}, SALE | {0: "0600"}),
        ("cancel", SALE | {0: "0420"}, SALE | {0: "0420", 4: f"{AMOUNT + 1:012d}"}),
    ],
)
def test_a_rule_waits_for_its_message(
    message: OperationType, hit: dict[int, str], missed: dict[int, str]
) -> None:
    """Another message of the payment passes, and so does the same message of another payment."""
    script = _script(message)
    assert script.deeds(missed, 1, {}) == []
    assert len(script.deeds(hit, 1, {})) == 1


def test_a_repeat_passes() -> None:
    """A message that was hit once comes through when it is sent again."""
    script = _script("cancel")
    assert len(script.deeds(SALE | {0: "0420"}, 1, {})) == 1
    assert script.deeds(SALE | {0: "0421"}, 1, {}) == []
