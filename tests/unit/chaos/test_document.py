"""What `turnout chaos` prints."""

from __future__ import annotations

import attrs

from chaos.agreement import Verdict
from chaos.commands import summary
from chaos.records import Ledger, Merchant
from chaos.run import Order, Run, Witnesses, processes_of

GOOD = Verdict(
    payments=3, unresolved=(), lost=(), duplicated=(), disagree=(), reasons={}, manual=()
)
SAYING = {"payment": "pi_1", "api": "absent", "ledger": "absent", "network": "0200 00 +900"}
FAULT = {"at_s": 2.0, "kind": "kill", "target": "api", "in_flight": 7}


def _run(verdict: Verdict) -> Run:
    nobody = Witnesses(merchant=Merchant([], [], {}, []), ledger=Ledger([], [], []), books=[])
    order = Order(seed=5, duration_s=60)
    return Run(order=order, charges=3, faults=[FAULT], witnesses=nobody, verdict=verdict)


def test_a_good_run_has_the_members_of_the_contract() -> None:
    """In this order, and nothing else."""
    document = _run(GOOD).document()
    assert list(document.items()) == [
        ("seed", 5),
        ("charges", 3),
        ("faults", [FAULT]),
        ("unresolved", 0),
        ("lost", 0),
        ("duplicated", 0),
        ("disagree", []),
    ]
    assert summary(document).splitlines() == [
        "seed 5: 3 charges, 1 faults",
        "0 unresolved, 0 lost, 0 duplicated, 0 disagree",
    ]
    assert GOOD.holds


def test_what_is_wrong_is_counted_and_named() -> None:
    """Any one of them makes a run fail."""
    for name in ("unresolved", "lost", "duplicated"):
        verdict = attrs.evolve(GOOD, disagree=(SAYING,), **{name: ("pi_1",)})
        document = _run(verdict).document()
        assert document[name] == 1
        assert document["disagree"] == [SAYING]
        assert not verdict.holds
    assert not attrs.evolve(GOOD, disagree=(SAYING,)).holds


def test_every_process_of_a_stack_is_in_danger() -> None:
    """As `endpoints.json` names them."""
    assert processes_of(2) == ["api", "postgres", "hsm-0", "vsim", "msim", "switch-0", "switch-1"]
