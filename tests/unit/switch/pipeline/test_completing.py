"""Charges that are captured by a message of their own, as soon as they are approved."""

from __future__ import annotations

import pytest

from switch.core.settlements import HELD
from switch.link.events import Answered, Late, NotSent, Unknown
from switch.pipeline.completing import ACKNOWLEDGMENTS_MAX, Completion
from switch.pipeline.payment import Payment, PipelineCounts
from tests.support.hearing import DIALECT, KEY, Scene, answer
from tests.support.pipeline import NOW_US, PAN


async def approved(scene: Scene, number: int = 1, **changes: str) -> Completion:
    """A charge that was approved on the dual-message network; its completion, on its way."""
    payment = scene.sent(number, network="msim")
    await scene.settle(Answered(payment, answer(payment, **changes), 0), network="msim")
    (_, _, completion) = scene.groups["msim"].sent[-1]
    assert isinstance(completion, Completion)
    return completion


def acknowledged(completion: Completion, code: str = "00", **changes: str) -> dict[int, str]:
    """The 0230 to a completion, with changes by `de_N`."""
    fields = {de: completion.fields[de] for de in (3, 4, 7, 11, 32, 37, 41, 42, 49)}
    fields |= {0: "0230", 39: code}
    return fields | {int(name[3:]): value for name, value in changes.items()}


async def test_a_completion_is_recorded_with_the_charge_and_leaves_with_the_commit(
    scene: Scene, counts: PipelineCounts
) -> None:
    """Same RRN, numbers of its own, DE 38 and DE 90 of the authorization, no CVC."""
    payment = scene.sent(1, network="msim")
    scene.hear(Answered(payment, answer(payment), 0), network="msim")
    assert (scene.groups["msim"].sent, payment.card) == ([], None)
    await scene.settle(network="msim")
    (row,) = scene.committer.rows
    assert row.completion is not None
    ((key, frame, completion),) = scene.groups["msim"].sent
    fields = DIALECT.decode(frame)
    record = payment.record
    assert record is not None
    assert (fields[0], fields[2], fields[4], fields[38]) == (
        "0220",
        PAN,
        "000000002499",
        "A1B2C3",
    )
    assert (fields[11], fields[7]) == (row.completion.stan, row.completion.de7)
    assert fields[37] == record.rrn
    assert fields[90].startswith(f"0100{record.stan}{record.de7}")
    assert 48 not in fields
    assert completion.key == key
    assert (row.completion.attempt_id, row.completion.due_at_us) == (
        completion.record.attempt_id,
        NOW_US + 4_000_000,
    )
    assert PAN not in repr(completion.fields)
    assert (completion.frame, counts.completions_total) == (b"", 1)


async def test_what_is_to_be_captured_later_is_not_completed(scene: Scene) -> None:
    """Nor is what a single message has captured."""
    later = scene.sent(1, network="msim", settlements=HELD)
    await scene.settle(Answered(later, answer(later), 0), network="msim")
    single = scene.sent(2)
    await scene.settle(Answered(single, answer(single), 0))
    assert [row.completion for row in scene.committer.rows] == [None, None]
    assert (scene.groups["msim"].sent, scene.groups["vsim"].sent) == ([], [])


async def test_no_completion_leaves_for_a_charge_that_somebody_else_has_decided(
    scene: Scene,
) -> None:
    """The row was not written, so neither was the completion's."""
    scene.committer.moved_on = {1}
    payment = scene.sent(1, network="msim")
    await scene.settle(Answered(payment, answer(payment), 0), network="msim")
    assert scene.groups["msim"].sent == []


async def test_a_completion_of_a_part_is_for_that_part(scene: Scene) -> None:
    """DE 4 is what was approved."""
    payment = scene.sent(1, network="msim")
    payment.allow_partial = True
    fields = answer(payment, "10", de_4="000000000600")
    await scene.settle(Answered(payment, fields, 0), network="msim")
    ((_, frame, _),) = scene.groups["msim"].sent
    assert DIALECT.decode(frame)[4] == "000000000600"


