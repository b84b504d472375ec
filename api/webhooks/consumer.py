"""The consumer that tells: versions of payments in, the rows of events and deliveries out.

A page costs a handful of statements, however many events it has, and none where no merchant of it
has an endpoint: then most of its cost is to see that. Events of merchants without endpoints are not
kept. The runner (`ledger.stream.consumer`) puts the rows into one transaction with the cursor's
move; keys on both tables make a page that is read again, from another place or of a repair, the
same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define, field

from api.webhooks.bodies import event_body
from ledger.connection import Step
from ledger.ids import UUID7Source
from ledger.statements import Runner
from ledger.stream.consumer import Delivery, EventRefusedError, LedgerUnsettledError
from ledger.stream.cursors import ledger_is_settled
from ledger.webhooks import deliveries, events
from ledger.webhooks.changes import Change, ChangeReader, Version
from ledger.webhooks.endpoints import Listening, listening
from ledger.webhooks.events import NewEvent
from ledger.webhooks.kinds import FIRST_VERSION, Told, kind_of, kind_of_status
from ledger.webhooks.statuses import CONSUMER_GROUP

Listeners = dict[tuple[bytes, bool], list[Listening]]


@define(kw_only=True)
class WebhookConsumer:
    """Makes events and deliveries.

    Args:
        database: of role turnout_webhooks, on the shard.
        directory: the same role on shard 0, where endpoints are.
        slot: of the relay whose stream it reads.
        ids: of deliveries; they name the shard.
        now_us: microseconds since 1970.
        keep_us: events that are older are not told: they were, and are forgotten.
        planned: called when there is something to send.
    """

    database: Runner
    directory: Runner
    slot: str
    ids: UUID7Source
    now_us: Callable[[], int]
    keep_us: int
    planned: Callable[[], None]
    _reader: ChangeReader = field(factory=ChangeReader)
    events_planned_total: int = 0
    deliveries_planned_total: int = 0
    group: str = CONSUMER_GROUP

    async def plan(self, deliveries_: Sequence[Delivery]) -> Sequence[Step]:
        """The statements that keep these records' events and who is to be told of them.

        Raises:
            EventRefusedError, RecordError: one of them cannot be told.
            LedgerUnsettledError: stream and ledger are not of one history now.
        """
        found = [self._reader.read(one.record, one.page.descriptors) for one in deliveries_]
        oldest_us = self.now_us() - self.keep_us
        changes = [one for one in found if one is not None and one.committed_at_us > oldest_us]
        if not changes:
            return []
        merchants = list({change.merchant_id for change in changes})
        listeners = await listening(self.directory, merchants)
        told = [(change, version) for change, version in _versions(changes, listeners)]
        if not told:
            return []
        newest = deliveries_[-1]
        if not await ledger_is_settled(self.database, self.slot, newest.page, newest.record):
            raise LedgerUnsettledError("the ledger was set back; the relay waits for a repair")
        new = await self._events(told)
        if not new:
            return []
        steps = [events.insert_step(new)]
        if wanted := self._deliveries(new, listeners):
            steps.append(deliveries.insert_step(wanted))
            self.planned()
        self.events_planned_total += len(new)
        self.deliveries_planned_total += len(wanted)
        return steps

    async def known(self, event_ids: Collection[bytes]) -> Collection[bytes]:
        """None by their ids: keys keep an event from being told twice."""
        del event_ids
        return ()

    async def _events(self, told: Sequence[tuple[Change, Version]]) -> list[NewEvent]:
        versions = [version for _, version in told]
        kinds = await self._kinds(versions)
        wanted = [
            (change, version, kind)
            for (change, version), kind in zip(told, kinds, strict=True)
            if kind
        ]
        rows = await events.rows_at(self.database, [version for _, version, _ in wanted])
        new = []
        for (change, version, kind), row in zip(wanted, rows, strict=True):
            if row is None:
                raise EventRefusedError("the ledger does not have its payment")
            at_us = change.committed_at_us
            body = event_body(version.event_id, kind, at_us, row)
            new.append(NewEvent(version, kind, at_us, body))
        return new

    async def _kinds(self, versions: Sequence[Version]) -> list[str]:
        """The type of each version's event; empty where it is none."""
        before = await events.told_before(self.database, versions)
        states: dict[bytes, Told] = {}
        kinds = []
        for version, known in zip(versions, before, strict=True):
            state = states.get(version.intent_id, known)
            if version.version == FIRST_VERSION:
                kind = kind_of_status(version.status)
            elif state is None:
                kind = await events.kind_in_timeline(self.database, version)
            else:
                kind = kind_of(
                    state,
                    status=version.status,
                    refunded_minor=version.refunded_minor,
                    captured_minor=version.captured_minor,
                )
            if kind:
                states[version.intent_id] = Told(version.status, version.refunded_minor)
            kinds.append(kind)
        return kinds

    def _deliveries(
        self, new: Sequence[NewEvent], listeners: Listeners
    ) -> list[deliveries.NewDelivery]:
        wanted = [
            (event, endpoint)
            for event in new
            for endpoint in listeners[event.version.merchant_id, event.version.live]
            if endpoint.wants(event.type, event.occurred_at_us)
        ]
        ids = self.ids.take(len(wanted)) if wanted else []
        return [
            deliveries.NewDelivery(
                delivery_id=id_,
                endpoint_id=endpoint.endpoint_id,
                event_id=event.version.event_id,
                merchant_id=event.version.merchant_id,
                live=event.version.live,
                event_type=event.type,
            )
            for id_, (event, endpoint) in zip(ids, wanted, strict=True)
        ]


def _versions(changes: Sequence[Change], listeners: Listeners) -> list[tuple[Change, Version]]:
    """The versions that somebody may want to hear of."""
    merchants = {merchant_id for merchant_id, _ in listeners}
    decoded = [(change, change.version()) for change in changes if change.merchant_id in merchants]
    return [
        (change, version)
        for change, version in decoded
        if (version.merchant_id, version.live) in listeners
    ]
