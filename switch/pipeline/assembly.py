"""The pipeline put together: inboxes, stages, and the order in which they drain."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NoReturn

import trio

from chassis.settings import Settings
from chassis.stage import run_stage
from switch.core.findings import Finding
from switch.core.routing import RoutingTable
from switch.core.sandbox_cards import refused_pans
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.completing import Completing
from switch.pipeline.hearing import Hearing
from switch.pipeline.inboxes import Inboxes, Waiting
from switch.pipeline.intake import Intake
from switch.pipeline.lookup import Lookup
from switch.pipeline.opening import Opening
from switch.pipeline.orphans import (
    ORPHANS_MAX,
    Orphans,
)
from switch.pipeline.outside import Outside
from switch.pipeline.payment import Payment, PipelineCounts
from switch.pipeline.recording import Recording
from switch.pipeline.replying import Replies
from switch.pipeline.retrying import Retrying
from switch.pipeline.settling import Settling

SLOW_BATCH_MAX = 16  # rows that wait for locks together: few, so that one lock delays few
CARD_TICK_S = 0.5  # how finely a card's time is kept; only a database that is away makes it matter


class Pipeline:
    """All stages of one switch."""

    def __init__(self, settings: Settings, outside: Outside) -> None:
        limits = settings.switch
        self._limits = limits
        self._carriers = outside.carriers
        self._cards_max = settings.hsm.batch_cards_max
        self._card_life_s = max(
            network.max_send_age_s + network.response_deadline_s
            for network in settings.networks.values()
        )
        self._inboxes = Inboxes.sized(limits)
        self._anomalies = Anomalies()
        self.counts = PipelineCounts()
        self.admission = outside.admission
        self.replies = Replies(self.admission, self.counts, limits)
        self._make_stages_to_the_card(settings, outside)
        self._make_stages_at_the_network(settings, outside)

    def _make_stages_to_the_card(self, settings: Settings, outside: Outside) -> None:
        self.intake = Intake(
            admission=self.admission,
            replies=self.replies,
            lookup=self._inboxes.lookup,
            counts=self.counts,
            order=outside.aftermath.order,
        )
        self.lookup = Lookup(
            find_replays=outside.find_replays,
            load_acceptors=outside.load_acceptors,
            opening=self._inboxes.opening,
            replies=self.replies,
            counts=self.counts,
            anomalies=self._anomalies,
        )
        self.opening = Opening(
            workers=outside.workers,
            settings=settings.hsm,
            recording=self._inboxes.recording,
            replies=self.replies,
            counts=self.counts,
            anomalies=self._anomalies,
            refused_pans=refused_pans(settings.mode),
        )

    def _make_stages_at_the_network(self, settings: Settings, outside: Outside) -> None:
        routing = RoutingTable(settings.networks, settings.switch.default_network)
        self.completing = Completing(
            carriers=outside.carriers,
            codes=outside.codes,
            committer=outside.completions,
            acknowledgments=self._inboxes.acknowledgments,
            aftermath=outside.aftermath,
            counts=self.counts,
            anomalies=self._anomalies,
            now_us=outside.now_us,
        )
        self.settling = Settling(
            committer=outside.outcomes,
            held_committer=outside.held_outcomes,
            find_replays=outside.find_replays,
            rules=outside.aftermath.rules,
            declines=outside.declines,
            completing=self.completing,
            replies=self.replies,
            counts=self.counts,
            anomalies=self._anomalies,
            now_us=outside.now_us,
            steady_us=outside.steady_us,
        )
        self.recording = Recording(
            carriers=outside.carriers,
            routing=routing,
            admission=self.admission,
            committer=outside.charges,
            replies=self.replies,
            counts=self.counts,
            rrns=outside.rrns,
            take_ids=outside.take_ids,
            now_us=outside.now_us,
            anomalies=self._anomalies,
            declines=outside.declines,
            slow=self._inboxes.slow,
            settle=self._settle,
        )
        self.hearing = Hearing(
            carriers=outside.carriers,
            codes=outside.codes,
            replies=self.replies,
            settling=self._inboxes.settling,
            orphans=self._inboxes.orphans,
            completing=self.completing,
            retrying=self._make_retrying(routing, outside),
            resend=self.recording.resend,
            aftermath=outside.aftermath,
            counts=self.counts,
            anomalies=self._anomalies,
            now_us=outside.now_us,
        )
        self._orphans = Orphans(
            inbox=self._inboxes.orphans,
            carriers=outside.carriers,
            find_attempts=outside.find_attempts,
            open_exceptions=outside.open_exceptions,
            codes=outside.codes,
            aftermath=outside.aftermath,
            counts=self.counts,
            anomalies=self._anomalies,
            now_us=outside.now_us,
        )

    def _make_retrying(self, routing: RoutingTable, outside: Outside) -> Retrying:
        return Retrying(
            carriers=outside.carriers,
            routing=routing,
            admission=self.admission,
            aftermath=outside.aftermath,
            send=self.recording.send,
            settle=self._settle,
            counts=self.counts,
        )

    @property
    def inboxes(self) -> tuple[Waiting, ...]:
        """For the metrics: what waits where."""
        return (*self._inboxes.all(), self.settling.held)

    async def run(self, drain_links: Callable[[], Awaitable[None]]) -> None:
        """Run every stage until `close` was called and all that was inside has been answered.

        `drain_links` is awaited once nothing more will be sent; it returns when every message in
        flight has been answered or has passed its deadline.
        """
        async with trio.open_nursery() as background:
            background.start_soon(self.opening.expire)
            background.start_soon(self._forget_cards)
            background.start_soon(self._orphans.hear_again)
            async with trio.open_nursery() as stages:
                stages.start_soon(self._run_lookup)
                stages.start_soon(self._run_opening)
                stages.start_soon(self._run_recording)
                stages.start_soon(self._run_slow, drain_links)
                stages.start_soon(self._run_settling)
                stages.start_soon(self.settling.settle_held)
                stages.start_soon(self._run_orphans)
                stages.start_soon(self._run_acknowledgments)
            background.cancel_scope.cancel()

    def close(self) -> None:
        """Admit nothing more; `run` returns when what is inside has been answered."""
        self.intake.close()
        self._inboxes.lookup.close()

    # Each stage ends when its inbox is closed and empty, then closes the next one's.

    async def _run_lookup(self) -> None:
        await run_stage(
            self._inboxes.lookup, self.lookup.handle, batch_max=self._limits.lookup_batch_max
        )
        self._inboxes.opening.close()

    async def _run_opening(self) -> None:
        await run_stage(self._inboxes.opening, self.opening.handle, batch_max=self._cards_max)
        await self.opening.wait_idle()
        self._inboxes.recording.close()

    async def _run_recording(self) -> None:
        await run_stage(
            self._inboxes.recording, self.recording.handle, batch_max=self._limits.commit_batch_max
        )
        self._inboxes.slow.close()

    async def _run_slow(self, drain_links: Callable[[], Awaitable[None]]) -> None:
        await run_stage(self._inboxes.slow, self.recording.handle_slow, batch_max=SLOW_BATCH_MAX)
        await drain_links()
        self._inboxes.settling.close()
        self._inboxes.orphans.close()
        self._inboxes.acknowledgments.close()

    async def _run_settling(self) -> None:
        await run_stage(
            self._inboxes.settling, self.settling.handle, batch_max=self._limits.settle_batch_max
        )
        self.settling.held.close()

    async def _run_orphans(self) -> None:
        await run_stage(self._inboxes.orphans, self._orphans.handle, batch_max=ORPHANS_MAX)

    async def _run_acknowledgments(self) -> None:
        await run_stage(
            self._inboxes.acknowledgments,
            self.completing.handle,
            batch_max=self._limits.settle_batch_max,
        )

    async def _forget_cards(self) -> NoReturn:
        """Drop the cards of payments that are past the deadline their attempt would have had."""
        while True:
            await trio.sleep(CARD_TICK_S)
            self.replies.forget_cards(accepted_before=trio.current_time() - self._card_life_s)

    def _settle(self, payment: Payment, finding: Finding) -> None:
        """Record a first result that no event tells of."""
        self.hearing.settle(payment, finding)
