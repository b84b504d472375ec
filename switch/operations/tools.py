"""What everybody who follows a charge works with, and how a watch and the orders are made of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from chassis.log import get_logger
from chassis.settings import Settings
from switch.operations.acceptors import Acceptors
from switch.operations.cards import Cards
from switch.operations.desk import Desk
from switch.operations.doubts import Doubts
from switch.operations.drawing import Drawing
from switch.operations.equipping import Equipping
from switch.operations.errands import OperationCounts
from switch.operations.exchanges import Exchanges
from switch.operations.forwarder import Forwarder
from switch.operations.intake import OrderIntake
from switch.operations.orders import Orders
from switch.operations.surroundings import Surroundings, reach_of, rules_of, terms_of
from switch.operations.telling import Telling
from switch.operations.watch import Watch
from switch.pipeline.anomalies import Anomalies
from switch.responsibility import Responsibility

log = get_logger(__name__)


class Tools:
    """One set for a switch process, whichever desks it has.

    Args:
        settings: the whole tree.
        around: what does I/O, reads a clock or draws a number.
        wake: has the queues looked at at once.

    Attributes:
        counts: of everything that is done with them.
        rules: what deciders need to know about each network.
        acceptors: merchants, as networks know them.
        drawing: numbers for messages.
        telling: has findings decided.
        exchanges: messages in flight.
    """

    def __init__(
        self, settings: Settings, around: Surroundings, *, wake: Callable[[], None]
    ) -> None:
        self._settings = settings
        self._around = around
        self._wake = wake
        self.counts = OperationCounts()
        self.rules = {name: rules_of(each) for name, each in around.carriers.items()}
        self._terms = {name: terms_of(each) for name, each in around.carriers.items()}
        self._anomalies = Anomalies()
        self.acceptors = Acceptors(around.ledger.load_acceptors)
        self.drawing = Drawing(around.carriers, around.rrns, around.now_us, around.steady_us)
        self.telling = Telling(
            drawing=self.drawing,
            rules=self.rules,
            queued=wake,
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

    def orders_at(self, desk: Desk, intake: OrderIntake) -> Orders:
        """The worker on merchants' orders, who has them decided at a desk."""
        around = self._around
        return Orders(
            intake=intake,
            desk=desk,
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

    def watch_of(self, responsibility: Responsibility) -> Watch:
        """The watch over the queues of one switch, with a desk in its name."""
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
            queued=self._wake,
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
