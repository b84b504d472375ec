"""What messages of queues need: found for a whole batch, each in its place, each for itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import pytest
import trio
from msgspec.structs import replace

from ledger.errors import ConnectionLostError
from switch.core.messages_following import Card
from switch.operations.cards import Charge, Purpose, Unreleased
from switch.operations.equipping import Equipment, Equipping, Unequipped, Want
from switch.pipeline.anomalies import Anomalies
from tests.support.cold_path import Scene
from tests.support.operations import SILENCE, Book, authorized, charged
from tests.support.pipeline import ACCEPTOR, PAN


@attrs.define
class Cards:
    """Releases every card, unless the test says otherwise; says what it was asked for."""

    asked: list[tuple[Charge, Purpose]] = attrs.field(factory=list)
    answers: dict[int, Unreleased] = attrs.field(factory=dict)  # by place in a batch

    async def release(self, charges: Sequence[tuple[Charge, Purpose]]) -> list[Card | Unreleased]:
        """Answer in order."""
        await trio.lowlevel.checkpoint()
        self.asked += charges
        return [self.answers.get(place, Card(PAN, "3012")) for place in range(len(charges))]


@pytest.fixture
def cards() -> Cards:
    """All of them can be released."""
    return Cards()


@pytest.fixture
def flying() -> dict[str, int]:
    """Messages in flight by network."""
    return {"vsim": 0, "msim": 0}


@pytest.fixture
def equipping(scene: Scene, cards: Cards, flying: dict[str, int]) -> Equipping:
    """Over 32 slots a network, of which queues get a quarter."""
    released: Any = cards
    return Equipping(
        carriers=scene.carriers,
        cards=released,
        read_views=scene.ledger.read_views,
        load_acceptors=scene.ledger.load_acceptors,
        in_flight=flying.__getitem__,
        anomalies=Anomalies(),
    )


def canceled(scene: Scene, number: int = 0) -> tuple[Book, Want]:
    """A hold whose cancel was not answered, and the want of the 0420 that follows."""
    book = scene.ledger.add(authorized(intent_id=b"c" * 15 + bytes([number])))
    book.settle(book.admit("cancel").letter.attempt_id, SILENCE)
    [row] = book.view.saf
    return book, Want(book.view.intent_id, row.attempt_id, "msim")


def captured(scene: Scene) -> tuple[Book, Want]:
    """A hold whose capture was not answered, and the want of its 0220."""
    book = scene.ledger.add(authorized(intent_id=b"k" * 16))
    letter = book.admit("capture").letter
    return book, Want(book.view.intent_id, letter.attempt_id, "msim")


def in_doubt(scene: Scene) -> tuple[Book, Want]:
    """A charge that was not answered, and the want of a question about it."""
    book = scene.ledger.add(Book(intent_id=b"d" * 16))
    attempt = book.charge(mti="0200")
    book.settle(attempt.attempt_id, SILENCE)
    return book, Want(book.view.intent_id, attempt.attempt_id, "msim", inquiry=True)


def held_slots(scene: Scene) -> int:
    """Slots in use on the network of all wants."""
    return scene.groups["msim"].window.in_flight


async def test_queues_get_a_share_of_the_window(
    scene: Scene, equipping: Equipping, flying: dict[str, int]
) -> None:
    """Less what is in flight already, never less than nothing, and nothing without a link."""
    assert equipping.room("msim") == 8
    flying["msim"] = 3
    assert (equipping.room("msim"), equipping.room("vsim")) == (5, 8)
    flying["msim"] = 9
    assert equipping.room("msim") == 0
    scene.groups["vsim"].up_count = 0
    assert equipping.room("vsim") == 0


async def test_each_want_gets_its_letter_card_and_slot(
    scene: Scene, equipping: Equipping, cards: Cards
) -> None:
    """In order; the HSM is told what for, and that it is the card of the charge."""
    (one, cancel), (two, capture), (three, question) = (
        canceled(scene),
        captured(scene),
        in_doubt(scene),
    )
    equipped = await equipping.equip([cancel, capture, question])
    assert all(isinstance(each, Equipment) for each in equipped)
    letters = [each.letter for each in equipped if isinstance(each, Equipment)]
    assert [letter and letter.attempt_id for letter in letters] == [
        cancel.attempt_id,
        capture.attempt_id,
        None,
    ]
    charges = [book.view.transactions[0].transaction_id for book in (one, two, three)]
    intents = [book.view.intent_id for book in (one, two, three)]
    assert [charge for charge, _ in cards.asked] == list(zip(intents, charges, strict=True))
    assert [purpose for _, purpose in cards.asked] == ["reversal", "capture", "inquiry"]
    for each in equipped:
        assert isinstance(each, Equipment)
        assert (each.network, each.acceptor, each.card) == ("msim", ACCEPTOR, Card(PAN, "3012"))
    assert held_slots(scene) == 3


async def test_what_is_not_used_is_given_back(scene: Scene, equipping: Equipping) -> None:
    """Once."""
    _, want = canceled(scene)
    [equipment] = await equipping.equip([want])
    assert isinstance(equipment, Equipment)
    equipping.release(equipment)
    assert held_slots(scene) == 0


def no_intent(scene: Scene, book: Book) -> None:
    """The ledger does not know the intent."""
    del scene.ledger.books[book.view.intent_id]


def no_merchant(_scene: Scene, book: Book) -> None:
    """Nor its merchant."""
    book.view = replace(book.view, merchant_id=b"?" * 16)


def no_attempt(_scene: Scene, book: Book) -> None:
    """Nor the attempt."""
    book.view = replace(book.view, attempts=book.view.attempts[:1])


def no_original(_scene: Scene, book: Book) -> None:
    """Nor what the attempt follows."""
    follows = [attempt for attempt in book.view.attempts if attempt.kind != "request"]
    book.view = replace(book.view, attempts=follows)


@pytest.mark.parametrize("lose", [no_intent, no_merchant, no_attempt, no_original])
async def test_a_row_that_makes_no_sense_is_at_fault_alone(
    lose: Any, scene: Scene, equipping: Equipping, cards: Cards
) -> None:
    """No card is asked for it, no slot held; its neighbors on both sides go on."""
    wants = [canceled(scene, number)[1] for number in range(3)]
    lose(scene, scene.ledger.books[wants[1].intent_id])
    before, fault, after = await equipping.equip(wants)
    assert fault == "faulty"
    assert (len(cards.asked), held_slots(scene)) == (2, 2)
    for want, each in zip((wants[0], wants[2]), (before, after), strict=True):
        assert isinstance(each, Equipment)
        assert each.letter is not None
        assert each.letter.attempt_id == want.attempt_id


@pytest.mark.parametrize(
    ("answer", "verdict"),
    [
        ("unavailable", "later"),
        ("card_shredded", "faulty"),
        ("card_undecryptable", "faulty"),
        ("absent", "faulty"),
    ],
)
async def test_a_card_that_is_not_released_keeps_one_message_back(
    answer: Unreleased, verdict: Unequipped, scene: Scene, equipping: Equipping, cards: Cards
) -> None:
    """An HSM that is away comes back; a card that it refuses will be refused again."""
    wants = [canceled(scene, number)[1] for number in range(2)]
    cards.answers = {0: answer}
    first, second = await equipping.equip(wants)
    assert first == verdict
    assert isinstance(second, Equipment)
    assert held_slots(scene) == 1


async def test_without_a_slot_a_message_waits(scene: Scene, equipping: Equipping) -> None:
    """Live traffic may have taken the window since there was room."""
    wants = [canceled(scene, number)[1] for number in range(2)]
    scene.groups["msim"].window.size = 1
    first, second = await equipping.equip(wants)
    assert isinstance(first, Equipment)
    assert second == "later"


async def test_a_ledger_that_is_away_leaves_nothing_held(
    scene: Scene, equipping: Equipping, cards: Cards
) -> None:
    """The round ends, and the next one begins anew."""
    _, want = canceled(scene)
    scene.ledger.error = ConnectionLostError("gone")
    with pytest.raises(ConnectionLostError):
        await equipping.equip([want])
    assert (cards.asked, held_slots(scene)) == ([], 0)


async def test_a_refund_needs_the_card_of_the_charge_it_gives_back(
    scene: Scene, equipping: Equipping, cards: Cards
) -> None:
    """The refund has none of its own."""
    book = scene.ledger.add(charged(intent_id=b"p" * 16))
    letter = book.admit("refund", 300).letter
    want = Want(book.view.intent_id, letter.attempt_id, "msim", inquiry=True)
    await equipping.equip([want])
    charge = book.view.transactions[0].transaction_id
    assert cards.asked == [((book.view.intent_id, charge), "inquiry")]
