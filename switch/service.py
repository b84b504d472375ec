"""The switch process: ledger sessions, lease and recovery, links, HSM workers, the pipeline.

Start: sessions to Postgres, a new epoch of the lease, recovery of what the last process left, STAN
blocks; then links are brought up and the mux opens. Stop: the intake closes, the stages drain in
their order, the links sign off, and whatever was not answered by the network's timer plus a margin
is left to the next start's recovery. If another process has begun a newer epoch of this switch, it
ends at once with exit status 4, and its supervisor starts it anew.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Final

import trio

from chassis.backoff import jitter
from chassis.clock import SteadyClock, now_us
from chassis.log import get_logger
from chassis.mux import MuxClient, MuxServer, dial_unix
from chassis.service import Service
from chassis.settings import Settings
from hsm_sim.wire import HSMReply, HSMRequest
from ledger.charges import ChargeCommitter
from ledger.completions import CompletionCommitter
from ledger.connection import Connection
from ledger.deciding.views import read_views, sealed_cards
from ledger.declines import recent_declines
from ledger.dsn import hot_settings
from ledger.exceptions import open_exceptions
from ledger.expiry import sweep_expired as sweep_once
from ledger.leases import LeaseLostError
from ledger.merchants import get_merchants
from ledger.numbers import prepare_stans, take_stans
from ledger.partitions import ensure_partitions, stray_rows
from ledger.pool import Pool
from ledger.relay.shedding import PinnedWAL
from ledger.replays import find_replays
from ledger.saf import count_saf_sends, due_saf
from ledger.storage import watched_storage
from ledger.taking_up import free_advices, reopen_doubts
from ledger.verifications import due_verifications
from switch import supplies
from switch.carriers import Carrier
from switch.clean_up import clean_up, ledger_chores
from switch.core.admission import Admission
from switch.core.decline_memory import DeclineMemory
from switch.core.lease import switch_name
from switch.core.messages import Acceptor
from switch.core.numbers import RRNSource, StanBlock
from switch.core.response_codes import load_response_codes
from switch.core.sandbox_cards import SIMULATED
from switch.declines import Declines
from switch.depths import Depths
from switch.hsm import asker
from switch.lease_keeper import LeaseKeeper
from switch.link.events import LinkEvent
from switch.metrics import register, register_lease, register_operations
from switch.operations.assembly import Operations
from switch.operations.surroundings import LookUps, Surroundings
from switch.pipeline.assembly import Outside, Pipeline
from switch.recovery import Recovery, find_by_rrn
from switch.responsibility import Responsibility
from switch.sessions import open_sessions
from switch.wire import SwitchReply, SwitchRequest

log = get_logger(__name__)
POOL_SIZE = 6  # look-ups, acceptor data, STAN blocks, sweeps, queues: hardly two at once each
EXIT_LEASE_LOST: Final = 4  # as docs/operations.md has it


async def serve(service: Service) -> None:
    """Run the switch until asked to drain, or until another process is this switch."""
    try:
        await _serve(service)
    except* LeaseLostError as lost:
        log.critical("lease_lost", switch=switch_name(service.index))
        service.failed(lost)
        service.exit_code = EXIT_LEASE_LOST


async def _serve(service: Service) -> None:
    settings = service.settings
    dsn = service.secrets["database_dsn"]
    hot = hot_settings(settings.ledger)
    connect = partial(
        Connection.open,
        dsn,
        role_settings=hot,
        connect_timeout_s=settings.ledger.connect_timeout_s,
    )
    pool = Pool(dsn, POOL_SIZE, settings=settings.ledger)
    async with trio.open_nursery() as background:
        await background.start(pool.serve)
        steady_us = SteadyClock()
        keeper, recovery = await _begin(service, pool, connect, background, steady_us)
        pipeline, operations, outside = await _assemble(
            service, pool, keeper, background, steady_us
        )
        carriers = outside.carriers
        server = MuxServer(
            request_type=SwitchRequest,
            reply_type=SwitchReply,
            limits=settings.mux,
            on_batch=pipeline.intake.accept,
        )
        register(service.metrics, pipeline, outside, server.counters, now_us=now_us)
        register_lease(service.metrics, keeper)
        register_operations(service.metrics, operations)
        _start_supplies(background, service, pool, pipeline, operations, carriers)
        recovery.equip(operations.rules, operations.drawing.spare)
        await keeper.settle(keeper.own)  # before links: what they bring is about settled attempts
        keeper.follow(operations)
        for carrier in carriers.values():
            background.start_soon(carrier.group.run)
        storage = watched_storage(service.data_dir, settings.ledger)
        service.checks["storage"] = lambda: not storage.scarce
        background.start_soon(storage.watch, pipeline.admission.heed_storage)
        pinned = PinnedWAL(pool, settings.relay)
        service.checks["stream"] = lambda: not pinned.over
        background.start_soon(pinned.watch, pipeline.admission.heed_stream)
        await background.start(
            partial(
                server.serve,
                service.listeners["mux"],
                allowed_uids={service.allowed_uids["api"]},
            )
        )
        service.ready()
        with trio.CancelScope() as working:
            limit_s = drain_limit_s(settings)
            ends = (keeper.retire, pipeline.close, operations.close)
            background.start_soon(_drain_when_asked, service.draining, ends, working, limit_s)
            async with trio.open_nursery() as work:
                work.start_soon(operations.run)
                await pipeline.run(partial(_drain_links, carriers))
                operations.finish()
        if working.cancelled_caught:
            log.warning("drain_cut_short", unanswered=pipeline.admission.inside)
        if server.peers:
            await trio.sleep(settings.switch.drain_linger_s)  # the last replies leave
        background.cancel_scope.cancel()


async def _begin(
    service: Service,
    pool: Pool,
    connect: Callable[[], Awaitable[Connection]],
    background: trio.Nursery,
    steady_us: SteadyClock,
) -> tuple[LeaseKeeper, Recovery]:
    """Begin an epoch and keep the lease from now on; nothing is settled yet."""
    heartbeats = Pool(service.secrets["database_dsn"], 1, settings=service.settings.ledger)
    await background.start(heartbeats.serve)
    recovery = Recovery(
        pool,
        batch_max=service.settings.switch.operations_batch_max,
        now_us=now_us,
        steady_us=steady_us,
    )
    keeper = LeaseKeeper(
        switch_name(service.index),
        service.settings,
        heartbeats=heartbeats,
        runner=pool,
        connect=connect,
        recover=recovery.settle,
        now_us=now_us,
    )
    await keeper.begin()
    background.start_soon(keeper.run)
    service.checks["lease"] = keeper.may_send
    return keeper, recovery


async def _assemble(
    service: Service,
    pool: Pool,
    keeper: LeaseKeeper,
    background: trio.Nursery,
    steady_us: SteadyClock,
) -> tuple[Pipeline, Operations, Outside]:
    """Build the pipeline, what follows it, and everything they speak to."""
    settings, own = service.settings, keeper.own
    workers = [await _start_worker(path, service, background) for path in service.endpoints["hsm"]]

    def on_events(network: str) -> Callable[[list[LinkEvent]], None]:
        return lambda events: pipeline.hearing.on_events(network, events)  # links are run later

    sessions = await open_sessions(
        service,
        pool,
        ask_hsm=asker(workers, settings.hsm.open_deadline_s),
        on_events=on_events,
        lease_holds=keeper.may_send,
        now_us=now_us,
    )
    background.start_soon(sessions.run)
    carriers = sessions.carriers
    await _prepare_numbers(pool, carriers, settings.switch.stan_block_count)
    admission, codes = Admission(settings.switch), load_response_codes()
    rrns = RRNSource(service.index, now_us, own.newest_rrn)
    operations = Operations(
        settings,
        Surroundings(
            own=own,
            committer_of=Responsibility.decision_committer,
            let_go=keeper.let_go,
            workers=workers,
            carriers=carriers,
            admission=admission,
            codes=codes,
            rrns=rrns,
            ledger=_look_ups(pool),
            now_us=now_us,
            steady_us=steady_us,
            uniform=jitter,
        ),
    )
    declines = await _remember_declines(service, pool, background)
    outside = Outside(
        workers=workers,
        carriers=carriers,
        find_replays=partial(find_replays, pool),
        load_acceptors=partial(_active_acceptors, pool),
        charges=_charge_committer(own, settings),
        outcomes=own.outcome_committer(lock_timeout_ms=settings.ledger.fast_lock_timeout_ms),
        held_outcomes=own.outcome_committer(),
        completions=CompletionCommitter(own.connect, own.switch, own.epoch, limits=settings.ledger),
        aftermath=operations,
        admission=admission,
        declines=declines,
        find_attempts=partial(find_by_rrn, pool),
        open_exceptions=partial(open_exceptions, pool),
        codes=codes,
        rrns=rrns,
        take_ids=own.ids.take,
        now_us=now_us,
        steady_us=steady_us,
    )
    pipeline = Pipeline(settings, outside)
    keeper.floors += [pipeline.replies.lowest_attempt, operations.lowest_attempt]
    return pipeline, operations, outside


def _charge_committer(own: Responsibility, settings: Settings) -> ChargeCommitter:
    return ChargeCommitter(
        own.connect,
        own.switch,
        own.epoch,
        limits=settings.ledger,
        charges_per_intent_max=settings.switch.charges_per_intent_max,
    )


async def _prepare_numbers(pool: Pool, carriers: Mapping[str, Carrier], block_count: int) -> None:
    """Have STANs at hand for every network, before anything is settled or admitted."""
    for name, carrier in carriers.items():
        acquirer_id = carrier.settings.acquirer_id
        await prepare_stans(pool, name, acquirer_id, block_count=block_count)
    await supplies.reserve_first(carriers, partial(_take_block, pool), now_us)


def _look_ups(pool: Pool) -> LookUps:
    """What operations ask the ledger, each time in a session of the pool."""
    return LookUps(
        find_replays=partial(find_replays, pool),
        sealed_cards=partial(sealed_cards, pool),
        read_views=partial(read_views, pool),
        load_acceptors=partial(_all_acceptors, pool),
        due_saf=partial(due_saf, pool),
        count_saf_sends=partial(count_saf_sends, pool),
        due_verifications=partial(due_verifications, pool),
        reopen_doubts=partial(reopen_doubts, pool),
        free_advices=partial(free_advices, pool),
    )


async def _remember_declines(
    service: Service, pool: Pool, background: trio.Nursery
) -> DeclineMemory:
    """The memory of declined cards, read from the ledger and followed from now on."""
    settings = service.settings
    exempt = SIMULATED if settings.mode == "test" else frozenset[str]()
    memory = DeclineMemory(settings.switch.declined_cards_max, exempt)
    recent = partial(recent_declines, pool)
    await background.start(Declines(memory, recent, settings.switch, now_us).run)
    return memory


async def _start_worker(
    path: str, service: Service, background: trio.Nursery
) -> MuxClient[HSMRequest, HSMReply]:
    client: MuxClient[HSMRequest, HSMReply] = MuxClient(
        request_type=HSMRequest, reply_type=HSMReply, limits=service.settings.mux, name="hsm"
    )
    background.start_soon(client.run, partial(dial_unix, path))
    return client


def _start_supplies(
    background: trio.Nursery,
    service: Service,
    pool: Pool,
    pipeline: Pipeline,
    operations: Operations,
    carriers: Mapping[str, Carrier],
) -> None:
    settings = service.settings.switch

    def forget_acceptors() -> None:
        pipeline.lookup.forget_acceptors()
        operations.acceptors.forget()

    background.start_soon(
        supplies.keep_stans, carriers, partial(_take_block, pool), settings, now_us
    )
    background.start_soon(supplies.refresh_acceptors, forget_acceptors)
    background.start_soon(supplies.sweep_expired, partial(_sweep, pool, operations), settings)
    background.start_soon(clean_up, ledger_chores(pool, now_us), settings, now_us)
    depths = Depths(pool, now_us)
    depths.register(service.metrics, carriers)
    background.start_soon(depths.keep_counting)
    ahead = service.settings.ledger.months_ahead
    background.start_soon(
        supplies.keep_partitions, partial(_ensure_months, pool, ahead), partial(stray_rows, pool)
    )


async def _take_block(pool: Pool, network: str, acquirer_id: str, from_s: int) -> StanBlock:
    taken = await take_stans(pool, network, acquirer_id, now_s=from_s)
    return StanBlock(
        first=taken.first,
        count=taken.count,
        floor_s=taken.floor_s,
        ceiling_s=taken.ceiling_s,
    )


async def _sweep(pool: Pool, operations: Operations, limit: int) -> int:
    # Over by both clocks: one that was set forward by mistake must not cancel what stands.
    over_us = min(now_us(), operations.steady_us())
    swept = await sweep_once(pool, now_us=over_us, limit=limit)
    if swept.lapsed:
        await operations.expire(swept.lapsed)
    return swept.finished + swept.put_off


async def _ensure_months(pool: Pool, months_ahead: int) -> int:
    return await ensure_partitions(pool, now_us=now_us(), months_ahead=months_ahead)


async def _active_acceptors(pool: Pool, ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
    merchants = await get_merchants(pool, ids)
    return {
        merchant_id: Acceptor.of(merchant)
        for merchant_id, merchant in merchants.items()
        if merchant.status == "active"
    }


async def _all_acceptors(pool: Pool, ids: Sequence[bytes]) -> dict[bytes, Acceptor]:
    """Those of closed merchants too: what has been charged must be finished."""
    merchants = await get_merchants(pool, ids)
    return {merchant_id: Acceptor.of(merchant) for merchant_id, merchant in merchants.items()}


def drain_limit_s(settings: Settings) -> float:
    """How long a drain may take: until the last message is unknown, and a margin to record it."""
    longest_s = max(
        network.max_send_age_s + network.response_deadline_s
        for network in settings.networks.values()
    )
    return longest_s + settings.switch.drain_margin_s


async def _drain_when_asked(
    draining: trio.Event,
    ends: Sequence[Callable[[], None]],
    working: trio.CancelScope,
    limit_s: float,
) -> None:
    """Close the intakes; what is inside then has until the limit, and recovery decides the rest."""
    await draining.wait()
    working.deadline = trio.current_time() + limit_s
    for end in ends:
        end()


async def _drain_links(carriers: Mapping[str, Carrier]) -> None:
    async with trio.open_nursery() as nursery:
        for carrier in carriers.values():
            nursery.start_soon(carrier.group.drain)
