"""Everything that follows a charge put together: desks, workers, orders, and how they drain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import trio

from chassis.log import get_logger
from chassis.settings import Settings
from chassis.stage import Inbox, run_stage
from ledger.leases import LeaseLostError
from ledger.records import Lost
from switch.core.findings import Finding
from switch.core.operations.records import (
    EXPIRY_REQUEST_ID,
    Context,
    Order,
    Spare,
)
from switch.core.operations.retrying import Again
from switch.core.operations.steps import TryAgain
from switch.link.events import LinkEvent
from switch.operations.acceptors import Acceptors
from switch.operations.cards import Cards
from switch.operations.desk import Desk
from switch.operations.doubts import Doubts
from switch.operations.drawing import Drawing
from switch.operations.equipping import Equipping
from switch.operations.errands import Errand, OperationCounts
from switch.operations.exchanges import Exchanges
from switch.operations.forwarder import Forwarder
from switch.operations.intake import OrderIntake
from switch.operations.orders import Orders
from switch.operations.surroundings import Surroundings, reach_of, rules_of, terms_of
from switch.operations.telling import About, Concluded, Telling
from switch.operations.watch import Watch
from switch.pipeline.anomalies import Anomalies
from switch.pipeline.payment import APIPeer
from switch.responsibility import Responsibility
from switch.wire import Operate

log = get_logger(__name__)


class Operations:
    """The cold path of one switch process.

    It follows the keeper of leases: for every responsibility it runs a watch.
    """

    def __init__(self, settings: Settings, around: Surroundings) -> None:
        self.counts = OperationCounts()
        self.steady_us = around.steady_us
        self.rules = {name: rules_of(each) for name, each in around.carriers.items()}
        self._terms = {name: terms_of(each) for name, each in around.carriers.items()}
        self._settings = settings
        self._around = around
        self._anomalies = Anomalies()
        self.acceptors = Acceptors(around.ledger.load_acceptors)
        self.drawing = Drawing(around.carriers, around.rrns, around.now_us, around.steady_us)
        self.telling = Telling(
            drawing=self.drawing,
            rules=self.rules,
            queued=self.wake,
            counts=self.counts,
            now_us=around.now_us,
            steady_us=around.steady_us,
        )
        self.exchanges = Exchanges(
            carriers=around.carriers,
            codes=around.codes,
            drawing=self.drawing,
            telling=self.telling,
            counts=self.counts,
            anomalies=self._anomalies,
            now_us=around.now_us,
        )
        self._cards = Cards(
            workers=around.workers,
            sealed_cards=around.ledger.sealed_cards,
            batch_max=settings.hsm.release_cards_max,
            deadline_s=settings.hsm.open_deadline_s,
            counts=self.counts,
            anomalies=self._anomalies,
        )
        self._equipping = Equipping(
            carriers=around.carriers,
            cards=self._cards,
            read_views=around.ledger.read_views,
            load_acceptors=self.acceptors.find,
            in_flight=self.exchanges.in_flight,
            anomalies=self._anomalies,
        )
        self._finishing = trio.Event()
        self._nursery: trio.Nursery | None = None
        self._own = self._watch_of(around.own)
        self._watches = {around.own.switch: self._own}
        self.inbox: Inbox[Errand] = Inbox(settings.switch.credits_max * 2, name="orders")
        self.intake = OrderIntake(
            desk=self.desk, admission=around.admission, inbox=self.inbox, counts=self.counts
        )
        self._orders = self._make_orders()

    def _make_orders(self) -> Orders:
        around = self._around
        return Orders(
            intake=self.intake,
            desk=self.desk,
            exchanges=self.exchanges,
            carriers=around.carriers,
            rules=self.rules,
            drawing=self.drawing,
            cards=self._cards,
            find_replays=around.ledger.find_replays,
            read_views=around.ledger.read_views,
            load_acceptors=self.acceptors.find,
            counts=self.counts,
            anomalies=self._anomalies,
            now_us=around.now_us,
            steady_us=around.steady_us,
        )

    def _watch_of(self, responsibility: Responsibility) -> Watch:
        around, limits = self._around, self._settings.switch
        owner, epoch = responsibility.switch, responsibility.epoch
        desk = Desk(
            owner,
            committer=around.committer_of(responsibility),
            take_ids=responsibility.ids.take,
            batch_max=limits.operations_batch_max,
            waiting_max=limits.decisions_max,
            counts=self.counts,
            anomalies=self._anomalies,
        )
        forwarder = Forwarder(
            desk=desk,
            due=partial(around.ledger.due_saf, owner),
            count_sends=partial(around.ledger.count_saf_sends, owner, epoch),
            equipping=self._equipping,
            exchanges=self.exchanges,
            telling=self.telling,
            terms=self._terms,
            batch_max=limits.queue_batch_max,
            counts=self.counts,
            anomalies=self._anomalies,
            steady_us=around.steady_us,
            uniform=around.uniform,
        )
        doubts = Doubts(
            desk=desk,
            due=partial(around.ledger.due_verifications, owner),
            equipping=self._equipping,
            exchanges=self.exchanges,
            rules=self.rules,
            drawing=self.drawing,
            batch_max=limits.queue_batch_max,
            queued=self.wake,
            counts=self.counts,
            anomalies=self._anomalies,
            now_us=around.now_us,
            steady_us=around.steady_us,
        )
        return Watch(
            responsibility=responsibility,
            desk=desk,
            forwarder=forwarder,
            doubts=doubts,
            telling=self.telling,
            take_up=partial(self._take_up, owner),
            poll_s=limits.queue_poll_s,
        )

    async def _take_up(self, owner: str) -> None:
        """Mend what another clock than this process's has written into the queues of a switch."""
        now_us, ledger = self._around.steady_us(), self._around.ledger
        doubts = advices = 0
        for name, rules in self.rules.items():
            reach = reach_of(name, rules, self._terms[name], now_us)
            doubts += await ledger.reopen_doubts(owner, reach)
            advices += await ledger.free_advices(owner, reach)
        if doubts:
            log.info("doubts_taken_up", switch=owner, doubts=doubts)
        if advices:
            log.warning("advices_lay_ahead", switch=owner, advices=advices)

    # ------------------------------------------------------------------------------- whoever asks

    @property
    def desk(self) -> Desk:
        """Decides in this switch's own name."""
        return self._own.desk

    @property
    def desks(self) -> list[Desk]:
        """Of every responsibility."""
        return [watch.desk for watch in self._watches.values()]

    def order(self, peer: APIPeer, request_id: int, operate: Operate) -> None:
        """Take a request that follows a charge, or answer it at once."""
        self.intake.accept(peer, request_id, operate)

    def on_event(self, event: LinkEvent) -> None:
        """Take an event of the links whose token is an exchange."""
        self.exchanges.on_event(event)

    def spare(self, network: str) -> Spare:
        """An attempt id of this switch's, and numbers; raises NumbersExhaustedError."""
        return self.drawing.spare(network, self.desk.take_ids(1)[0])

    def tell(
        self,
        intent_id: bytes,
        attempt_id: bytes,
        network: str,
        finding: Finding,
        actor: str,
        concluded: Concluded,
        *,
        second: bool = False,
    ) -> None:
        """Have decided, in this switch's name, what a finding about an attempt does."""
        about = About(intent_id, attempt_id, network, self.desk)
        self.telling.tell(about, finding, actor, concluded, second=second)

    def try_again(
        self,
        intent_id: bytes,
        attempt_id: bytes,
        mti: str,
        finding: Finding,
        spare: Spare,
        decided: Callable[[Again | Lost], None],
    ) -> None:
        """Have an attempt that moved nothing replaced by another one."""
        around, rules = self._around, self.rules[spare.network]
        context = Context(around.now_us(), around.steady_us(), "switch", rules, spare)
        step = TryAgain(intent_id, attempt_id, context, mti=mti, finding=finding)
        self.desk.submit(step, decided)

    def lowest_attempt(self) -> bytes | None:
        """The lowest attempt id of this switch's that may be about to be written, if any."""
        return self.desk.lowest_attempt()

    def wake(self) -> None:
        """Look at the queues at once."""
        for watch in self._watches.values():
            watch.wake()

    async def expire(self, intent_ids: Sequence[bytes]) -> None:
        """Cancel authorizations whose time to be captured is over, at their networks.

        Raises:
            LedgerError: the ledger could not be asked; the sweeper names them again.
        """
        for view in (await self._around.ledger.read_views(intent_ids)).values():
            if len(self.inbox) >= self._settings.switch.credits_max:
                return  # live orders go first; the sweeper names the rest again
            [transaction_id] = self.desk.take_ids(1)
            self.intake.run_errand(
                Order(
                    type="cancel",
                    intent_id=view.intent_id,
                    merchant_id=view.merchant_id,
                    live=view.live,
                    amount_minor=0,
                    final_capture=True,
                    key_digest=b"",
                    request_hash=b"",
                    request_id=EXPIRY_REQUEST_ID,
                    transaction_id=transaction_id,
                )
            )

    # ------------------------------------------------------------------------- responsibilities

    def on_gained(self, responsibility: Responsibility) -> None:
        """Look after the queues of another switch from now on."""
        if responsibility.switch == self._own.responsibility.switch:
            return
        watch = self._watches[responsibility.switch] = self._watch_of(responsibility)
        if self._nursery is not None:
            self._nursery.start_soon(self._run_watch, watch)

    def on_lost(self, responsibility: Responsibility) -> None:
        """Somebody else does; what was under way here is refused by the ledger."""
        if responsibility.switch != self._own.responsibility.switch:
            self._watches.pop(responsibility.switch).scope.cancel()

    async def _run_watch(self, watch: Watch) -> None:
        try:
            await watch.run()
        except* LeaseLostError:
            self._around.let_go(watch.responsibility)
        finally:
            if watch is not self._own:  # with our own this process ends, and nobody hears
                watch.desk.abandon()

    # -------------------------------------------------------------------------------------- run

    async def run(self) -> None:
        """Work until `close` and `finish` were called and everything has been decided.

        Raises:
            LeaseLostError: another process has taken this switch over.
        """
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            for watch in self._watches.values():
                nursery.start_soon(self._run_watch, watch)
            await run_stage(
                self.inbox,
                self._orders.handle,
                batch_max=self._settings.switch.operations_batch_max,
            )
            for watch in self._watches.values():
                watch.close()
            await self._finishing.wait()
            await self._wait_quiet()
            for watch in self._watches.values():
                watch.desk.close()
            self._nursery = None

    def close(self) -> None:
        """Take no more orders, and go round no more; what is under way goes on. Idempotent."""
        self.inbox.close()

    def finish(self) -> None:
        """Nobody else will have anything decided: `run` returns when all of it has been."""
        self._finishing.set()

    async def _wait_quiet(self) -> None:
        """Wait until no message is in flight and no decision is open: each may cause the other."""
        await self.exchanges.wait_quiet()
        for desk in self.desks:
            await desk.wait_quiet()
        if any(desk.undecided for desk in self.desks):
            await self._wait_quiet()
