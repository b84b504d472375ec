"""Which shard a request goes to.

A payment intent is where it was created for as long as it lives, and its id says where that is; so
reading, charging, capturing and refunding ask one shard and no directory. What belongs to a
merchant (lists, balances) may lie on every shard that its bucket was ever on: all are asked, and
their answers added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from attrs import define, field

from api.coalescing import Coalescer
from api.errors import Problem, ProblemError
from api.shard import Shard, Sums, WantedBalance, WantedIntent, WantedList, WantedTimeline
from ledger.ids import shard_of
from ledger.records import IntentPage, IntentRow, TimelineEvent
from ledger.shards.merging import add_balances, merge_pages

Question = TypeVar("Question")
Result = TypeVar("Result")
Deliver = Callable[[Result | Problem], None]


@define
class Routing:
    """All shards, and the ways to them.

    Args:
        shards: in the order of their numbers, none left out.
    """

    shards: tuple[Shard, ...]

    def home(self, intent_id: bytes) -> Shard:
        """The shard that an intent is at home on.

        Raises:
            ProblemError: `not_found`: no shard of ours has ever issued such an id.
        """
        if len(self.shards) == 1:
            return self.shards[0]
        number = shard_of(intent_id)
        if number >= len(self.shards):
            raise ProblemError(Problem("not_found"))
        return self.shards[number]

    def read_intent(self, wanted: WantedIntent, deliver: Deliver[IntentRow | None]) -> None:
        """Read an intent; raises ProblemError as `Coalescer.submit` and `home` do."""
        self.home(wanted[1]).intents.submit(wanted, deliver)

    def read_timeline(
        self, wanted: WantedTimeline, deliver: Deliver[list[TimelineEvent] | None]
    ) -> None:
        """Read what happened to an intent; raises as `read_intent`."""
        self.home(wanted[1]).timelines.submit(wanted, deliver)

    def list_intents(self, wanted: WantedList, deliver: Deliver[IntentPage]) -> None:
        """Read a page of a merchant's intents, of all shards; raises as `Coalescer.submit`."""
        merge = partial(merge_pages, limit=wanted[2].limit)
        ask_all([shard.lists for shard in self.shards], wanted, merge, deliver)

    def read_balance(self, wanted: WantedBalance, deliver: Deliver[Sums]) -> None:
        """Read a merchant's balances, of all shards; raises as `Coalescer.submit`."""
        ask_all([shard.balances for shard in self.shards], wanted, add_balances, deliver)


@define
class _Gathering(Generic[Result]):
    """Answers of several shards to one question; the first problem is the answer to all of it."""

    merge: Callable[[Sequence[Result]], Result]
    deliver: Deliver[Result]
    missing: int
    answers: dict[int, Result] = field(factory=dict)
    is_over: bool = False

    def take(self, place: int, answer: Result | Problem) -> None:
        """Take one shard's answer."""
        if self.is_over:
            return
        if type(answer) is Problem:
            self.is_over = True
            self.deliver(answer)
            return
        self.answers[place] = answer
        self.missing -= 1
        if not self.missing:
            self.is_over = True
            self.deliver(self.merge([self.answers[place] for place in sorted(self.answers)]))


def ask_all(
    lookups: Sequence[Coalescer[Question, Result]],
    question: Question,
    merge: Callable[[Sequence[Result]], Result],
    deliver: Deliver[Result],
) -> None:
    """Ask several shards the same thing at once, and deliver what their answers make together.

    Raises:
        ProblemError: `overloaded` or `shutting_down`; nothing will be delivered.
    """
    if len(lookups) == 1:
        lookups[0].submit(question, deliver)
        return
    gathering = _Gathering(merge, deliver, missing=len(lookups))
    try:
        for place, lookup in enumerate(lookups):
            lookup.submit(question, partial(gathering.take, place))
    except ProblemError:
        gathering.is_over = True
        raise
