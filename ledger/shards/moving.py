"""Founding shards, planning moves, and carrying moves out to their end, over the ledgers of all.

`ledger.shards.steps` says what a move is and why it is safe. Here the ledgers are read and written.
Roles: turnout_admin on every shard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import trio
from attrs import define

from chassis.log import get_logger
from ledger.committing import LOCK_NOT_AVAILABLE
from ledger.errors import LedgerError, RetryableError
from ledger.merchants import list_merchants
from ledger.operators import OperatorAction, OperatorError, check_answer, check_texts
from ledger.pgtypes import (
    bool_,
    int4_,
    int4_array,
    int8_,
    text_,
    text_array,
    timestamptz_,
    uuid_,
)
from ledger.rows import Merchant
from ledger.shards.buckets import name_buckets
from ledger.shards.directory import Directory, Fence, read_directory, read_fence
from ledger.shards.steps import Step, corrections, find_faults, next_step, strays
from ledger.statements import QUERIES, Runner

TAKE_TRIES_MAX: Final = 50  # a tenth of a second each, while somebody holds the fence's table
TAKE_PAUSE_S: Final = 0.1
MOVES_SHOWN_MAX: Final = 20
MERCHANTS_PAGE: Final = 500

_CLAIM: Final = QUERIES["claim_shard"]
_IDENTITY: Final = QUERIES["read_identity"]
_IS_KNOWN: Final = QUERIES["shard_is_known"]
_FOUND: Final = QUERIES["found_shards"]
_MOVE: Final = QUERIES["move_buckets"]
_MOVES: Final = QUERIES["shard_moves"]
_CORRECT: Final = QUERIES["correct_directory"]
_COPY_MERCHANT: Final = QUERIES["copy_merchant"]
_REFUSALS: Final = {
    "other_shard": "is another shard's: are the addresses in order?",
    "lost": (
        "is an empty one, but merchants have been on that shard: is the address right, "
        "is its disk mounted?"
    ),
    "not_empty": "holds payments already; a shard begins with an empty ledger",
    "alone": "holds payments from before there were shards: it stays the only one",
}
_STEPS: Final = {
    "take": QUERIES["take_buckets"],
    "hand_over": QUERIES["hand_over_buckets"],
    "give": QUERIES["give_buckets"],
}


_log = get_logger(__name__)


class ShardError(LedgerError):
    """Ledgers that do not fit together as the shards they are said to be; says which and why."""


@define
class Shards:
    """The ledgers of all shards.

    Args:
        runners: in the order of their numbers; the directory is on the first.
    """

    runners: Sequence[Runner]

    async def found(self) -> None:
        """See to it that each ledger is the shard it is taken for, and that all know the merchants.

        If the very first start has several shards, each gets its share of the buckets; what was
        added later starts empty. Safe to repeat, and repeated at every start. A move that cannot
        be brought to its end keeps its buckets closed, and nobody else's.

        Raises:
            ShardError: a ledger is another shard, or nobody's where there was one, or owners are
                missing.
            DatabaseError: a server refuses, or is not there.
        """
        await self._check_directory_is_there()
        for number, runner in enumerate(self.runners[1:], start=1):
            [known] = (await self.runners[0].run(_IS_KNOWN, [int4_(number)])).column(0)
            answer = await runner.run(_CLAIM, [int4_(number), bool_(known)])
            _check_identity(number, answer.column(0)[0])
        answer = await self.runners[0].run(_FOUND, [int4_(len(self.runners))])
        _check_identity(0, answer.column(0)[0])
        await self._correct()
        for runner in self.runners[1:]:
            await copy_merchants(self.runners[0], runner)
        try:
            await self.finish()
        except ShardError as error:
            _log.error("a move of buckets does not come to its end", reason=str(error))

    async def plan(
        self, buckets: Sequence[int], to_shard: int, *, operator: str, note: str
    ) -> None:
        """Write down that buckets are to move, and who said so; nothing moves yet.

        Raises:
            OperatorError: there is no such shard, nothing to move, a bucket is on its way to
                another shard, or the texts cannot be kept.
        """
        check_texts(operator, note)
        if not 0 <= to_shard < len(self.runners):
            raise OperatorError(f"there are shards 0 to {len(self.runners) - 1}")
        what = f"{name_buckets(buckets)} to {to_shard}"
        params = [
            int4_array(buckets),
            int4_(to_shard),
            text_(what),
            text_(operator),
            text_(note),
        ]
        check_answer((await self.runners[0].run(_MOVE, params)).column(0)[0])

    async def finish(self, tell: Callable[[Step], None] | None = None) -> int:
        """Carry out what is planned, to its end; gives how many buckets were given.

        Args:
            tell: hears of each step when it is done.

        Raises:
            ShardError: a step was done and changed nothing, or the fence cannot be had.
            DatabaseError: a server is not there; what was done stays done.
        """
        given = 0
        before: Step | None = None
        while (step := await self.decide()) is not None:
            if step == before:
                raise ShardError(
                    f"buckets {name_buckets(step.buckets)} do not move on at {step.kind}; "
                    "see turnout shards status"
                )
            await self.perform(step)
            before = step
            if tell is not None:
                tell(step)
            if step.kind == "give":
                given += len(step.buckets)
        return given

    async def look(self) -> tuple[Directory, list[Fence]]:
        """The directory, and then the fence of every shard."""
        directory = await read_directory(self.runners[0])
        self._check_owners(directory)
        return directory, [await read_fence(runner) for runner in self.runners]

    async def decide(self) -> Step | None:
        """What is to be done next, as things stand."""
        return next_step(*await self.look())

    async def perform(self, step: Step) -> None:
        """Do one step; that it was done before, or is out of date, harms nothing.

        Raises:
            ShardError: the fence cannot be had.
            DatabaseError: the server refuses, or is not there.
        """
        params = [int4_array(step.buckets), int4_array(step.epochs)]
        for _ in range(TAKE_TRIES_MAX):
            try:
                await self.runners[step.shard].run(_STEPS[step.kind], params)
            except RetryableError as error:
                if error.sqlstate != LOCK_NOT_AVAILABLE:
                    raise
                await trio.sleep(TAKE_PAUSE_S)
            else:
                return
        raise ShardError(f"shard {step.shard} is held by a long transaction; try again later")

    async def moves(self) -> list[OperatorAction]:
        """What operators wished last."""
        rows = (await self.runners[0].run(_MOVES, [int8_(MOVES_SHOWN_MAX)])).rows()
        return [OperatorAction(*row) for row in rows]

    async def _check_directory_is_there(self) -> None:
        """Raise ShardError if shard 0 knows of nothing, and another one has owned merchants.

        At a very first start they do not: they get their buckets after shard 0 has its number.
        """
        [(first, _), *others] = [(await one.run(_IDENTITY)).rows()[0] for one in self.runners]
        if first is None and any(shard is not None and epoch for shard, epoch in others):
            _check_identity(0, "lost")

    async def _correct(self) -> None:
        """Put right what a ledger has forgotten that was set back to a backup."""
        wrong = corrections(*await self.look())
        if wrong:
            former = [(one.bucket, shard) for one in wrong for shard in one.former]
            params = [
                int4_array([one.bucket for one in wrong]),
                int4_array([one.shard for one in wrong]),
                int4_array([one.epoch for one in wrong]),
                int4_array([bucket for bucket, _ in former]),
                int4_array([shard for _, shard in former]),
            ]
            await self.runners[0].run(_CORRECT, params)
            _log.warning(
                "the directory had forgotten moves",
                buckets=name_buckets(one.bucket for one in wrong),
            )
        for step in strays(*await self.look()):
            await self.perform(step)
            _log.warning(
                "a shard had forgotten that its buckets moved away",
                shard=step.shard,
                buckets=name_buckets(step.buckets),
            )
        if faults := find_faults(*await self.look()):
            raise ShardError("; ".join(faults))

    def _check_owners(self, directory: Directory) -> None:
        targets = [target for target in directory.targets if target is not None]
        former = [shard for shards in directory.former.values() for shard in shards]
        highest = max(*directory.shards, *targets, *former, 0)
        if highest >= len(self.runners):
            raise ShardError(
                f"shard {highest} owns merchants or has owned some, but there are only "
                f"{len(self.runners)} shards"
            )


async def copy_merchants(source: Runner, target: Runner) -> None:
    """Give a shard what it must know of every merchant; keys stay on shard 0."""
    after = bytes(16)
    while page := await list_merchants(source, after=after, limit=MERCHANTS_PAGE):
        await target.pipeline([(_COPY_MERCHANT, _merchant_params(merchant)) for merchant in page])
        after = page[-1].merchant_id


async def copy_merchant(target: Runner, merchant: Merchant) -> None:
    """Give a shard what it must know of one merchant."""
    await target.run(_COPY_MERCHANT, _merchant_params(merchant))


def _merchant_params(merchant: Merchant) -> list[bytes | None]:
    return [
        uuid_(merchant.merchant_id),
        timestamptz_(merchant.created_at_us),
        text_(merchant.name),
        text_(merchant.status),
        text_(merchant.country),
        text_(merchant.settlement_currency),
        text_(merchant.mcc),
        text_(merchant.terminal_id),
        text_(merchant.card_acceptor_id),
        text_(merchant.name_location),
        text_array(merchant.browser_origins),
    ]


def _check_identity(number: int, answer: str) -> None:
    if answer:
        raise ShardError(f"the ledger given for shard {number} {_REFUSALS[answer]}")
