"""The faults of a seed: the same each time, all kinds in the end, none at the edges."""

from __future__ import annotations

from chaos.schedule import (
    BEFORE_END_S,
    FIRST_AT_S,
    MARKED_AMOUNT,
    NETWORK_KINDS,
    NETWORKS,
    PAUSE_MAX_S,
    schedule,
)

PROCESSES = ["api", "postgres", "hsm-0", "vsim", "msim", "switch-0"]
DURATION_S = 300.0


def test_a_seed_says_it_all() -> None:
    """The same seed makes the same faults whatever order the processes come in; another, others."""
    assert schedule(1, 60, PROCESSES) == schedule(1, 60, PROCESSES[::-1])
    assert schedule(1, 60, PROCESSES) != schedule(2, 60, PROCESSES)


def test_a_longer_run_begins_like_a_shorter_one() -> None:
    """What a short run found can be looked for in a long one, and the other way round."""
    short = schedule(1, 60, PROCESSES)
    assert schedule(1, DURATION_S, PROCESSES)[: len(short)] == short


def test_faults_keep_away_from_the_edges() -> None:
    """Load comes first, rest comes last, and no pause between them is long."""
    times = [fault.at_s for fault in schedule(3, DURATION_S, PROCESSES)]
    assert times == sorted(times)
    assert times[0] == FIRST_AT_S
    assert DURATION_S - BEFORE_END_S - PAUSE_MAX_S < times[-1] <= DURATION_S - BEFORE_END_S
    assert schedule(3, FIRST_AT_S, PROCESSES) == []


def test_five_minutes_see_everything_fail() -> None:
    """Each process is killed, restarted and stopped; each network does each thing."""
    done = {(fault.kind, fault.target) for fault in schedule(1, DURATION_S, PROCESSES)}
    for name in PROCESSES:
        assert {("kill", name), ("restart", name)} <= done
        assert (("stop", name) in done) is (name != "postgres")
    assert {("kill", "postgres-session"), ("end", "postgres-session"), ("clock", "clock")} <= done
    assert {(kind, network) for kind in NETWORK_KINDS for network in NETWORKS} <= done


def test_faults_of_networks_have_an_amount_of_their_own() -> None:
    """By the amount the network knows the message; what is done from outside needs none."""
    faults = schedule(5, DURATION_S, PROCESSES)
    for fault in faults:
        assert bool(fault.amount) is bool(fault.action) is (fault.kind in NETWORK_KINDS)
    amounts = [fault.amount for fault in faults if fault.amount]
    assert len(set(amounts)) == len(amounts)
    assert min(amounts) >= MARKED_AMOUNT


def test_a_single_message_network_is_asked_for_what_it_has() -> None:
    """It holds no amounts, so nothing is captured or given up there."""
    messages = {
        (fault.target, fault.message)
        for seed in range(10)
        for fault in schedule(seed, DURATION_S, PROCESSES)
        if fault.amount
    }
    assert {message for target, message in messages if target == "vsim"} == {"charge", "refund"}
    assert len([message for target, message in messages if target == "msim"]) == 4
