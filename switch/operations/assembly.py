"""Everything that follows a charge put together: whom to ask for what, and how it drains."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import trio

from chassis.settings import Settings
from chassis.stage import Inbox, run_stage
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
from switch.operations.desk import Desk
from switch.operations.errands import Errand
from switch.operations.intake import OrderIntake
from switch.operations.surroundings import Surroundings
from switch.operations.telling import About, Concluded
from switch.operations.tools import Tools
from switch.operations.watches import Watches
from switch.pipeline.payment import APIPeer
from switch.responsibility import Responsibility
from switch.wire import Operate


class Operations:
    """The cold path of one switch process.

    It follows the keeper of leases: for every responsibility it runs a watch.

    Attributes:
        counts: of everything here.
        rules: what deciders need to know about each network.
        drawing: numbers for messages.
        exchanges: messages in flight.
        telling: has findings decided.
        acceptors: merchants, as networks know them.
        steady_us: the clock of the queues.
        watches: the queues, and the desks that decide about them.
        inbox: orders that wait to be looked at.
    """

    def __init__(self, settings: Settings, around: Surroundings) -> None:
        self._settings = settings
        self._around = around
        tools = Tools(settings, around, wake=self.wake)
        self.counts = tools.counts
        self.rules = tools.rules
        self.drawing = tools.drawing
        self.exchanges = tools.exchanges
        self.acceptors = tools.acceptors
        self.steady_us = around.steady_us
        self.telling = tools.telling
        self._finishing = trio.Event()
        self.watches = Watches(around.own, make=tools.watch_of, let_go=around.let_go)
        self.inbox: Inbox[Errand] = Inbox(settings.switch.credits_max * 2, name="orders")
        self.intake = OrderIntake(
            desk=self.desk, admission=around.admission, inbox=self.inbox, counts=self.counts
        )
        self._orders = tools.orders_at(self.desk, self.intake)

    # ------------------------------------------------------------------------------- whoever asks

    @property
    def desk(self) -> Desk:
        """Decides in this switch's own name."""
        return self.watches.own.desk

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
        self.watches.wake()

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
        self.watches.gained(responsibility)

    def on_lost(self, responsibility: Responsibility) -> None:
        """Somebody else does; what was under way here is refused by the ledger."""
        self.watches.lost(responsibility)

    # -------------------------------------------------------------------------------------- run

    async def run(self) -> None:
        """Work until `close` and `finish` were called and everything has been decided.

        Raises:
            LeaseLostError: another process has taken this switch over.
            DatabaseError: a fault of ours, such as a missing privilege.
        """
        async with trio.open_nursery() as nursery:
            self.watches.start(nursery)
            await run_stage(
                self.inbox,
                self._orders.handle,
                batch_max=self._settings.switch.operations_batch_max,
            )
            self.watches.close()
            await self._finishing.wait()
            await self._wait_quiet()
            self.watches.close_desks()

    def close(self) -> None:
        """Take no more orders, and go round no more; what is under way goes on. Idempotent."""
        self.inbox.close()

    def finish(self) -> None:
        """Nobody else will have anything decided: `run` returns when all of it has been."""
        self._finishing.set()

    async def _wait_quiet(self) -> None:
        """Wait until no message is in flight and no decision is open: each may cause the other."""
        while self.exchanges.is_busy or self.watches.undecided:
            await self.exchanges.wait_quiet()
            await self.watches.wait_quiet()
