"""Admission that several api processes share, kept in Redis or Valkey.

Theory of operation
-------------------
What arrives while a question is under way waits and becomes the next one: one script, one round
trip for all requests of a tick, as with every query (`api.coalescing`). The script uses nonces up
and asks the meters of key and merchant in one step, by the clock of Redis, so two processes can
neither both accept one nonce nor let a sender have its burst twice.

Redis may forget: it restarts without persistence, or somebody empties it. The script keeps the
instant since which it remembers, and what is signed before it is refused, as an api process alone
refuses what is older than its start. Keys must not be evicted: `maxmemory-policy` is `noeviction`.

While Redis is away, nobody can tell a replay from a new request: writes are answered 503
`limits_unavailable`. Reads go on by the memory of this process alone: replayed within the window at
another process, one shows once more what it has shown its sender.
"""

from __future__ import annotations

from hashlib import blake2b
from importlib import resources
from typing import Final

from api.coalescing import put
from api.errors import Problem
from api.limits.admission import (
    NONCE_MARGIN_S,
    DeliverAdmission,
    Entrant,
    LocalAdmission,
    Refusal,
    nonce_reused,
    older_than_memory,
)
from api.limits.limiter import READING, Limit
from chassis.redis import RedisAwayError, RedisScript
from chassis.resp import Argument
from chassis.settings import Settings
from chassis.stage import Inbox, run_stage

RETRY_AFTER_S: Final = 1
CLOCKS_APART_S: Final = 60  # of Redis and of the api processes, at most
DIGEST_BYTES: Final = 16
_ADMITTED, _USED, _OLD = 0, -1, -2
_PLACES: Final = 16  # an answer is this times the wait, and the place of the meter
_NS_PER_US: Final = 1_000


def load_script() -> str:
    """The script that `SharedAdmission` asks by."""
    return (resources.files("api.limits") / "shared.lua").read_text(encoding="utf-8")


class SharedAdmission:
    """Admission by a Redis; see `Admission`.

    Args:
        redis: with `load_script()`.
        local: what reads go by while it is away.
        settings: the whole tree.

    Attributes:
        batches_total: round trips.
        questions_total: requests that were asked about.
        away_total: requests that came while it was away.
    """

    __slots__ = (
        "_batch_max",
        "_head",
        "_inbox",
        "_limits",
        "_local",
        "_redis",
        "away_total",
        "batches_total",
        "questions_total",
    )

    def __init__(self, redis: RedisScript, local: LocalAdmission, settings: Settings) -> None:
        self._redis = redis
        self._local = local
        self._limits = (local.limiter.key, local.limiter.merchant)
        self._batch_max = settings.redis.batch_max
        kept_s = 2 * settings.api.timestamp_window_s + NONCE_MARGIN_S + CLOCKS_APART_S
        self._head = _head(settings.redis.prefix, int(kept_s), self._limits)
        self._inbox: Inbox[tuple[Entrant, DeliverAdmission]] = Inbox(
            settings.api.queue_max, name="admission"
        )
        self.batches_total = 0
        self.questions_total = 0
        self.away_total = 0

    def admit(self, entrant: Entrant, deliver: DeliverAdmission) -> None:
        """Queue a request; see `Admission`."""
        put(self._inbox, (entrant, deliver))

    async def connect(self) -> None:
        """Keep a connection until canceled; memory begins with the first there ever was."""
        await self._redis.run(self._head)

    async def run(self) -> None:
        """Let in until `close` and all is answered."""
        await run_stage(self._inbox, self._handle, batch_max=self._batch_max)

    def close(self) -> None:
        """Take nothing more."""
        self._inbox.close()

    async def _handle(self, batch: list[tuple[Entrant, DeliverAdmission]]) -> None:
        self.batches_total += 1
        self.questions_total += len(batch)
        arguments = list(self._head)
        for entrant, _ in batch:
            arguments += _arguments(entrant)
        try:
            answers = await self._redis.call(arguments)
        except RedisAwayError:
            answers = None
        if not isinstance(answers, list) or len(answers) != len(batch):
            self.away_total += len(batch)
            for entrant, deliver in batch:
                deliver(self._judge_alone(entrant))
            return
        for (entrant, deliver), answer in zip(batch, answers, strict=True):
            assert isinstance(answer, int)  # our own script's
            deliver(self._refusal(entrant, answer))

    def _judge_alone(self, entrant: Entrant) -> Refusal | None:
        if entrant.method in READING:
            return self._local.judge(entrant)
        return Problem("limits_unavailable", retry_after_s=RETRY_AFTER_S)

    def _refusal(self, entrant: Entrant, answer: int) -> Refusal | None:
        if answer == _ADMITTED:
            return None
        if answer == _USED:
            return nonce_reused()
        if answer == _OLD:
            return older_than_memory()
        wait_us, place = divmod(answer, _PLACES)
        limit = self._limits[place]
        limit.meter(entrant.method).refused_total += 1
        return limit.refusal(entrant.method, wait_us * _NS_PER_US)


def _head(prefix: str, kept_s: int, limits: tuple[Limit, ...]) -> list[Argument]:
    """What every question begins with: each limit has two meters, of reads and of writes."""
    rates = [meter.rate for limit in limits for meter in (limit.reads, limit.writes)]
    head: list[Argument] = [prefix, kept_s, len(rates)]
    for rate in rates:
        head += [rate.interval_ns / _NS_PER_US, rate.span_ns / _NS_PER_US]
    return head


def _arguments(entrant: Entrant) -> tuple[Argument, ...]:
    """One request, as the script reads it: its nonce, then the meters of key and merchant."""
    first = 1 if entrant.method in READING else 2
    nonce = entrant.nonce and _digest(entrant)
    key, merchant = entrant.publishable_key, entrant.merchant_id
    return nonce, entrant.timestamp_s, 2, first, key, first + 2, merchant


def _digest(entrant: Entrant) -> bytes:
    used = entrant.publishable_key + b"\0" + entrant.nonce
    return blake2b(used, digest_size=DIGEST_BYTES).digest()
