from __future__ import annotations

import gc
import weakref

import pytest

from switch.link.correlation import (
    Correlation,
    DuplicateKeyError,
    Slot,
    SlotError,
    Window,
    correlation_key,
)
from switch.link.events import (
    Answered,
    Duplicate,
    Elsewhere,
    Fields,
    Late,
    Unknown,
    Unmatched,
)

REQUEST: Fields = {0: "0200", 4: "000000002499", 7: "0102030405", 11: "000017", 32: "400001"}
REQUEST[37] = "A00000000017"


def _answer(request: Fields, **changed: str) -> Fields:
    fields = request | {0: request[0][:2] + "10", 39: "00"}
    return fields | {int(name[2:]): value for name, value in changed.items()}


def _numbered(number: int) -> Fields:
    return REQUEST | {11: f"{number:06d}", 37: f"A{number:011d}"}


class Bench:
    """A correlation table with one window, and messages sent through it."""

    def __init__(self, **limits: float) -> None:
        self.table = Correlation(2.0, **limits)  # type: ignore[arg-type]
        self.window = Window(0, 100)

    def send(
        self, request: Fields, now: float, token: object = None, *, repeat: bool = False
    ) -> Slot:
        """Note a message as sent."""
        self.window.in_flight += 1
        slot = Slot(self.window, repeat=repeat)
        slot.key = correlation_key(request)
        slot.token = token
        slot.frame = b"frame"
        self.table.sent(slot, now)
        return slot


@pytest.fixture
def bench() -> Bench:
    """An empty table with a deadline of two seconds."""
    return Bench()


@pytest.mark.parametrize(
    ("request_mti", "answer_mti"),
    [
        ("0100", "0110"),
        ("0200", "0210"),
        ("0201", "0210"),
        ("0220", "0230"),
        ("0400", "0410"),
        ("0420", "0430"),
        ("0421", "0430"),
        ("0600", "0610"),
    ],
)
def test_a_message_and_its_answer_share_their_key(request_mti: str, answer_mti: str) -> None:
    """The function digit and the repeat digit are folded away."""
    assert correlation_key(REQUEST | {0: request_mti}) == correlation_key(
        REQUEST | {0: answer_mti, 39: "00"}
    )


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({0: "0410"}, id="another class"),
        pytest.param({0: "0230"}, id="another function"),
        pytest.param({0: "1210"}, id="another version"),
        pytest.param({11: "000018"}, id="another STAN"),
        pytest.param({7: "0102030406"}, id="another time"),
        pytest.param({32: "400002"}, id="another acquirer"),
        pytest.param({37: "A00000000018"}, id="another RRN"),
    ],
)
def test_one_part_that_differs_is_another_key(bench: Bench, changed: Fields) -> None:
    """No part of the key is left out: an answer that differs in one is not ours."""
    bench.send(REQUEST, 10.0, "token")
    stray = _answer(REQUEST) | changed
    assert bench.table.answer(stray, 10.1, 0) == Unmatched(correlation_key(stray), stray, 0)
    assert len(bench.table) == 1
    assert isinstance(bench.table.answer(_answer(REQUEST), 10.1, 0), Answered)


@pytest.mark.parametrize("absent", [7, 11, 32, 37])
def test_an_answer_that_lacks_a_part_matches_nothing(bench: Bench, absent: int) -> None:
    """An absent element is not a wildcard."""
    bench.send(REQUEST, 10.0)
    fields = {de: value for de, value in _answer(REQUEST).items() if de != absent}
    assert isinstance(bench.table.answer(fields, 10.1, 0), Unmatched)


def test_the_first_answer_is_answered_and_frees_the_window(bench: Bench) -> None:
    """The token comes back with the answer, and the place is free."""
    slot = bench.send(REQUEST, 10.0, "token")
    fields = _answer(REQUEST)
    assert bench.window.in_flight == 1
    assert bench.table.answer(fields, 11.0, 3) == Answered("token", fields, 3)
    assert bench.window.in_flight == 0
    assert (slot.token, slot.frame, slot.window) == (None, b"", None)
    assert bench.table.next_deadline is None


