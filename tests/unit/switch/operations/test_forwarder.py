"""Store-and-forward: counted before it leaves, sent until acknowledged, and nobody waits for it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from hsm_sim.wire import CardsReleased, ReleaseRefused
from ledger.errors import RetryableError
from switch.core.forwarding import SAVED_S
from switch.link.events import Unknown
from tests.support.cold_path import Scene, Vault, running
from tests.support.operations import SILENCE, Book, authorized


def queue(scene: Scene, number: int = 0) -> Book:
    """Put a 0420 into the queue of a running scene, by a cancel that was not answered."""
    book = authorized(intent_id=number.to_bytes(16))
    book.now_us = scene.now_us()
    admitted = book.admit("cancel")
    book.settle(admitted.letter.attempt_id, SILENCE)
    assert [(row.kind, row.repeats) for row in book.view.saf] == [("request", 0)]
    scene.ledger.add(book)
    scene.operations.wake()
    return book


def resolve(book: Book, word: str) -> None:
    """Have an operator say what `turnout saf` lets them say."""
    [row] = book.view.saf
    told = replace(row, manual=False, resolution=word, resolved_by="ada", due_at_us=book.now_us)
    book.view = replace(book.view, saf=[told])


async def test_an_advice_is_counted_before_it_leaves(scene: Scene) -> None:
    """A crash after the count costs a repeat's MTI; one before it, nothing."""
    book = queue(scene)
    await scene.settle_down()
    assert scene.ledger.counted == [[book.view.saf[0].attempt_id]]
    assert book.view.saf[0].repeats == 1
    assert [message[0] for message in scene.messages()] == ["0420"]
    assert scene.groups["msim"].repeats == [False]
    assert scene.vault.purposes == ["reversal"]


async def test_a_repeat_is_the_same_but_for_its_mti(scene: Scene) -> None:
    """Every element, until somebody acknowledges it."""
    book = queue(scene)
    await scene.settle_down()
    first, _ = await scene.silence()
    assert book.view.saf[0].repeats == 1
    while not scene.messages():
        await trio.sleep(0.05)
    repeat = await scene.answer("00")
    assert (first.pop(0), repeat.pop(0)) == ("0420", "0421")
    assert repeat == first
    assert scene.groups["msim"].repeats == [False, True]
    assert (book.view.saf, book.view.status) == ([], "canceled")
    counts = scene.operations.counts
    assert counts.advices_sent_total == 2
    assert (counts.advices_repeated_total, counts.advices_ended_total) == (1, 1)


async def test_waits_grow_until_somebody_is_told_and_go_on_hourly(scene: Scene) -> None:
    """RV03: never given up. The deadline, then 5, 10, 20, 40 and 80 s, then an hour and so."""
    queue(scene)
    sent_at: list[float] = []
    for _ in range(7):
        while not scene.messages():
            await trio.sleep(0.25)
        sent_at.append(trio.current_time())
        await scene.silence()
    waits = [later - earlier for earlier, later in pairwise(sent_at)]
    deadline = scene.carriers["msim"].settings.response_deadline_s
    expected = [5, 10, 20, 40, 80, 3_900]
    assert waits == pytest.approx([deadline + each for each in expected], abs=0.5)
    assert scene.operations.counts.advices_alarming_total == 1


async def test_not_now_is_no_acknowledgment(scene: Scene) -> None:
    """91: the row stays."""
    book = queue(scene)
    await scene.settle_down()
    await scene.answer("91")
    assert len(book.view.saf) == 1
    await trio.sleep(8)
    assert [message[0] for message in scene.messages()] == ["0421"]


async def test_an_advice_that_never_left_is_sent_again(scene: Scene) -> None:
    """Twice refused by the links."""
    book = queue(scene)
    await scene.settle_down()
    await scene.not_sent("link_lost")
    await scene.not_sent("link_lost")
    assert (scene.messages(), len(book.view.saf)) == ([], 1)
    await trio.sleep(8)
    assert len(scene.messages()) == 1


async def test_a_refused_advice_is_put_aside_for_a_person(scene: Scene) -> None:
    """RV08: the network finds it malformed; no repeat will fare better."""
    book = queue(scene)
    await scene.settle_down()
    await scene.answer("30")
    assert book.view.saf[0].manual
    assert book.exception_kinds == ["advice_rejected"]
    assert scene.operations.counts.advices_rejected_total == 1
    assert scene.operations.counts.exceptions_total == 1
    await trio.sleep(1_000)
    assert scene.messages() == []