async def test_without_a_slot_the_completion_is_left_to_its_queue(
    scene: Scene, counts: PipelineCounts
) -> None:
    """It is recorded there, counted as sent once, and repeated from there."""
    payment = scene.sent(1, network="msim")
    scene.groups["msim"].window.size = 0
    await scene.settle(Answered(payment, answer(payment), 0), network="msim")
    assert (scene.groups["msim"].sent, counts.completions_deferred_total) == ([], 1)
    assert scene.statuses == {1: "succeeded"}


@pytest.mark.parametrize("obstacle", ["numbers", "card"])
async def test_an_approval_that_cannot_be_completed_at_once_is_handed_over(
    obstacle: str, scene: Scene
) -> None:
    """The decision under the intent's lock puts the completion into its queue."""
    payment = scene.sent(1, network="msim")
    if obstacle == "numbers":
        scene.aftermath.out_of_numbers = True
    else:
        payment.card = None
    await scene.settle(Answered(payment, answer(payment), 0), network="msim")
    assert (scene.results(), scene.peer.replies) == ([], {})
    (told,) = scene.aftermath.told
    assert told.finding.result == "approved"


async def test_acknowledgments_are_recorded_in_batches(scene: Scene) -> None:
    """Each once, also where the network said so twice."""
    first, second = await approved(scene, 1), await approved(scene, 2)
    scene.hear(
        Answered(first, acknowledged(first), 0),
        Answered(second, acknowledged(second, de_15="0116"), 0),
        Late(first, KEY, acknowledged(first), 0),
        network="msim",
    )
    await scene.acknowledge()
    (batch,) = scene.completions.batches
    assert [(row.attempt_id, row.response_code, row.actor, row.settles_on) for row in batch] == [
        (first.record.attempt_id, "00", "network:msim", ""),
        (second.record.attempt_id, "00", "network:msim", "2027-01-16"),
    ]


async def test_94_is_an_acknowledgment(scene: Scene) -> None:
    """The network has had it before."""
    completion = await approved(scene)
    scene.hear(Answered(completion, acknowledged(completion, "94"), 0), network="msim")
    await scene.acknowledge()
    assert len(scene.completions.batches) == 1


@pytest.mark.parametrize("code", ["91", "96", "90", "09"])
async def test_not_now_is_left_to_the_queue(code: str, scene: Scene) -> None:
    """Nothing is recorded; it is repeated when it is due."""
    completion = await approved(scene)
    scene.hear(Answered(completion, acknowledged(completion, code), 0), network="msim")
    assert (len(scene.acknowledgments), scene.aftermath.told) == (0, [])


async def test_silence_is_left_to_the_queue(scene: Scene) -> None:
    """Unknown or unsent alike."""
    completion = await approved(scene)
    scene.hear(Unknown(completion, "timeout"), NotSent(completion, "no_link"), network="msim")
    assert (len(scene.acknowledgments), scene.aftermath.told) == (0, [])
    assert isinstance(completion, Completion)
    assert not isinstance(completion, Payment)


@pytest.mark.parametrize(("code", "result"), [("30", "poison"), ("25", "nothing_found")])
async def test_anything_else_is_handed_over(code: str, result: str, scene: Scene) -> None:
    """It is more than an acknowledgment."""
    completion = await approved(scene)
    scene.hear(Answered(completion, acknowledged(completion, code), 0), network="msim")
    (told,) = scene.aftermath.told
    assert (told.attempt_id, told.finding.result) == (completion.record.attempt_id, result)
    assert len(scene.acknowledgments) == 0


async def test_a_wrong_echo_acknowledges_nothing(scene: Scene) -> None:
    """The links listen on for a better answer."""
    completion = await approved(scene)
    bad = acknowledged(completion, de_4="000000002498")
    scene.hear(Answered(completion, bad, 0), network="msim")
    assert (len(scene.acknowledgments), scene.aftermath.told) == (0, [])
    assert scene.groups["msim"].doubted == [(bad, completion)]


async def test_acknowledgments_beyond_what_may_wait_are_heard_again(scene: Scene) -> None:
    """The inbox is never overfilled: the advice is repeated, and acknowledged again."""
    completion = await approved(scene)
    events = [Answered(completion, acknowledged(completion), 0)] * (ACKNOWLEDGMENTS_MAX + 2)
    scene.hear(*events, network="msim")
    assert len(scene.acknowledgments) == ACKNOWLEDGMENTS_MAX