def test_answers_are_matched_in_any_order(bench: Bench) -> None:
    """Responses come in any order; each finds its own question."""
    for number in range(50):
        bench.send(_numbered(number), 10.0, number)
    for number in sorted(range(50), key=lambda n: n * 7 % 50):
        event = bench.table.answer(_answer(_numbered(number)), 10.5, 0)
        assert isinstance(event, Answered)
        assert event.token == number
    assert len(bench.table) == 0


def test_a_message_sent_back_to_us_answers_nothing(bench: Bench) -> None:
    """A peer that echoes our own request does not approve it."""
    bench.send(REQUEST, 10.0)
    assert isinstance(bench.table.answer(REQUEST | {39: "00"}, 10.1, 0), Unmatched)
    assert len(bench.table) == 1


def test_an_answer_before_its_message_was_sent_is_unmatched(bench: Bench) -> None:
    """What has not left cannot be answered, and is not answered by it later."""
    assert isinstance(bench.table.answer(_answer(REQUEST), 9.0, 0), Unmatched)
    bench.send(REQUEST, 10.0, "token")
    assert isinstance(bench.table.answer(_answer(REQUEST), 10.1, 0), Answered)


def test_without_answer_a_message_is_unknown_at_its_deadline(bench: Bench) -> None:
    """The deadline runs from the first byte written, and not a moment shorter."""
    bench.send(_numbered(1), 10.0, "first")
    bench.send(_numbered(2), 10.5, "second")
    assert bench.table.next_deadline == 12.0
    assert bench.table.expire(11.999) == []
    assert bench.table.expire(12.0) == [Unknown("first", "timeout")]
    assert bench.table.next_deadline == 12.5
    assert bench.table.expire(13.0) == [Unknown("second", "timeout")]
    assert bench.window.in_flight == 0


def test_answered_messages_do_not_hold_up_the_deadlines_behind_them(bench: Bench) -> None:
    """The oldest unanswered message is found whatever was answered before it."""
    for number in range(100):
        bench.send(_numbered(number), 10.0 + number / 100, number)
    for number in range(99):
        bench.table.answer(_answer(_numbered(number)), 11.0, 0)
    assert bench.table.next_deadline == pytest.approx(12.99)
    assert bench.table.expire(13.0) == [Unknown(99, "timeout")]


def test_an_answer_after_the_deadline_is_late_and_the_next_a_duplicate(bench: Bench) -> None:
    """A late answer still finds its token, once."""
    bench.send(REQUEST, 10.0, "token")
    bench.table.expire(12.0)
    fields, key = _answer(REQUEST), correlation_key(REQUEST)
    assert bench.table.answer(fields, 13.0, 1) == Late("token", key, fields, 1)
    again = _answer(REQUEST, de39="05")
    assert bench.table.answer(again, 13.1, 1) == Duplicate(key, again, "00", 1)


def test_a_second_answer_is_a_duplicate_and_tells_what_the_first_said(bench: Bench) -> None:
    """The first answer stands; whether the second agrees can be seen."""
    bench.send(REQUEST, 10.0, "token")
    bench.table.answer(_answer(REQUEST, de39="51"), 10.1, 0)
    second, key = _answer(REQUEST), correlation_key(REQUEST)
    for _ in range(2):
        assert bench.table.answer(second, 10.2, 0) == Duplicate(key, second, "51", 0)
    assert len(bench.table) == 0


def test_a_lost_link_makes_its_own_messages_unknown(bench: Bench) -> None:
    """Messages of other links keep waiting; late answers by another link still match."""
    other = Window(1, 100)
    bench.send(_numbered(1), 10.0, "ours")
    other.in_flight += 1
    slot = Slot(other)
    slot.key, slot.token = correlation_key(_numbered(2)), "theirs"
    bench.table.sent(slot, 10.0)
    assert bench.table.link_lost(bench.window, 10.5) == [Unknown("ours", "link_lost")]
    assert (bench.window.in_flight, other.in_flight) == (0, 1)
    late = bench.table.answer(_answer(_numbered(1)), 10.6, 1)
    assert isinstance(late, Late)
    assert late.token == "ours"
    assert isinstance(bench.table.answer(_answer(_numbered(2)), 10.6, 1), Answered)


