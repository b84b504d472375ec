"""Which shard a request goes to.

A payment intent is where it was created for as long as it lives, and its id says where that is; so
reading, charging, capturing and refunding ask one shard and no directory. What belongs to a
merchant (lists, balances) may lie on every shard that its bucket was ever on: all are asked, and
their answers added up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from operator import attrgetter
from typing import Generic, TypeVar

from attrs import define, field

from api.coalescing import RETRY_AFTER_S, Coalescer
from api.errors import Problem, ProblemError
from api.placing import Placement
from api.shard import Shard, Sums, WantedBalance, WantedIntent, WantedList, WantedTimeline
from ledger.ids import shard_of
from ledger.records import IntentPage, IntentRow, TimelineEvent
from ledger.shards.buckets import bucket_of
from ledger.shards.directory import Directory
from ledger.shards.merging import add_balances, merge_pages

Question = TypeVar("Question")
Result = TypeVar("Result")
Deliver = Callable[[Result | Problem], None]


_lists_of: Callable[[Shard], Coalescer[WantedList, IntentPage]] = attrgetter("lists")
_balances_of: Callable[[Shard], Coalescer[WantedBalance, Sums]] = attrgetter("balances")


@define
class Routing:
    """All shards, and the ways to them.

    Args:
        shards: in the order of their numbers, none left out.
        placement: says which shards a merchant was ever on.
    """

    shards: tuple[Shard, ...]
    placement: Placement

    def home(self, intent_id: bytes) -> Shard:
        """The shard that an intent is at home on.

        Raises:
            ProblemError: `not_found`: no shard of ours has ever issued such an id.
        """
        shard = self._find_home(intent_id)
        if shard is None:
            raise ProblemError(Problem("not_found"))
        return shard

    def _find_home(self, intent_id: bytes) -> Shard | None:
        if len(self.shards) == 1:
            return self.shards[0]
        number = shard_of(intent_id)
        return self.shards[number] if number < len(self.shards) else None

    def read_intent(self, wanted: WantedIntent, deliver: Deliver[IntentRow | None]) -> None:
        """Read an intent, None where there is none; raises ProblemError as `Coalescer.submit`."""
        shard = self._find_home(wanted[1])
        if shard is None:
            deliver(None)
        else:
            shard.intents.submit(wanted, deliver)

    def read_timeline(
        self, wanted: WantedTimeline, deliver: Deliver[list[TimelineEvent] | None]
    ) -> None:
        """Read what happened to an intent; raises ProblemError as `home`, `Coalescer.submit`."""
        self.home(wanted[1]).timelines.submit(wanted, deliver)

    def list_intents(self, wanted: WantedList, deliver: Deliver[IntentPage]) -> None:
        """Read a page of a merchant's intents, of all shards; raises as `Coalescer.submit`."""
        merge = partial(merge_pages, limit=wanted[2].limit)
        self.ask_all(wanted[0], _lists_of, wanted, merge, deliver)

    def read_balance(self, wanted: WantedBalance, deliver: Deliver[Sums]) -> None:
        """Read a merchant's balances, of all shards; raises as `Coalescer.submit`."""
        self.ask_all(wanted[0], _balances_of, wanted, add_balances, deliver)

    def ask_all(
        self,
        merchant_id: bytes,
        lookup_of: Callable[[Shard], Coalescer[Question, Result]],
        question: Question,
        merge: Callable[[Sequence[Result]], Result],
        deliver: Deliver[Result],
    ) -> None:
        """Ask all shards the same thing at once, and deliver what their answers make together."""
        if len(self.shards) == 1:
            lookup_of(self.shards[0]).submit(question, deliver)
            return
        gathering = _Gathering(
            bucket_of(merchant_id), self.placement, merge, deliver, missing=len(self.shards)
        )
        for shard in self.shards:
            take = partial(gathering.take, shard.number)
            if not shard.is_there():
                take(Problem("ledger_unavailable", retry_after_s=RETRY_AFTER_S))
                continue
            try:
                lookup_of(shard).submit(question, take)
            except ProblemError as error:
                take(error.problem)


@define
class _Gathering(Generic[Result]):
    """The answers of all shards to one question about a merchant.

    A shard that does not answer is left out where it never had anything of this merchant's, so
    that it fails alone. Whether it had is asked after the question came, of a directory that knows
    of every move that was over by then.
    """

    bucket: int
    placement: Placement
    merge: Callable[[Sequence[Result]], Result]
    deliver: Deliver[Result]
    missing: int
    answers: dict[int, Result] = field(factory=dict)
    problems: dict[int, Problem] = field(factory=dict)

    def take(self, number: int, answer: Result | Problem) -> None:
        """Take one shard's answer; the last one ends it."""
        if type(answer) is Problem:
            self.problems[number] = answer
        else:
            self.answers[number] = answer
        self.missing -= 1
        if self.missing:
            return
        if not self.problems:
            self._end()
            return
        try:
            self.placement.renew(self._judge)
        except ProblemError as error:
            self.deliver(error.problem)

    def _judge(self, directory: Directory | Problem) -> None:
        holders = self.problems if type(directory) is Problem else directory.holders(self.bucket)
        missed = [problem for number, problem in self.problems.items() if number in holders]
        if missed:
            self.deliver(missed[0])
        else:
            self._end()

    def _end(self) -> None:
        self.deliver(self.merge([answer for _, answer in sorted(self.answers.items())]))
