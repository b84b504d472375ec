"""Where a merchant's intents are created: on the shard that owns its bucket.

Theory of operation. The api keeps a copy of the directory (`ledger.shards.directory`) and never
asks whether it is still true: the ledger notices. The statement that creates an intent checks that
its shard owns the bucket in the epoch that the copy names, and where it does not, the copy is read
anew and the intent drawn again, with an id of the other shard. While a bucket is between two
shards nobody owns it, and the merchant is told to come again in a second.

A key that was used before the bucket moved must give what was created then. So before anything is
created for a bucket that has moved, its former owners are asked for the key, and for the merchant's
reference: their fences are closed for good, so what they did not create will never be there. (That
they capture or refund under the same key at the same moment is not excluded.) This costs a moved
merchant a round trip, and nobody else anything.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from attrs import define

from api.coalescing import Coalescer
from api.errors import Problem, ProblemError
from api.shard import Shard
from ledger.ids import UUID7Source
from ledger.records import CreationVerdict, IntentReplay, IntentToCreate, Lost, Moved
from ledger.shards.buckets import bucket_of
from ledger.shards.directory import Directory, Place, read_directory
from ledger.statements import Runner

RETRY_AFTER_S: Final = 1
STORAGE_RETRY_AFTER_S: Final = 5  # somebody has to make room first
TRIES_MAX: Final = 4  # each but the first after a move that was over in between

Draw = Callable[[UUID7Source, int], IntentToCreate]
DeliverVerdict = Callable[[CreationVerdict | Problem], None]


class Placement:
    """The api's copy of the directory.

    Args:
        runner: a pool on shard 0, where the directory is.
        is_there: whether shard 0 can be asked at all just now; asking waits for it.
        queue_max: requests that wait for it at most.
    """

    def __init__(self, runner: Runner, *, is_there: Callable[[], bool], queue_max: int) -> None:
        self.known: Directory | None = None
        self._runner = runner
        self._is_there = is_there
        # Whoever asks is answered by a query that began later than the question.
        self.queries: Coalescer[None, Directory] = Coalescer(
            "directory", self._read, queue_max=queue_max, batch_max=queue_max
        )

    def renew(self, deliver: Callable[[Directory | Problem], None]) -> None:
        """Read the directory anew.

        Raises:
            ProblemError: `ledger_unavailable`, or as `Coalescer.submit`; nothing will be delivered.
        """
        if not self._is_there():
            raise ProblemError(Problem("ledger_unavailable", retry_after_s=RETRY_AFTER_S))
        self.queries.submit(None, deliver)

    async def _read(self, questions: list[None]) -> list[Directory]:
        directory = self.known = await read_directory(self._runner)
        return [directory] * len(questions)


@define
class Creating:
    """Creates intents where they belong.

    Args:
        shards: in the order of their numbers.
        placement: says which.
    """

    shards: tuple[Shard, ...]
    placement: Placement

    def create(self, merchant_id: bytes, draw: Draw, deliver: DeliverVerdict) -> None:
        """Create an intent; what becomes of it is delivered, also what is in its way.

        Args:
            merchant_id: whose it is.
            draw: makes the row, with an id of the shard that it goes to and the bucket's epoch;
                called again where the bucket has moved.
            deliver: hears a verdict that is not `Moved`, or a problem.
        """
        _Creation(self, bucket_of(merchant_id), draw, deliver).start()


@define
class _Creation:
    """One intent on its way to a shard."""

    creating: Creating
    bucket: int
    draw: Draw
    deliver: DeliverVerdict
    place: Place | None = None
    tries: int = 0

    def start(self) -> None:
        """Go where the known directory says, or read it first."""
        known = self.creating.placement.known
        if known is None:
            self._guarded(partial(self.creating.placement.renew, self._renewed))
        else:
            self._guarded(partial(self._go, known))

    def _renewed(self, directory: Directory | Problem) -> None:
        if type(directory) is Problem:
            self.deliver(directory)
        else:
            self._guarded(partial(self._go, directory))

    def _go(self, directory: Directory) -> None:
        place = directory.place(self.bucket)
        shards = self.creating.shards
        self.tries += 1
        if place == self.place or self.tries > TRIES_MAX or place.shard >= len(shards):
            raise ProblemError(Problem("merchant_moving", retry_after_s=RETRY_AFTER_S))
        self.place = place
        shard = shards[place.shard]
        if shard.storage_is_full:
            raise ProblemError(Problem("insufficient_storage", retry_after_s=STORAGE_RETRY_AFTER_S))
        if shard.stream_is_behind:
            raise ProblemError(Problem("overloaded", retry_after_s=STORAGE_RETRY_AFTER_S))
        row = self.draw(shard.ids, place.epoch)
        self._ask(row, shard, place.former)

    def _ask(self, row: IntentToCreate, shard: Shard, holders: tuple[int, ...]) -> None:
        """Ask each former owner that may hold the key or the reference, then create."""
        if not holders:
            shard.creations.submit(row, self._tried)
            return
        former = self.creating.shards[holders[0]]
        if not former.is_there():
            raise ProblemError(Problem("ledger_unavailable", retry_after_s=RETRY_AFTER_S))
        former.earlier.submit(row, partial(self._looked_up, row, shard, holders[1:]))

    def _looked_up(
        self,
        row: IntentToCreate,
        shard: Shard,
        holders: tuple[int, ...],
        found: IntentReplay | Lost | Problem | None,
    ) -> None:
        if found is None:
            self._guarded(partial(self._ask, row, shard, holders))
        else:
            self.deliver(found)

    def _tried(self, verdict: CreationVerdict | Problem) -> None:
        if type(verdict) is Moved:
            self._guarded(partial(self.creating.placement.renew, self._renewed))
        else:
            self.deliver(verdict)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step; a problem is delivered, for nobody is there to catch it."""
        try:
            step()
        except ProblemError as error:
            self.deliver(error.problem)