def test_a_doubtful_answer_leaves_room_for_a_better_one(bench: Bench) -> None:
    """An answer that decides nothing is taken back; the next one is late, with the token."""
    bench.send(REQUEST, 10.0, "token")
    fields, key = _answer(REQUEST), correlation_key(REQUEST)
    assert bench.table.answer(fields | {4: "000000000001"}, 10.1, 0).token == "token"  # type: ignore[union-attr]
    bench.table.doubt(key, "token", 10.1)
    assert bench.window.in_flight == 0
    assert bench.table.next_deadline is None
    assert bench.table.answer(fields, 10.2, 1) == Late("token", key, fields, 1)
    assert bench.table.answer(fields, 10.3, 1) == Duplicate(key, fields, "00", 1)


def test_a_late_answer_may_be_doubtful_too(bench: Bench) -> None:
    """However many answers decide nothing, the next one still finds its token."""
    bench.send(REQUEST, 10.0, "token")
    bench.table.expire(12.0)
    fields, key = _answer(REQUEST), correlation_key(REQUEST)
    for second in range(3):
        assert isinstance(bench.table.answer(fields, 13.0 + second, 0), Late)
        bench.table.doubt(key, "token", 13.0 + second)
    assert bench.table.answer(fields, 17.0, 0) == Late("token", key, fields, 0)


def test_doubt_is_remembered_as_long_as_silence() -> None:
    """After two minutes the ledger has to be asked, whoever was answered before or since."""
    bench = Bench(kept_s=120.0)
    bench.send(_numbered(1), 10.0, 1)
    bench.table.answer(_answer(_numbered(1)), 10.5, 0)
    bench.table.doubt(correlation_key(_numbered(1)), 1, 10.5)
    bench.send(_numbered(2), 10.0, 2)
    bench.table.answer(_answer(_numbered(2)), 11.0, 0)
    bench.table.expire(131.1)
    for number in (1, 2):
        assert isinstance(bench.table.answer(_answer(_numbered(number)), 131.1, 0), Unmatched)


def test_taken_back_answers_keep_the_bound_on_what_is_remembered() -> None:
    """Keys that were taken out of turn are passed over, and their neighbors live on."""
    bench = Bench(answered_max=3)
    for number in range(6):
        bench.send(_numbered(number), 10.0, number)
        bench.table.answer(_answer(_numbered(number)), 10.1, 0)
        if number % 2:
            bench.table.doubt(correlation_key(_numbered(number)), number, 10.1)
    answered = [type(bench.table.answer(_answer(_numbered(n)), 10.2, 0)) for n in (0, 2, 4)]
    doubted = [type(bench.table.answer(_answer(_numbered(n)), 10.2, 0)) for n in (1, 3, 5)]
    assert (answered, doubted) == ([Unmatched, Unmatched, Duplicate], [Late, Late, Late])


def test_in_progress_starts_the_time_over(bench: Bench) -> None:
    """The message is in flight again, in nobody's window, until its answer or a new deadline."""
    bench.send(REQUEST, 10.0, "token")
    fields, key = _answer(REQUEST), correlation_key(REQUEST)
    bench.table.answer(fields | {39: "09"}, 11.0, 0)
    bench.table.keep_waiting(key, "token", 11.0)
    assert (bench.window.in_flight, bench.table.waiting_longer) == (0, 1)
    assert bench.table.next_deadline == 13.0
    assert bench.table.link_lost(bench.window, 11.5) == []
    assert bench.table.answer(fields, 12.5, 0) == Answered("token", fields, 0)
    assert (len(bench.table), bench.table.waiting_longer) == (0, 0)
    assert bench.table.answer(fields, 12.6, 0) == Duplicate(key, fields, "00", 0)


