"""The pipeline put together: inboxes, stages, and the order in which they drain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

import attrs
import trio

from chassis.mux import MuxClient
from chassis.settings import Settings
from chassis.stage import Inbox, InboxClosedError, run_stage
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.charges import ChargeCommitter
from ledger.outcomes import OutcomeCommitter
from ledger.recovery import OpenAttempt
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.numbers import RRNSource
from switch.core.response_codes import ResponseCodes
from switch.core.routing import RoutingTable
from switch.core.sandbox_cards import refused_pans
from switch.link.events import LinkEvent
from switch.pipeline.intake import Intake
from switch.pipeline.lookup import FindReplays, LoadAcceptors, Lookup
from switch.pipeline.opening import Opening
from switch.pipeline.orphans import ORPHANS_MAX, AttemptKey, Orphan, Orphans
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.recording import Recording
from switch.pipeline.replying import Replies
from switch.pipeline.settling import Settlement, Settling

SLOW_BATCH_MAX = 16  # rows that wait for locks together: few, so that one lock delays few
RETRY_AFTER_S = 1


@attrs.frozen(kw_only=True)
class Outside:
    """What the pipeline is given: everything that does I/O, reads a clock or draws a number."""

    workers: Sequence[MuxClient[HSMRequest, HSMReply]]
    carriers: Mapping[str, Carrier]
    find_replays: FindReplays
    load_acceptors: LoadAcceptors
    charges: ChargeCommitter
    outcomes: OutcomeCommitter
    adoptions: OutcomeCommitter  # of the orphans' stage: a session is for one task
    recovered: Mapping[AttemptKey, OpenAttempt]
    codes: ResponseCodes
    rrns: RRNSource
    next_id: Callable[[], bytes]
    now_us: Callable[[], int]


class Pipeline:
    """All stages of one switch."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        limits = settings.switch
        self.counts = PipelineCounts()
        self.admission = Admission(limits)
        self.replies = Replies(self.admission, self.counts, limits)
        inside = limits.credits_max
        self._limits = limits
        self._cards_max = settings.hsm.batch_cards_max
        self._lookups: Inbox[Payment] = Inbox(inside, name="lookup")
        self._cards: Inbox[Payment] = Inbox(inside, name="opening")
        self._records: Inbox[Payment] = Inbox(inside, name="recording")
        self._slow: Inbox[Payment] = Inbox(inside, name="slow")
        # Late answers come for payments that have given their credit back.
        self._settlements: Inbox[Settlement] = Inbox(
            inside + limits.answered_keys_max, name="settling"
        )
        self._orphaned: Inbox[Orphan] = Inbox(ORPHANS_MAX, name="orphans")
        self.intake = Intake(
            admission=self.admission,
            replies=self.replies,
            lookup=self._lookups,
            counts=self.counts,
        )
        self.lookup = Lookup(
            find_replays=outside.find_replays,
            load_acceptors=outside.load_acceptors,
            opening=self._cards,
            replies=self.replies,
            counts=self.counts,
        )
        self.opening = Opening(
            workers=outside.workers,
            settings=settings.hsm,
            recording=self._records,
            replies=self.replies,
            refused_pans=refused_pans(settings.mode),
        )
        self.settling = Settling(
            committer=outside.outcomes,
            codes=outside.codes,
            replies=self.replies,
            counts=self.counts,
            inbox=self._settlements,
            orphans=self._orphaned,
            reconsider=self._reconsider,
            resend=self._resend,
            now_us=outside.now_us,
        )
        self.recording = Recording(
            carriers=outside.carriers,
            routing=RoutingTable(settings.networks, limits.default_network),
            admission=self.admission,
            committer=outside.charges,
            replies=self.replies,
            counts=self.counts,
            rrns=outside.rrns,
            next_id=outside.next_id,
            now_us=outside.now_us,
            slow=self._slow,
            not_sent=self.settling.not_sent,
        )
        self._orphans = Orphans(
            recovered=outside.recovered,
            codes=outside.codes,
            committer=outside.adoptions,
            counts=self.counts,
            now_us=outside.now_us,
        )

    @property
    def inboxes(self) -> tuple[Inbox[Payment] | Inbox[Settlement] | Inbox[Orphan], ...]:
        """For the metrics: what waits where."""
        return (
            self._lookups,
            self._cards,
            self._records,
            self._slow,
            self._settlements,
            self._orphaned,
        )

    def on_events(self, network: str) -> Callable[[list[LinkEvent]], None]:
        """The function a link group of `network` hands its events to."""
        return lambda events: self.settling.on_events(network, events)

    async def run(self, drain_links: Callable[[], Awaitable[None]]) -> None:
        """Run every stage until `close` was called and all that was inside has been answered.

        `drain_links` is awaited once nothing more will be sent; it returns when every message in
        flight has been answered or has passed its deadline.
        """
        async with trio.open_nursery() as background:
            background.start_soon(self.opening.expire)
            async with trio.open_nursery() as stages:
                stages.start_soon(self._run_lookup)
                stages.start_soon(self._run_opening)
                stages.start_soon(self._run_recording)
                stages.start_soon(self._run_slow, drain_links)
                stages.start_soon(self._run_settling)
                stages.start_soon(self._run_orphans)
            background.cancel_scope.cancel()

    def close(self) -> None:
        """Admit nothing more; `run` returns when what is inside has been answered."""
        self.intake.close()
        self._lookups.close()

    # Each stage ends when its inbox is closed and empty, then closes the next one's.

    async def _run_lookup(self) -> None:
        await run_stage(self._lookups, self.lookup.handle, batch_max=self._limits.lookup_batch_max)
        self._cards.close()

    async def _run_opening(self) -> None:
        await run_stage(self._cards, self.opening.handle, batch_max=self._cards_max)
        await self.opening.wait_idle()
        self._records.close()

    async def _run_recording(self) -> None:
        await run_stage(
            self._records, self.recording.handle, batch_max=self._limits.commit_batch_max
        )
        self._slow.close()

    async def _run_slow(self, drain_links: Callable[[], Awaitable[None]]) -> None:
        await run_stage(self._slow, self.recording.handle_slow, batch_max=SLOW_BATCH_MAX)
        await drain_links()
        self._settlements.close()
        self._orphaned.close()

    async def _run_settling(self) -> None:
        await run_stage(
            self._settlements, self.settling.handle, batch_max=self._limits.settle_batch_max
        )

    async def _run_orphans(self) -> None:
        await run_stage(self._orphaned, self._orphans.handle, batch_max=ORPHANS_MAX)

    def _reconsider(self, payment: Payment) -> None:
        """Answer from the ledger a payment that somebody else has decided meanwhile."""
        try:
            self._lookups.put(payment)
        except InboxClosedError:
            self.replies.refuse(payment, "overloaded", RETRY_AFTER_S)

    def _resend(self, payment: Payment) -> bool:
        """Put an unsent message on another link of its network: same attempt, still young."""
        return self.recording.resend(payment)
