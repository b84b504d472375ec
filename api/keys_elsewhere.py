"""Whether a key was used on another shard, asked before it is used on an intent's.

A ledger knows the keys of what was done there. A merchant that has moved has intents on more than
one, where the same key could be used for two charges. So before an intent of such a merchant is
charged, captured, canceled or refunded, the other shards are asked that may hold one of its keys:
the owner of its bucket, and all that ever were it, for they take new keys as long as they have
payments to capture or refund. That is a round trip more, and needs those shards; one that never
moved pays a look into the known directory.

Two requests of one key that run at the same moment may both be told that it is free. A repeat of
one request names the same intent, so it meets its first self on the same ledger, whatever moves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import define

from api.errors import Problem, ProblemError
from api.placing import RETRY_AFTER_S, Placement
from api.shard import Shard, WantedKey
from ledger.ids import shard_of
from ledger.shards.buckets import bucket_of
from ledger.shards.directory import Directory

DeliverUse = Callable[[bool | Problem], None]


@define
class KeysElsewhere:
    """Looks for keys on shards other than an intent's.

    Args:
        shards: in the order of their numbers.
        placement: says which a merchant was ever on.
    """

    shards: tuple[Shard, ...]
    placement: Placement

    @property
    def are_all_here(self) -> bool:
        """Whether there is no other shard to ask."""
        return len(self.shards) == 1

    def find(self, wanted: WantedKey, intent_id: bytes, deliver: DeliverUse) -> None:
        """Deliver whether a key is in use elsewhere than on the intent's shard, or a problem."""
        home, bucket = shard_of(intent_id), bucket_of(wanted[0])
        known = self.placement.known
        if known is not None and known.shards[bucket] == home and bucket not in known.former:
            deliver(False)  # it was never anywhere else
        else:
            _Search(self, wanted, home, bucket, deliver).start()


@define
class _Search:
    """One key that is looked for."""

    keys: KeysElsewhere
    wanted: WantedKey
    home: int
    bucket: int
    deliver: DeliverUse

    def start(self) -> None:
        """Go by the known directory, or read it first: one without the home is out of date."""
        known = self.keys.placement.known
        if known is not None and self.home in known.holders(self.bucket):
            self._go(known)
        else:
            self._guarded(partial(self.keys.placement.renew, self._renewed))

    def _renewed(self, directory: Directory | Problem) -> None:
        if type(directory) is Problem:
            self.deliver(directory)
        else:
            self._go(directory)

    def _go(self, directory: Directory) -> None:
        others = directory.holders(self.bucket) - {self.home}
        self._guarded(partial(self._ask, tuple(sorted(others))))

    def _ask(self, others: tuple[int, ...]) -> None:
        if not others:
            self.deliver(False)
            return
        other = self.keys.shards[others[0]]
        if not other.is_there():
            raise ProblemError(Problem("ledger_unavailable", retry_after_s=RETRY_AFTER_S))
        other.keys.submit(self.wanted, partial(self._looked_up, others[1:]))

    def _looked_up(self, others: tuple[int, ...], used: bool | Problem) -> None:  # noqa: FBT001
        if used is False:
            self._guarded(partial(self._ask, others))
        else:
            self.deliver(used)

    def _guarded(self, step: Callable[[], None]) -> None:
        """Take a step; a problem is delivered, for nobody is there to catch it."""
        try:
            step()
        except ProblemError as error:
            self.deliver(error.problem)