def test_in_progress_ends_with_its_deadline(bench: Bench) -> None:
    """Nothing waits for ever: the second deadline makes it unknown, and its answer late."""
    bench.send(REQUEST, 10.0, "token")
    fields, key = _answer(REQUEST), correlation_key(REQUEST)
    bench.table.answer(fields | {39: "09"}, 11.0, 0)
    bench.table.keep_waiting(key, "token", 11.0)
    assert bench.table.expire(12.9) == []
    assert bench.table.expire(13.0) == [Unknown("token", "timeout")]
    assert bench.table.answer(fields, 14.0, 0) == Late("token", key, fields, 0)


def test_an_answer_that_is_not_authentic_makes_its_message_unknown(bench: Bench) -> None:
    """A forged answer decides nothing; the genuine one is late; a stray forgery does nothing."""
    bench.send(REQUEST, 10.0, "token")
    fields, key = _answer(REQUEST), correlation_key(REQUEST)
    assert bench.table.distrust("0200|000099||", 10.1) is None
    assert bench.table.distrust(key, 10.1) == Unknown("token", "bad_mac")
    assert bench.table.distrust(key, 10.2) is None
    assert bench.window.in_flight == 0
    assert bench.table.answer(fields, 10.3, 0) == Late("token", key, fields, 0)


def test_an_answer_by_another_link_is_none_where_the_dialect_says_so() -> None:
    """The message waits on for an answer by its own link, or becomes unknown at its deadline."""
    bench = Bench(same_link=True)
    bench.send(REQUEST, 10.0, "token")
    fields, key = _answer(REQUEST), correlation_key(REQUEST)
    assert bench.table.answer(fields, 10.1, 1) == Elsewhere(key, fields, 1, 0)
    assert len(bench.table) == 1
    assert bench.table.answer(fields, 10.2, 0) == Answered("token", fields, 0)
    assert bench.table.answer(fields, 10.3, 1) == Duplicate(key, fields, "00", 1)


def test_late_answers_may_come_by_any_link() -> None:
    """The link of an unknown message may be gone for good; its answer still has to be heard."""
    bench = Bench(same_link=True)
    bench.send(REQUEST, 10.0, "token")
    bench.table.link_lost(bench.window, 10.5)
    assert isinstance(bench.table.answer(_answer(REQUEST), 10.6, 1), Late)


@pytest.mark.parametrize("fate", ["in flight", "answered", "unknown", "doubted"])
def test_a_key_in_use_is_refused(bench: Bench, fate: str) -> None:
    """Two messages that one answer would fit are never under way together."""
    bench.send(REQUEST, 10.0, "first")
    if fate == "answered":
        bench.table.answer(_answer(REQUEST), 10.1, 0)
    elif fate == "unknown":
        bench.table.expire(12.0)
    elif fate == "doubted":
        bench.table.answer(_answer(REQUEST), 10.1, 0)
        bench.table.doubt(correlation_key(REQUEST), "first", 10.1)
    with pytest.raises(DuplicateKeyError):
        bench.send(REQUEST, 12.1, "second")
    if fate == "in flight":
        event = bench.table.answer(_answer(REQUEST), 12.2, 0)
        assert isinstance(event, Answered)
        assert event.token == "first"


def test_answered_messages_are_forgotten_by_number() -> None:
    """Memory holds the last ones only."""
    bench = Bench(answered_max=3)
    for number in range(5):
        bench.send(_numbered(number), 10.0)
        bench.table.answer(_answer(_numbered(number)), 10.1, 0)
    kinds = [type(bench.table.answer(_answer(_numbered(n)), 10.2, 0)) for n in range(5)]
    assert kinds == [Unmatched, Unmatched, Duplicate, Duplicate, Duplicate]


