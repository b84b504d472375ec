"""What `turnout chaos` prints."""

from __future__ import annotations

import attrs
from msgspec.structs import replace

from chaos.agreement import Verdict
from chaos.audited import Audited, Checked
from chaos.booked import Booked
from chaos.commands import summary
from chaos.records import Ledger, Merchant
from chaos.run import Order, Run, Witnesses, processes_of
from chaos.streamed import Streamed

GOOD = Verdict(
    payments=3, unresolved=(), lost=(), duplicated=(), disagree=(), reasons={}, manual=()
)
SAYING = {"payment": "pi_1", "api": "absent", "ledger": "absent", "network": "0200 00 +900"}
STREAMED = Streamed(9, 9, missing=0, repeated=0, strange=0, different=0)
AUDITED = Audited(ok=True, checked=Checked(9))
BOOKED = Booked(4, (), ())
FAULT = {"at_s": 2.0, "kind": "kill", "target": "api", "in_flight": 7}


def _run(
    verdict: Verdict,
    streamed: Streamed = STREAMED,
    audited: Audited = AUDITED,
    booked: Booked = BOOKED,
) -> Run:
    nobody = Witnesses(
        merchant=Merchant([], [], {}, []),
        ledger=Ledger([], [], []),
        books=[],
        streamed=streamed,
        audited=audited,
        booked=booked,
    )
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
        (
            "stream",
            {
                "records": 9,
                "versions": 9,
                "missing": 0,
                "repeated": 0,
                "strange": 0,
                "different": 0,
            },
        ),
        ("audit", {"events": 9, "findings": 0}),
        ("postings", {"rows": 4, "different": 0}),
    ]
    assert summary(document).splitlines() == [
        "seed 5: 3 charges, 1 faults",
        "0 unresolved, 0 lost, 0 duplicated, 0 disagree",
        (
            "stream: 9 records, 9 versions, 0 missing, 0 repeated, 0 strange, 0 different; "
            "9 audited, 0 findings; 4 postings, 0 different"
        ),
    ]
    assert GOOD.holds
    assert _run(GOOD).holds


def test_what_is_wrong_is_counted_and_named() -> None:
    """Any one of them makes a run fail."""
    for name in ("unresolved", "lost", "duplicated"):
        verdict = attrs.evolve(GOOD, disagree=(SAYING,), **{name: ("pi_1",)})
        document = _run(verdict).document()
        assert document[name] == 1
        assert document["disagree"] == [SAYING]
        assert not verdict.holds
    assert not attrs.evolve(GOOD, disagree=(SAYING,)).holds


def test_a_stream_an_audit_log_or_books_that_do_not_hold_fail_the_run() -> None:
    """However well the three witnesses agree."""
    assert not _run(GOOD, streamed=replace(STREAMED, repeated=1)).holds
    assert not _run(GOOD, audited=replace(AUDITED, ok=False)).holds
    assert not _run(GOOD, booked=replace(BOOKED, payments=("pi",))).holds
    assert not _run(GOOD, booked=replace(BOOKED, accounts=("a",))).holds


def test_every_process_of_a_stack_is_in_danger() -> None:
    """As `endpoints.json` names them."""
    assert processes_of(2) == [
        *("api", "postgres", "relay", "audit", "postings"),
        *("hsm-0", "vsim", "msim", "switch-0", "switch-1"),
    ]
