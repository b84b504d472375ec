"""The pipeline put together: inboxes, stages, and the order in which they drain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NoReturn

import attrs
import trio

from chassis.mux import MuxClient
from chassis.settings import Settings
from chassis.stage import Inbox, run_stage
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.charges import ChargeCommitter
from ledger.outcomes import OutcomeCommitter
from switch.carriers import Carrier
from switch.core.admission import Admission
from switch.core.numbers import RRNSource
from switch.core.response_codes import ResponseCodes
from switch.core.routing import RoutingTable
from switch.core.sandbox_cards import refused_pans
from switch.link.events import LinkEvent
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.intake import Intake
from switch.pipeline.lookup import FindReplays, LoadAcceptors, Lookup
from switch.pipeline.opening import Opening
from switch.pipeline.orphans import ORPHANS_MAX, FindAttempts, Orphan, Orphans
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.recording import Recording
from switch.pipeline.replying import Replies
from switch.pipeline.settling import Settlement, Settling

SLOW_BATCH_MAX = 16  # rows that wait for locks together: few, so that one lock delays few
CARD_TICK_S = 0.5  # how finely a card's time is kept; only a database that is away makes it matter


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
    find_attempts: FindAttempts
    codes: ResponseCodes
    rrns: RRNSource
    next_id: Callable[[], bytes]
    now_us: Callable[[], int]


class Pipeline:
    """All stages of one switch."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        limits = settings.switch
        self.counts = PipelineCounts()
        anomalies = Anomalies()
        self.admission = Admission(limits)
        self.replies = Replies(self.admission, self.counts, limits)
        inside = limits.credits_max
        self._limits = limits
        self._cards_max = settings.hsm.batch_cards_max
        self._card_life_s = max(
            network.max_send_age_s + network.response_deadline_s
            for network in settings.networks.values()
        )
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
            anomalies=anomalies,
        )
        self.opening = Opening(
            workers=outside.workers,
            settings=settings.hsm,
            recording=self._records,
            replies=self.replies,
            counts=self.counts,
            anomalies=anomalies,
            refused_pans=refused_pans(settings.mode),
        )
        self.settling = Settling(
            committer=outside.outcomes,
            find_replays=outside.find_replays,
            codes=outside.codes,
            replies=self.replies,
            counts=self.counts,
            anomalies=anomalies,
            inbox=self._settlements,
            orphans=self._orphaned,
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
            anomalies=anomalies,
            slow=self._slow,
            settle=self.settling.settle,
        )
        self._orphans = Orphans(
            find_attempts=outside.find_attempts,
            codes=outside.codes,
            committer=outside.adoptions,
            counts=self.counts,
            anomalies=anomalies,
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
            background.start_soon(self._forget_cards)
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

    async def _forget_cards(self) -> NoReturn:
        """Drop the cards of payments that are past the deadline their attempt would have had."""
        while True:
            await trio.sleep(CARD_TICK_S)
            self.replies.forget_cards(accepted_before=trio.current_time() - self._card_life_s)

    def _resend(self, payment: Payment) -> bool:
        """Put an unsent message on another link of its network: same attempt, still young."""
        return self.recording.resend(payment)