async def test_a_message_that_nobody_can_encode_is_put_aside(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault of ours, said once and not hourly."""
    carrier = scene.carriers["msim"]
    honest = carrier.encode

    def encode(fields: dict[int, str]) -> bytes:
        return honest(fields | {3: "too long for DE 3"})

    monkeypatch.setattr(type(carrier), "encode", staticmethod(encode))
    book = queue(scene)
    await scene.settle_down()
    assert book.view.saf[0].manual
    assert book.exception_kinds == ["advice_rejected"]
    assert scene.groups["msim"].window.in_flight == 0
    assert scene.operations.counts.errors_total == 1


async def test_poison_blocks_no_other_payment(scene: Scene) -> None:
    """The others leave in the same round."""
    queue(scene, 0)
    other = queue(scene, 1)
    await scene.settle_down()
    await scene.answer("30")
    await scene.answer("00")
    assert (other.view.saf, other.view.status) == ([], "canceled")


@pytest.mark.parametrize(
    ("word", "status"), [("acknowledged", "canceled"), ("refused", "authorized")]
)
async def test_an_operators_word_counts_as_the_networks(
    word: str, status: str, scene: Scene
) -> None:
    """`turnout saf`: the network said so by other means."""
    book = queue(scene)
    await scene.settle_down()
    await scene.answer("30")
    resolve(book, word)
    scene.operations.wake()
    await scene.settle_down()
    assert (book.view.saf, book.view.status, scene.messages()) == ([], status, [])
    assert scene.operations.counts.advices_ended_total == 1


async def test_an_operators_word_is_heard_while_the_network_is_down(scene: Scene) -> None:
    """Nothing is sent for it."""
    book = queue(scene)
    scene.groups["msim"].up_count = 0
    resolve(book, "acknowledged")
    scene.operations.wake()
    await scene.settle_down()
    assert (book.view.saf, scene.messages()) == ([], [])


async def test_an_operators_word_that_could_not_be_decided_on_is_told_again(scene: Scene) -> None:
    """At each round; nothing has ended until the decision stands."""
    book = queue(scene)
    await scene.settle_down()
    await scene.answer("30")
    resolve(book, "acknowledged")
    scene.ledger.at_fault = {book.view.intent_id}
    await trio.sleep(1)
    counts = scene.operations.counts
    assert (len(book.view.saf), counts.advices_ended_total) == (1, 0)
    scene.ledger.at_fault = set()
    await trio.sleep(0.3)
    assert (book.view.saf, counts.advices_ended_total) == ([], 1)


async def test_an_operators_word_that_is_being_decided_on_is_told_once(scene: Scene) -> None:
    """Somebody sits on the intent; its row stays due for that long."""
    book = queue(scene)
    await scene.settle_down()
    await scene.answer("30")
    resolve(book, "acknowledged")
    scene.ledger.held = {book.view.intent_id}
    await trio.sleep(2)
    assert scene.operations.desk.undecided == 1
    scene.ledger.held = set()
    await trio.sleep(1)
    assert scene.operations.counts.advices_ended_total == 1


async def test_advices_take_a_share_of_the_window() -> None:
    """Live traffic goes first."""
    async with running(saf_window_share=0.25) as scene:
        for number in range(12):
            queue(scene, number)
        await scene.settle_down()
        assert len(scene.messages()) == 8
        for _ in range(8):
            await scene.answer("00")
        await trio.sleep(0.5)
        assert len(scene.messages()) == 4


async def test_advices_leave_at_the_drain_rate() -> None:
    """What piled up behind an outage does not come back in one wave."""
    async with running(saf_drain_per_s=20.0, saf_window_share=1.0) as scene:
        for number in range(12):
            queue(scene, number)
        await scene.settle_down()
        assert len(scene.messages()) == 4
        await trio.sleep(0.25)
        assert 4 < len(scene.messages()) <= 9
        await trio.sleep(0.25)
        assert len(scene.messages()) == 12


@pytest.mark.parametrize("per_s", [4.0, 40.0])
async def test_a_slow_rate_is_kept_up_with_however_many_wait(per_s: float) -> None:
    """Neither full looks nor a rate that is used up make it wait for the poll."""
    async with running(saf_drain_per_s=per_s, saf_window_share=1.0) as scene:
        count = scene.operations._settings.switch.queue_batch_max + int(5 * per_s)
        scene.groups["msim"].window.size = 2 * count
        for number in range(count):
            queue(scene, number)
        await trio.sleep(5)
        assert 0.9 * 5 * per_s <= len(scene.messages()) <= 5 * per_s + max(1, per_s * SAVED_S)


async def test_a_network_that_is_down_holds_no_other_back(scene: Scene) -> None:
    """Its rows are not even looked at."""
    book = queue(scene, 0)
    other = queue(scene, 1)
    scene.groups["msim"].up_count = 0
    [row] = other.view.saf
    other.view = replace(other.view, saf=[replace(row, network="vsim")])
    await trio.sleep(1)
    assert scene.messages() == []
    assert (book.view.saf[0].repeats, other.view.saf[0].repeats) == (0, 1)


async def test_an_acknowledgment_between_look_and_count_is_heard(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that is no longer there is not sent; what was held for it goes back."""

    async def count(*_args: Any) -> dict[bytes, int]:
        await trio.lowlevel.checkpoint()
        return {}

    monkeypatch.setattr(scene.operations.watches.own.forwarder, "_count_sends", count)
    queue(scene)
    await scene.settle_down()
    assert (scene.messages(), scene.groups["msim"].window.in_flight) == ([], 0)


async def test_a_count_that_fails_sends_nothing(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The slot goes back, and the next round tries again."""
    failing = True
    watch = scene.operations.watches.own
    honest = watch.forwarder._count_sends

    async def count(sends: Any) -> dict[bytes, int]:
        if failing:
            raise RetryableError("deadlock", sqlstate="40P01")
        return await honest(sends)

    monkeypatch.setattr(watch.forwarder, "_count_sends", count)
    queue(scene)
    await scene.settle_down()
    assert (scene.messages(), scene.groups["msim"].window.in_flight) == ([], 0)
    failing = False
    await trio.sleep(0.3)
    assert len(scene.messages()) == 1


async def test_what_is_at_fault_holds_nobody_back_and_gets_rarer(scene: Scene) -> None:
    """A row that the ledger or the HSM cannot make sense of: tried as if sent, with the alarm."""
    lost = queue(scene, 0)
    lost.view = replace(lost.view, merchant_id=b"?" * 16)
    fine = queue(scene, 1)
    await scene.settle_down()
    assert len(scene.messages()) == 1
    await scene.answer("00")
    assert (fine.view.saf, lost.view.saf[0].repeats) == ([], 1)
    await trio.sleep(240)
    assert (lost.view.saf[0].repeats, scene.messages()) == (6, [])
    assert scene.operations.counts.advices_alarming_total == 1
    assert scene.operations.counts.advices_sent_total == 1
    assert scene.groups["msim"].window.in_flight == 0


async def test_a_card_that_the_hsm_refuses_is_asked_for_more_and_more_rarely(scene: Scene) -> None:
    """It may hold the wrong keys today; nothing is given up for it."""
    scene.vault.reply = lambda request: CardsReleased(
        [ReleaseRefused("card_undecryptable") for _ in request.cards]
    )
    book = queue(scene)
    await trio.sleep(4)
    assert (book.view.saf[0].repeats, scene.vault.purposes) == (1, ["reversal"])
    scene.vault.reply = Vault().reply
    await trio.sleep(4)
    assert [message[0] for message in scene.messages()] == ["0421"]


async def test_an_hsm_that_is_away_is_tried_at_every_round(scene: Scene) -> None:
    """Nothing is counted meanwhile."""
    scene.vault.connected = False
    book = queue(scene)
    await trio.sleep(4)
    assert (book.view.saf[0].repeats, scene.messages()) == (0, [])
    scene.vault.connected = True
    await trio.sleep(0.3)
    assert [message[0] for message in scene.messages()] == ["0420"]


async def test_an_advice_of_a_network_that_is_gone_disturbs_nobody(scene: Scene) -> None:
    """Not even if an operator has a word for it."""
    lonely, fine = queue(scene, 0), queue(scene, 1)
    [row] = lonely.view.saf
    gone = replace(row, network="gone", resolution="acknowledged", resolved_by="ada")
    lonely.view = replace(lonely.view, saf=[gone])
    await scene.settle_down()
    await scene.answer("00")
    assert (fine.view.saf, lonely.view.saf) == ([], [gone])


async def test_more_than_a_round_takes_is_sent_in_the_next_one_at_once() -> None:
    """Not after the poll."""
    async with running(saf_drain_per_s=5_000.0, saf_window_share=1.0) as scene:
        limit = scene.operations._settings.switch.queue_batch_max
        count = limit + 8
        scene.groups["msim"].window.size = 2 * count
        for number in range(count):
            queue(scene, number)
        await trio.sleep(0.1)
        assert len(scene.messages()) == count


async def test_an_answer_for_another_payment_acknowledges_nothing(scene: Scene) -> None:
    """The echo is checked; the row stays, and the links listen on."""
    book = queue(scene)
    await scene.settle_down()
    await scene.answer("00", de_37="999999999999")
    assert len(book.view.saf) == 1
    assert len(scene.groups["msim"].doubted) == 1


async def test_a_late_acknowledgment_ends_it(scene: Scene) -> None:
    """RV02: its deadline has passed; the row is still there."""
    book = queue(scene)
    await scene.settle_down()
    sent, token = scene.take()
    scene.operations.on_event(Unknown(token, "timeout"))
    await scene.late(token, sent, "00")
    assert (book.view.saf, book.view.status) == ([], "canceled")


@pytest.mark.parametrize("step_s", [3_600, -3_600])
async def test_a_step_of_the_wall_clock_moves_no_repeat(scene: Scene, step_s: int) -> None:
    """The first wait is the deadline and five seconds at the most, whatever the wall says."""
    queue(scene)
    await scene.settle_down()
    await scene.silence()
    scene.wall.step_us = step_s * 1_000_000
    deadline_s = scene.carriers["msim"].settings.response_deadline_s
    await trio.sleep(deadline_s + 4.0)
    assert scene.messages() == []
    await trio.sleep(1.5)
    assert [message[0] for message in scene.messages()] == ["0421"]
