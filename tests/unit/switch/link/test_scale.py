"""What holds at the size of a busy network: many messages under way, numbers that come round."""

from __future__ import annotations

from itertools import count
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from switch.core.numbers import STAN_MAX, StanAllocator, StanBlock
from switch.link.correlation import Correlation, Slot, Window, correlation_key
from switch.link.events import Answered, Duplicate, Fields

START_S = 1_790_000_000


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_answers_in_any_order_find_their_questions(random: Random) -> None:
    """500 answers, shuffled, some of them twice: each settles its own message, once (MT01)."""
    table, window = Correlation(15.0), Window(0, 500)
    for number in range(500):
        window.in_flight += 1
        # Few STANs and RRNs: most keys differ in one part only.
        table.sent(Slot(window, correlation_key(_request(number)), number), 10.0)
    answers = [*range(500), *random.sample(range(500), 50)]
    random.shuffle(answers)
    settled: set[int] = set()
    for number in answers:
        event = table.answer(_request(number) | {0: "0210", 39: "00"}, 11.0, 0)
        assert isinstance(event, Duplicate if number in settled else Answered)
        if isinstance(event, Answered):
            assert event.token == number
        settled.add(number)
    assert (len(table), window.in_flight, settled) == (0, 0, set(range(500)))


def test_numbers_come_round_within_a_pending_window() -> None:
    """1.2 million messages in 20 minutes, each pending for 30: no two have one key (MT07).

    STANs come round after 999,999, while the first ones are still waited for. DE 7 tells them
    apart, and the allocator's blocks see to it that it has moved on.
    """
    stans, taken = StanAllocator(), count(0, 10_000)
    table, window = Correlation(30 * 60.0), Window(0, 1_200_000)
    for number in range(1_200_000):
        second = START_S + number // 1_000
        if number % 1_000 == 0 and stans.usable(second) < 1_000:
            first = next(taken) % STAN_MAX + 1
            length = min(10_000, STAN_MAX + 1 - first)
            stans.add(StanBlock(first=first, count=length, floor_s=second, ceiling_s=second + 60))
        stan, de7 = stans.next(second)
        window.in_flight += 1
        # The RRN would tell them apart alone: here it does not help.
        table.sent(Slot(window, f"0200|{stan}|{de7}|400001|"), float(second))
    assert len(table) == 1_200_000


def _request(number: int) -> Fields:
    return {
        0: "0200",
        7: f"01020304{number % 5:02d}",
        11: f"{number // 5 % 10:06d}",
        32: "400001",
        37: f"R{number // 50:011d}",
    }
