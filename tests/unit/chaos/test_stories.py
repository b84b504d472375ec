"""The payments of a seed: the same each time, and of every kind."""

from __future__ import annotations

from collections import Counter

import pytest

from chaos.stories import AMOUNT_MAX, AMOUNT_MIN, OperationType, Way, marked_story, story

MANY = 2_000


def test_a_seed_and_a_number_say_it_all() -> None:
    """The same payment each time; another for another number or seed."""
    assert story(1, 7) == story(1, 7)
    assert story(1, 7) != story(1, 8)
    assert story(1, 7) != story(2, 7)


def test_the_load_has_everything() -> None:
    """Both networks and methods, every operation, in every way, several at once."""
    stories = [story(1, number) for number in range(MANY)]
    operations = [each for told in stories for stage in told.stages for each in stage]
    assert Counter(told.network for told in stories).keys() == {"vsim", "msim"}
    assert {(told.network, told.method) for told in stories} == {
        ("vsim", "automatic"),
        ("msim", "automatic"),
        ("msim", "manual"),
    }
    ways = {(each.type, each.way) for each in operations}
    assert ways == {
        (kind, way) for kind in ("charge", "capture", "cancel", "refund") for way in Way
    }
    assert any(not each.final for each in operations)
    assert any(len(stage) > 1 for told in stories for stage in told.stages)
    assert 0 < sum(told.impatient for told in stories) < MANY / 10


def test_a_story_is_possible() -> None:
    """It begins with one charge, captures no more than is held, and only what is held."""
    for number in range(MANY):
        told = story(3, number)
        assert [each.type for each in told.stages[0]] == ["charge"]
        assert AMOUNT_MIN <= told.amount <= AMOUNT_MAX
        later = [each for stage in told.stages[1:] for each in stage]
        kinds = {each.type for each in later}
        assert told.method == "manual" or not kinds & {"capture", "cancel"}
        assert not {"capture", "cancel"} <= kinds
        assert sum(each.amount for each in later if each.type == "capture") <= told.amount
        for each in [*told.stages[0], *later]:
            assert (each.cut_s > 0) is (each.way is Way.LOST)


@pytest.mark.parametrize("message", ["charge", "capture", "cancel", "refund"])
def test_a_marked_payment_sends_its_message_with_its_amount(message: OperationType) -> None:
    """The last thing it asks for is the message that a fault waits for."""
    told = marked_story(1, 90_000_000, network="msim", amount=1_000_003, message=message)
    (last,) = told.stages[-1]
    assert last.type == message
    assert told.amount == 1_000_003
    assert last.amount in {0, 1_000_003}
    assert told.method == {"capture": "manual", "cancel": "manual"}.get(message, told.method)
    assert told.method == "automatic" or message != "refund"
