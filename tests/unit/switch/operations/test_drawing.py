"""Numbers for messages that a decision may call for: drawn at once, for one network, once."""

from __future__ import annotations

import pytest

from switch.core.numbers import NumbersExhaustedError
from switch.operations.drawing import no_numbers
from tests.support.cold_path import Scene
from tests.support.operations import SECOND_US

ATTEMPT = b"a" * 16


async def test_a_spare_has_numbers_of_its_network(scene: Scene) -> None:
    """Its acquirer id, a STAN, the time of transmission, an RRN, and how long it may be open."""
    spare = scene.operations.drawing.spare("vsim", ATTEMPT)
    carrier = scene.carriers["vsim"]
    assert (spare.attempt_id, spare.network, spare.acquirer_id) == (ATTEMPT, "vsim", "400001")
    assert (spare.stan, len(spare.de7), len(spare.rrn)) == ("000001", 10, 12)
    limits = carrier.settings
    open_s = limits.max_send_age_s + limits.response_deadline_s
    assert spare.deadline_at_us == scene.now_us() + int(open_s * SECOND_US)


async def test_no_two_spares_share_a_number(scene: Scene) -> None:
    """STANs count up by network; RRNs are one for all networks."""
    drawing = scene.operations.drawing
    spares = [drawing.spare(network, ATTEMPT) for network in ("vsim", "vsim", "msim")]
    assert [spare.stan for spare in spares] == ["000001", "000002", "000001"]
    assert len({spare.rrn for spare in spares}) == 3


async def test_a_repeat_may_have_a_time_of_its_own(scene: Scene) -> None:
    """It takes a STAN along, so that no two messages share STAN and time."""
    drawing = scene.operations.drawing
    spare = drawing.spare("vsim", ATTEMPT)
    assert drawing.de7("vsim") == spare.de7
    assert drawing.spare("vsim", ATTEMPT).stan == "000003"


async def test_without_stans_nothing_is_drawn(scene: Scene) -> None:
    """The other network has its own."""
    scene.carriers["vsim"].stans.forget_expired(10**11)
    drawing = scene.operations.drawing
    with pytest.raises(NumbersExhaustedError):
        drawing.spare("vsim", ATTEMPT)
    with pytest.raises(NumbersExhaustedError):
        drawing.de7("vsim")
    assert drawing.spare("msim", ATTEMPT).stan == "000001"


def test_a_decision_without_a_message_gets_no_numbers() -> None:
    """Nothing that could go on a wire by mistake."""
    spare = no_numbers(ATTEMPT)
    assert spare.attempt_id == ATTEMPT
    assert {spare.network, spare.acquirer_id, spare.stan, spare.de7, spare.rrn} == {""}
    assert spare.deadline_at_us == 0