def test_settled_messages_are_forgotten_by_age() -> None:
    """After two minutes an answer is for the ledger to look up."""
    bench = Bench(kept_s=120.0)
    bench.send(_numbered(1), 10.0)
    bench.table.answer(_answer(_numbered(1)), 10.1, 0)
    bench.send(_numbered(2), 10.0)
    bench.table.expire(12.0)
    bench.table.expire(130.0)
    assert isinstance(bench.table.answer(_answer(_numbered(1)), 130.0, 0), Duplicate)
    bench.table.expire(132.1)
    assert isinstance(bench.table.answer(_answer(_numbered(1)), 132.1, 0), Unmatched)
    assert isinstance(bench.table.answer(_answer(_numbered(2)), 132.1, 0), Unmatched)


def test_unknown_messages_keep_their_tokens_within_a_bound() -> None:
    """A network silent under load cannot fill the memory with payments."""
    bench = Bench(unknown_max=2)
    for number in range(4):
        bench.send(_numbered(number), 10.0, number)
    assert len(bench.table.expire(12.0)) == 4
    kinds = [type(bench.table.answer(_answer(_numbered(n)), 12.1, 0)) for n in range(4)]
    assert kinds == [Unmatched, Unmatched, Late, Late]


def test_a_settled_token_is_let_go() -> None:
    """Nothing that was answered is kept alive by the table or by its slot."""

    class Payment:
        slot: Slot

    bench = Bench()
    payment = Payment()
    payment.slot = bench.send(REQUEST, 10.0, payment)
    gone = weakref.ref(payment)
    gc.disable()
    try:
        event = bench.table.answer(_answer(REQUEST), 10.1, 0)
        del event, payment
        assert gone() is None
    finally:
        gc.enable()


def test_a_slot_is_given_back_once(bench: Bench) -> None:
    """A place counted free twice would let the window overflow."""
    slot = bench.send(REQUEST, 10.0)
    bench.table.answer(_answer(REQUEST), 10.1, 0)
    with pytest.raises(SlotError):
        slot.free()
    assert bench.window.in_flight == 0


ADVICE = REQUEST | {0: "0420"}
REPEAT = REQUEST | {0: "0421"}
ACKNOWLEDGED = REQUEST | {0: "0430", 39: "00"}


def test_a_repeat_takes_the_place_of_an_unknown_message(bench: Bench) -> None:
    """0421 after a silent 0420, under the same key: its answer is in time."""
    bench.send(ADVICE, 0.0, "first")
    [unknown] = bench.table.expire(2.0)
    assert isinstance(unknown, Unknown)
    bench.send(REPEAT, 5.0, "second", repeat=True)
    answered = bench.table.answer(ACKNOWLEDGED, 5.1, 0)
    assert isinstance(answered, Answered)
    assert answered.token == "second"
    assert isinstance(bench.table.answer(ACKNOWLEDGED, 5.2, 0), Duplicate)


def test_a_repeat_takes_the_place_of_an_answered_message(bench: Bench) -> None:
    """0421 after a 0420 that was answered with "not now"."""
    bench.send(ADVICE, 0.0, "first")
    bench.table.answer(ACKNOWLEDGED | {39: "91"}, 0.1, 0)
    bench.send(REPEAT, 5.0, "second", repeat=True)
    answered = bench.table.answer(ACKNOWLEDGED, 5.1, 0)
    assert isinstance(answered, Answered)
    assert answered.token == "second"
    assert [type(event) for event in bench.table.expire(500.0)] == []
    bench.send(ADVICE, 501.0)  # forgotten: the key is free again


def test_a_repeat_never_overtakes_its_message(bench: Bench) -> None:
    """While the first sending may be answered there is no second."""
    bench.send(ADVICE, 0.0)
    with pytest.raises(DuplicateKeyError):
        bench.send(REPEAT, 0.1, repeat=True)


def test_only_a_repeat_may_use_a_key_again(bench: Bench) -> None:
    """Anything else under a settled key is a fault."""
    bench.send(ADVICE, 0.0)
    bench.table.expire(2.0)
    with pytest.raises(DuplicateKeyError):
        bench.send(ADVICE, 2.1)
