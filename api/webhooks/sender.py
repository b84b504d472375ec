"""Everything that is due, sent: claims from the ledger, a lane an endpoint, a task a try.

Theory of operation. What is due stands in the ledger, in an index by endpoint and instant. The
sender claims as much as its lanes have room for, which also says when it is due again if nothing
is heard of it; so a sender that dies loses nothing and tells nobody twice but those whom it was
just telling. A lane never holds more than twice what it may try at once, and what an endpoint has
waiting beyond that is not read, so dead endpoints cost the living nothing but the sockets of their
few tries. Results gather while the previous ones are written, one statement a batch.

A delivery that would reach the end of its claim while it is tried is let go of: it is due again by
itself, and two tries of it at once would be one too many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import trio

from api.errors import ProblemError
from api.webhooks.keyring import Destination, Keyring
from api.webhooks.lanes import Lane, default_room
from api.webhooks.posting import Posted, Poster
from api.webhooks.schedule import is_over, retry_delay_s
from api.webhooks.signing import signature_headers
from chassis.log import get_logger
from chassis.metrics import Histogram
from chassis.settings.webhooks import Webhooks
from chassis.stage import Inbox, run_stage
from ledger.errors import ConnectionLostError, PoolOverloadError, RetryableError
from ledger.ids import public_id
from ledger.statements import Runner
from ledger.webhooks import deliveries
from ledger.webhooks.deliveries import Claimed, TryResult
from ledger.webhooks.endpoints import disable_gone

TRANSIENT: Final = (RetryableError, ConnectionLostError, PoolOverloadError)
GONE: Final = "gone"
# Every reason that a try may have failed for, as the delivery's log and the metrics name them.
REASONS: Final = (
    "address_refused",
    "connection_lost",
    GONE,
    "name_unknown",
    "no_answer_in_time",
    "not_connected",
    "not_connected_in_time",
    "not_http",
    "redirected",
    "refused",
    "tls_failed",
)
_RETRY_S: Final = 1.0  # while the ledger or the HSM is away
_DRAIN_S: Final = 5.0  # for tries under way; what is not over then is due again by itself

_log = get_logger(__name__)


class Sender:
    """Sends what is due on one shard.

    Args:
        database: of role turnout_webhooks, on the shard.
        directory: the same role on shard 0.
        keyring: finds destinations.
        poster: sends.
        limits: times and bounds.
        now_us: microseconds since 1970.
        draw: from 0 to 1, for jitter.

    Raises:
        ValueError: a claim would end while a try is under way.

    Attributes:
        delivered_total: tries that were answered 2xx.
        failed: the others, by reason.
        first_seconds: from commit to the answer, of first tries that were delivered.
        claimed_total: taken from the ledger.
    """

    def __init__(
        self,
        database: Runner,
        directory: Runner,
        keyring: Keyring,
        poster: Poster,
        *,
        limits: Webhooks,
        now_us: Callable[[], int],
        draw: Callable[[], float],
    ) -> None:
        if _begin_within_s(limits) <= 0:
            raise ValueError("webhooks.claim_s must exceed twice what a try may take")
        self._database = database
        self._directory = directory
        self._keyring = keyring
        self._poster = poster
        self._limits = limits
        self._now_us = now_us
        self._draw = draw
        self._lanes: dict[bytes, Lane] = {}
        self._held: set[bytes] = set()
        self._in_flight = 0
        self._results: Inbox[TryResult] = Inbox(2 * limits.claims_max, name="webhook results")
        self._woken = trio.Event()
        self._busy_until = 0.0
        self.delivered_total = 0
        self.claimed_total = 0
        self.failed: Counter[str] = Counter()
        self.first_seconds = Histogram()

    @property
    def in_flight(self) -> int:
        """Tries under way."""
        return self._in_flight

    def wake(self) -> None:
        """Something is about to be due."""
        self._busy_until = trio.current_time() + 1.0
        self._woken.set()

    async def run(self, draining: trio.Event) -> None:
        """Send until the service drains, then finish what is under way."""
        try:
            async with trio.open_nursery() as recording:
                recording.start_soon(self._record_results)
                await self._send(draining)
                self._results.close()
        finally:
            await self._poster.aclose()

    async def _send(self, draining: trio.Event) -> None:
        async with trio.open_nursery() as tries:
            tries.start_soon(self._let_go_of_old, draining)
            while not draining.is_set():
                await self._claim(tries)
                self._begin(tries)
                await self._pause(draining)
            await self._give_back()
            tries.cancel_scope.deadline = trio.current_time() + _DRAIN_S

    # --------------------------------------------------------------------------------- claiming

    async def _claim(self, tries: trio.Nursery) -> None:
        """Take what is due and has room, again while there is as much as was asked for."""
        while (limit := self._limits.claims_max - len(self._held)) > 0:
            now = trio.current_time()
            rooms = {id_: lane.room(now) for id_, lane in self._lanes.items()}
            try:
                claimed = await deliveries.claim(
                    self._database,
                    rooms=rooms,
                    room=default_room(self._limits),
                    limit=limit,
                    claim_s=self._limits.claim_s,
                )
                await self._take(claimed, now)
            except TRANSIENT as error:
                _log.warning("webhooks wait for the ledger", why=str(error))
                await trio.sleep(_RETRY_S)
                return
            self._begin(tries)
            if len(claimed) < limit:
                return

    async def _take(self, claimed: Sequence[Claimed], now: float) -> None:
        fresh = [one for one in claimed if one.delivery_id not in self._held]
        if not fresh:
            return
        self.claimed_total += len(fresh)
        self._busy_until = now + 1.0
        try:
            found = await self._keyring.find(list({one.endpoint_id for one in fresh}))
        except ProblemError as error:  # the HSM is away: they are due again by themselves
            _log.warning("webhooks wait for the HSM", why=error.problem.code)
            await deliveries.give_back(self._database, [one.delivery_id for one in fresh])
            await trio.sleep(_RETRY_S)
            return
        if unwanted := [one.delivery_id for one in fresh if found[one.endpoint_id] is None]:
            await deliveries.cancel(self._database, unwanted)
        for one in fresh:
            if found[one.endpoint_id] is not None:
                lane = self._lanes.get(one.endpoint_id)
                if lane is None:
                    lane = self._lanes[one.endpoint_id] = Lane(self._limits)
                lane.queue.append((now, one))
                lane.used = True
                self._held.add(one.delivery_id)

    async def _pause(self, draining: trio.Event) -> None:
        """Wait for more to be due: shortly while there is traffic, else until woken."""
        busy = self._held or trio.current_time() < self._busy_until
        pause_s = self._limits.poll_ms / 1_000 if busy else self._limits.idle_poll_s
        if busy:
            with trio.move_on_after(pause_s):
                await draining.wait()
            return
        self._woken = trio.Event()
        with trio.move_on_after(pause_s):
            await self._woken.wait()

    async def _give_back(self) -> None:
        """Let go of what was claimed and not begun."""
        waiting = [one.delivery_id for lane in self._lanes.values() for _, one in lane.queue]
        for lane in self._lanes.values():
            lane.queue.clear()
        if waiting:
            try:
                await deliveries.give_back(self._database, waiting)
            except TRANSIENT as error:  # their claims end by themselves
                _log.warning("webhooks not given back", why=str(error))

    # ---------------------------------------------------------------------------------- sending

    def _begin(self, tries: trio.Nursery) -> None:
        """Begin what lanes and sockets allow, one of each lane in turn."""
        now = trio.current_time()
        ready = [(id_, lane) for id_, lane in self._lanes.items() if lane.may_begin(now)]
        while ready and self._in_flight < self._limits.in_flight_max:
            for id_, lane in ready:
                self._begin_one(tries, id_, lane, now)
            ready = [(id_, lane) for id_, lane in ready if lane.may_begin(now)]

    def _begin_one(self, tries: trio.Nursery, endpoint_id: bytes, lane: Lane, now: float) -> None:
        """Begin the next of a lane, if it has one that may begin and there is a socket."""
        if self._in_flight >= self._limits.in_flight_max or not lane.may_begin(now):
            return
        claimed_at, one = lane.queue.popleft()
        if now > claimed_at + _begin_within_s(self._limits):
            self._held.discard(one.delivery_id)
            return
        lane.in_flight += 1
        self._in_flight += 1
        tries.start_soon(self._try, tries, endpoint_id, lane, one)

    def _forget_lanes(self) -> None:
        """Let go of lanes that nothing came into since the last look."""
        for id_ in [id_ for id_, lane in self._lanes.items() if lane.is_fresh and not lane.used]:
            del self._lanes[id_]
        for lane in self._lanes.values():
            lane.used = False

    async def _try(self, tries: trio.Nursery, endpoint_id: bytes, lane: Lane, one: Claimed) -> None:
        started_us, started = self._now_us(), trio.current_time()
        posted: Posted | None = None
        try:
            posted = await self._post(endpoint_id, one, started_us)
        finally:
            lane.in_flight -= 1
            self._in_flight -= 1
            if posted is None:
                self._held.discard(one.delivery_id)
        if posted is None:
            return
        if posted.reason:
            lane.failed(trio.current_time())
            self.failed[posted.reason] += 1
        else:
            lane.answered()
            self.delivered_total += 1
            if not one.tries:
                self.first_seconds.observe((self._now_us() - one.occurred_at_us) / 1_000_000)
        if posted.reason == GONE:
            await self._disable(endpoint_id)
        elif lane.is_closed and self._is_late(one):
            await self._give_up(endpoint_id)
        duration_ms = int((trio.current_time() - started) * 1_000)
        self._results.put(self._result(one, posted, started_us, duration_ms))
        self._begin_one(tries, endpoint_id, lane, trio.current_time())

    async def _post(self, endpoint_id: bytes, one: Claimed, at_us: int) -> Posted | None:
        """One try; None where the endpoint is not to be told after all."""
        try:
            destination: Destination | None = (await self._keyring.find([endpoint_id]))[endpoint_id]
            if destination is None:
                await deliveries.cancel(self._database, [one.delivery_id])
                return None
        except (*TRANSIENT, ProblemError):
            return None  # due again by itself
        headers = signature_headers(
            destination.keys,
            event=public_id("evt", one.event_id),
            at_s=at_us // 1_000_000,
            body=one.body,
        )
        return await self._poster.post(destination.url, headers, one.body)

    async def _disable(self, endpoint_id: bytes) -> None:
        try:
            await disable_gone(self._directory, [endpoint_id])
        except TRANSIENT as error:  # it will say so again
            _log.warning("an endpoint that is gone is not disabled yet", why=str(error))
        self._keyring.forget(endpoint_id)
        _log.info("endpoint disabled, it answered 410", endpoint=public_id("we", endpoint_id))

    def _is_late(self, one: Claimed) -> bool:
        return is_over(since_us=one.since_us, due_at_us=self._now_us(), limits=self._limits)

    async def _give_up(self, endpoint_id: bytes) -> None:
        """End what a dead endpoint has waiting too long; one try a pause would take for ever."""
        before_us = self._now_us() - int(self._limits.give_up_s * 1_000_000)
        try:
            await deliveries.give_up(self._database, endpoint_id, before_us=before_us)
        except TRANSIENT as error:
            _log.warning("old webhooks are not given up yet", why=str(error))

    def _result(self, one: Claimed, posted: Posted, started_us: int, duration_ms: int) -> TryResult:
        """What follows from a try."""
        status, due_at_us, failures = "delivered", None, 0
        if posted.reason == GONE:
            status = "canceled"
        elif posted.reason:
            failures = one.failures + 1
            delay_s = retry_delay_s(failures, self._draw(), self._limits)
            due_at_us = self._now_us() + int(delay_s * 1_000_000)
            status = "pending"
            if is_over(since_us=one.since_us, due_at_us=due_at_us, limits=self._limits):
                status, due_at_us = "failed", None
        return TryResult(
            delivery_id=one.delivery_id,
            number=one.tries + 1,
            started_at_us=started_us,
            duration_ms=duration_ms,
            status_code=posted.status_code,
            reason=posted.reason,
            status=status,
            due_at_us=due_at_us,
            failures=failures,
        )

    # -------------------------------------------------------------------------------- recording

    async def _record_results(self) -> None:
        await run_stage(self._results, self._record, batch_max=self._limits.results_batch_max)

    async def _record(self, batch: list[TryResult]) -> None:
        while True:
            try:
                await deliveries.record(self._database, batch)
                break
            except TRANSIENT as error:
                _log.warning("webhooks wait for the ledger", why=str(error))
                await trio.sleep(_RETRY_S)
        for result in batch:
            self._held.discard(result.delivery_id)

    async def _let_go_of_old(self, draining: trio.Event) -> None:
        while not draining.is_set():
            await self._poster.close_old()
            self._forget_lanes()
            with trio.move_on_after(self._limits.connection_idle_s / 2):
                await draining.wait()


def _begin_within_s(limits: Webhooks) -> float:
    """How long after its claim a try may begin: it may take a kept connection and a new one."""
    return limits.claim_s - 2 * (limits.dial_timeout_s + limits.answer_timeout_s)
