"""What holds for every order in which messages are sent, answered, given up and cut off."""

from __future__ import annotations

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from switch.link.correlation import Correlation, Slot, Window, correlation_key
from switch.link.events import Answered, Duplicate, Fields, Late, LinkEvent, NotSent, Unknown
from switch.link.outbox import LinkOutbox

LINKS = 2
DEADLINE_S = 2.0
AGE_MAX_S = 1.0
LINK = st.integers(0, LINKS - 1)


def _request(number: int) -> Fields:
    return {0: "0200", 7: "0102030405", 11: f"{number:06d}", 32: "4", 37: f"R{number:011d}"}


class Links(RuleBasedStateMachine):
    """Two links with one table, and the fate of every message."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.table = Correlation(DEADLINE_S, answered_max=10_000, kept_s=1e9)
        self.windows = [Window(link, 1_000) for link in range(LINKS)]
        self.outboxes = [
            LinkOutbox(self.table, frames_max=1_000, age_max_s=AGE_MAX_S) for _ in range(LINKS)
        ]
        self.numbers = 0
        self.sent_at: dict[int, float] = {}
        self.fates: dict[int, type[LinkEvent]] = {}
        self.answers: Counter[int] = Counter()
        self.open: set[int] = set()  # unknown, or answered in doubt: the next answer is late
        self.longer: set[int] = set()  # in flight once more, in no window

    def _note(self, events: list[LinkEvent]) -> None:
        for event in events:
            assert isinstance(event, Answered | Unknown | NotSent)
            assert event.token not in self.fates, "a message has one fate"
            self.fates[event.token] = type(event)
            self.longer.discard(event.token)
            assert (event.token in self.sent_at) is not isinstance(event, NotSent)
            if isinstance(event, Unknown):
                self.open.add(event.token)

    @rule(link=LINK)
    def queue(self, link: int) -> None:
        """A message is put in an outbox."""
        window = self.windows[link]
        window.in_flight += 1
        key = correlation_key(_request(self.numbers))
        assert self.outboxes[link].put(Slot(window, key, self.numbers, b"x" * 6_000, self.now))
        self.numbers += 1

    @rule(link=LINK)
    def write(self, link: int) -> None:
        """A writer takes its next chunk."""
        before = len(self.table)
        chunk, refused = self.outboxes[link].next_chunk(self.now, signed_on=True)
        assert len(chunk) // 6_000 == len(self.table) - before
        taken = [slot.token for slot in self.table._in_flight.values()]
        for token in taken:
            self.sent_at.setdefault(token, self.now)
        self._note(refused)

    @precondition(lambda self: self.numbers)
    @rule(data=st.data(), link=LINK)
    def answer(self, data: st.DataObject, link: int) -> None:
        """An answer to any message comes in, by any link, at any time."""
        number = data.draw(st.integers(0, self.numbers - 1))
        event = self.table.answer(_request(number) | {0: "0210", 39: "00"}, self.now, link)
        fate = self.fates.get(number)
        if isinstance(event, Answered):
            assert fate is None
            assert self.now < self.sent_at[number] + DEADLINE_S + 10
            self._note([event])
        elif isinstance(event, Late):
            assert event.token == number
            assert number in self.open
            self.open.remove(number)
        elif isinstance(event, Duplicate):
            assert self.answers[number] > 0
            assert number not in self.open
        else:
            assert number not in self.sent_at
        if number in self.sent_at:
            self.answers[number] += 1
        if isinstance(event, Answered | Late):
            self._judge(data.draw(st.sampled_from(["good", "doubtful", "in progress"])), number)

    def _judge(self, answer: str, number: int) -> None:
        """An answer may decide nothing, or ask for more time; the latter once per message."""
        key = correlation_key(_request(number))
        if answer == "doubtful":
            self.table.doubt(key, number, self.now)
            self.open.add(number)
        elif (
            answer == "in progress" and self.fates[number] is Answered and self.answers[number] < 2
        ):
            self.table.keep_waiting(key, number, self.now)
            del self.fates[number]
            self.sent_at[number] = self.now
            self.longer.add(number)

    @rule(seconds=st.floats(0.0, 3.0))
    def wait(self, seconds: float) -> None:
        """Time passes, and what is overdue is given up."""
        self.now += seconds
        overdue = self.table.expire(self.now)
        self._note(overdue)
        for event in overdue:
            assert isinstance(event, Unknown)
            assert self.sent_at[event.token] + DEADLINE_S <= self.now

    @rule(link=LINK)
    def lose(self, link: int) -> None:
        """A connection is lost: everything on it has its fate at once."""
        self._note(self.outboxes[link].refuse_all("link_lost"))
        self._note(self.table.link_lost(self.windows[link], self.now))
        assert self.windows[link].in_flight == 0

    @invariant()
    def windows_count_what_has_no_fate(self) -> None:
        """No slot leaks and none is counted twice."""
        in_windows = sum(window.in_flight for window in self.windows)
        assert in_windows == self.numbers - len(self.fates) - len(self.longer)
        assert self.table.waiting_longer == len(self.longer)

    @invariant()
    def nothing_is_overdue_before_its_time(self) -> None:
        """The next deadline is that of the oldest message in flight."""
        flying = [at for number, at in self.sent_at.items() if number not in self.fates]
        assert self.table.next_deadline == (min(flying) + DEADLINE_S if flying else None)


TestLinks = Links.TestCase
TestLinks.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
