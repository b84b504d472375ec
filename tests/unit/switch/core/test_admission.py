"""Admission keeps every inner inbox bounded."""

from __future__ import annotations

from chassis.settings import Switch
from switch.core.admission import Admission

SMALL = Switch(credits_max=4, merchant_credits_max=3, network_share=0.5)
ALICE, BOB = b"a" * 16, b"b" * 16


def test_credits_end_and_come_back() -> None:
    """Over the limit is refused before any work; a reply frees a credit."""
    admission = Admission(SMALL)
    assert [admission.enter(ALICE) for _ in range(3)] == ["", "", ""]
    assert admission.enter(BOB) == ""
    assert admission.enter(BOB) == "overloaded"
    admission.leave(ALICE)
    assert admission.enter(BOB) == ""
    assert (admission.inside, admission.peak) == (4, 4)


def test_one_merchant_cannot_take_every_credit() -> None:
    """A merchant has a limit of its own."""
    admission = Admission(SMALL)
    assert [admission.enter(ALICE) for _ in range(4)] == ["", "", "", "rate_limited"]
    assert admission.inside == 3


def test_a_silent_network_holds_at_most_its_share() -> None:
    """Half the credits stay for the other networks."""
    admission = Admission(SMALL)
    assert [admission.enter_network("vsim") for _ in range(3)] == [True, True, False]
    assert admission.enter_network("msim")
    admission.enter(ALICE)
    admission.leave(ALICE, "vsim")
    assert admission.enter_network("vsim")


def test_closed_means_closed() -> None:
    """While draining nothing more is admitted."""
    admission = Admission(SMALL)
    admission.closed = True
    assert admission.enter(ALICE) == "overloaded"


def test_full_disks_admit_nothing_and_let_the_rest_leave() -> None:
    """What is inside has its room; when there is room again, it goes on."""
    admission = Admission(SMALL)
    assert admission.enter(ALICE) == ""
    admission.heed_storage(is_full=True)
    assert admission.enter(ALICE) == "insufficient_storage"
    admission.leave(ALICE)
    admission.heed_storage(is_full=False)
    assert admission.enter(ALICE) == ""
    assert admission.inside == 1


def test_a_stream_far_behind_admits_nothing() -> None:
    """As in any overload; what is inside is finished, and then it goes on."""
    admission = Admission(SMALL)
    assert admission.enter(ALICE) == ""
    admission.heed_stream(is_behind=True)
    assert admission.enter(ALICE) == "overloaded"
    admission.leave(ALICE)
    admission.heed_stream(is_behind=False)
    assert admission.enter(ALICE) == ""
    assert admission.inside == 1


def test_a_silent_network_leaves_its_merchants_room_for_the_others() -> None:
    """By default: a merchant that waits for one network's whole share is still admitted."""
    admission = Admission(Switch())
    waiting = 0
    while admission.enter(ALICE) == "" and admission.enter_network("vsim"):
        waiting += 1
    assert waiting == admission.credits_max // 2
    assert admission.enter(ALICE) == ""
    assert admission.enter_network("msim")
